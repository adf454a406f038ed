"""Loading the definitions is quick: none of the heavy libraries is imported, nor the event log's storage."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edsel_assets import llm, selection, store

HEAVY = (
    "numpy",
    "torch",
    "transformers",
    "peft",
    "lm_eval",
    "numba",
    "sklearn",
    "pandas",
    "matplotlib",
    "pyarrow",
    "alembic",
    "sqlalchemy",
)


def test_loading_the_definitions_imports_no_heavy_library() -> None:
    code = f"import sys, edsel_assets.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_private_dagster_modules_are_used_in_one_file() -> None:
    root = Path(selection.__file__).parent.parent
    using = [p.name for p in root.rglob("*.py") if re.search(r"(from|import) dagster\._", p.read_text())]
    assert using == ["dagster_internals.py"]


def test_a_room_has_fifteen_files_at_most() -> None:
    root = Path(selection.__file__).parent.parent
    crowded = {p.parent for p in root.rglob("*.py") if len(list(p.parent.glob("*.py"))) > 15}
    assert not crowded


@pytest.mark.parametrize("package", [selection, llm, store])
def test_no_module_hides_an_exported_name(package) -> None:
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
