"""Loading the definitions is quick: none of the heavy libraries is imported."""

import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "lm_eval",
    "faiss",
    "numba",
    "sklearn",
    "pandas",
    "matplotlib",
    "pyarrow",
)


def test_loading_the_definitions_imports_no_heavy_library() -> None:
    code = f"import sys, edsel_assets.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
