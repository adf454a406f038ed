"""The prepared script for a GPU runs whole on a CPU; it and what it measures need few libraries."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import job as jobs
from benchmarks.gpu.job import Job, LeftOut, Part, run_all
from benchmarks.gpu.parts import PARTS

ROOT = Path(jobs.__file__).parents[2]
NEEDED = (
    "torch", "transformers", "peft", "numpy", "scipy", "scikit-learn", "numba", "pyarrow", "pandas",
    "pydantic",
)  # fmt: skip
ALONE = """
import pkgutil, sys
from importlib import import_module, metadata
from packaging.requirements import Requirement

needed, left = set(), {needed!r}
while left:
    name = left.pop().lower().replace("_", "-")
    if name in needed:
        continue
    try:
        wanted = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        continue
    needed.add(name)
    found = map(Requirement, wanted)
    left |= {{each.name for each in found if each.marker is None or each.marker.evaluate({{"extra": ""}})}}
for module, owners in metadata.packages_distributions().items():
    if not needed & {{owner.lower().replace("_", "-") for owner in owners}} and module != "edsel_assets":
        sys.modules[module] = None  # importing it fails, as where it is not installed
import edsel_assets.llm, edsel_assets.selection
for package in (edsel_assets.llm, edsel_assets.selection):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("lm_eval_model"):  # which is a model of lm-eval's
            import_module(found.name)
from benchmarks.gpu.__main__ import main
"""


def test_the_whole_script_runs_on_a_cpu_with_the_libraries_it_names(tmp_path: Path) -> None:
    code = ALONE.format(needed=set(NEEDED))
    code += f"sys.exit(main(['--device', 'cpu', '--small', '--out', {str(tmp_path)!r}]))"
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in PARTS}
    left_out = {name for name, result in found.items() if result["status"] == "left out"}
    assert left_out == {"tests"}
    assert all(result["status"] == "done" for name, result in found.items() if name != "tests")
    assert float(found["k_means"]["found"]["silhouette of 100 of 400 x 16, s"]) >= 0
    assert found["pass"]["found"]["prompts"] == 6
    page = (tmp_path / "results.md").read_text()
    assert all(f"## {name}: " in page for name in PARTS)


def test_all_parts_together_take_eight_minutes_at_most() -> None:
    assert sum(part.seconds for part in PARTS.values()) <= 480


def found(job: Job) -> dict[str, int]:
    return {"answer": 42}


def fails(job: Job) -> dict[str, int]:
    raise RuntimeError("no such kernel\nmore")


def hangs(job: Job) -> dict[str, int]:
    import time

    time.sleep(60)
    return {}


def dies(job: Job) -> dict[str, int]:
    os._exit(3)


def nothing(job: Job) -> dict[str, int]:
    raise LeftOut("no GPU")


def test_a_part_that_fails_hangs_or_dies_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_import_libraries", lambda: None)
    limits = {fails: 60, hangs: 1, dies: 60, nothing: 60, found: 60}
    parts = {each.__name__: Part(each, seconds) for each, seconds in limits.items()}
    (tmp_path / "dies.json").write_text("{}")  # of an earlier run
    assert run_all(Job("cpu", True), parts, tmp_path) == 1
    results = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in parts}
    assert {name: result["status"] for name, result in results.items()} == {
        "fails": "failed",
        "hangs": "out of time",
        "dies": "failed",
        "nothing": "left out",
        "found": "done",
    }
    assert results["fails"]["why"] == "RuntimeError: no such kernel"
    assert "exit code 3" in results["dies"]["why"]
    assert results["found"]["found"] == {"answer": 42}
    assert "| answer | 42 |" in (tmp_path / "results.md").read_text()
    assert run_all(Job("cpu", True), {"nothing": parts["nothing"]}, tmp_path) == 0
