"""Compiled loops: their cache only knows of changes in their own file, where all they use must stand."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from edsel_assets import selection

ROOT = Path(selection.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if "numba" in path.read_text()]


def test_there_are_kernels():
    assert [path.relative_to(ROOT).as_posix() for path in FILES] == [
        "core/distance_kernels.py", "facility/kernels.py",
    ]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_kernels_imports_nothing_of_ours(path):
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    assert modules == {"__future__", "numba", "numpy"}


def test_a_change_in_an_inlined_kernel_is_noticed(tmp_path):
    """``lower`` calls ``_square``; both are cached on disk by the first run."""
    copy = tmp_path / "kernels.py"
    copy.write_text((ROOT / "core" / "distance_kernels.py").read_text())
    code = """
import numpy as np, kernels
x, c, one = np.full((1, 2), 3, np.float32), np.zeros((1, 2), np.float32), np.full(1, 18, np.float32)
nearest = np.full(1, 100.0)
kernels.lower(np.zeros((1, 1), np.float32), 0, x, c, one, 0 * one, 1e-3, nearest)
print(nearest[0])
"""

    def run() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    assert run() == 18.0
    cached = list((tmp_path / "__pycache__").glob("kernels.lower-*.nbc"))
    assert cached
    changed = copy.read_text().replace("total += apart * apart", "total += apart + apart")
    assert changed != copy.read_text()
    copy.write_text(changed)
    assert run() == 12.0
