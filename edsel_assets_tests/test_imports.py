"""Loading the definitions is quick: none of the heavy libraries is imported."""

import pkgutil
import subprocess
import sys

import pytest

from edsel_assets import llm, selection, store

HEAVY = (
    "numpy",
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


@pytest.mark.parametrize("package", [selection, llm, store])
def test_no_module_hides_an_exported_name(package) -> None:
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
