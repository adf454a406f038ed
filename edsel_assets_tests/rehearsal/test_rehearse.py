"""``edsel rehearse`` of the shipped studies, offline and from beginning to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edsel_assets.keys import budget_key, trial_key
from edsel_assets.rehearsal.stand_ins import STUDY_FILE
from edsel_assets.store import Home, read_table
from edsel_assets.study import Study, shipped_studies
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.rehearsal.test_scaled import shipped


def offline() -> dict[str, str]:
    """The environment without a study's variables and without a network."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDSEL_")}
    return {**environment, "HF_HUB_OFFLINE": "1"}


def rehearse(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    command = [sys.executable, "-m", "edsel_assets.cli", "rehearse", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=offline())
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow  # minutes each; test_cells runs a few cells of each
@pytest.mark.parametrize("name", shipped_studies())
def test_a_shipped_study_is_rehearsed_whole(name, tmp_path) -> None:
    code, out, error = rehearse(name, "--prompts", "120", "--home", str(tmp_path))
    assert code == 0, error[-2000:]
    folder = tmp_path / "rehearsals" / name
    small, full = Study.load(folder / STUDY_FILE), shipped(name)
    store = Home.at(folder).store(small.name)
    for strategy in full.selection.names:
        for budget in small.selection.budgets_for(strategy):
            for seed in small.seeds(strategy):
                trial = Path(budget_key(budget), f"{trial_key(strategy, seed)}.parquet")
                scored = set(read_table(store.folder / "benchmark_scores" / trial)["task"].to_pylist())
                assert scored >= {task.name for task in full.evaluation.tasks}
                judge = small.evaluation.judge
                if judge is not None and budget in (judge.budgets or [budget]):
                    assert read_table(store.folder / "win_rates" / trial).num_rows == 1
    assert (store.folder / "label_efficiency.html").is_file()
    assert "Rehearsed " + name in out
    assert "takes    tokens: " in out
    for variable in Study.unset_variables(name):
        assert f"missing  variable: {variable} is not set" in out


def test_mistakes_end_it_before_anything_runs(tmp_path) -> None:
    wrong = {**TINY, "evaluation": {"tasks": [{"name": "edsel_demo_choice", "metric": "acc,none"}]}}
    wrong["evaluation"]["include_path"] = "builtin:demo"
    wrong["finetuning"] = {**TINY["finetuning"], "fsdp": True}
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(wrong), encoding="utf-8")
    code, _, error = rehearse(str(file), "--home", str(tmp_path / "home"))
    assert code == 1
    assert "finetuning.launcher: accelerate" in error
    assert "Task edsel_demo_choice has the metrics acc; acc,none is not one" in error
    assert error.count("\n") == 1
    assert not Path(tmp_path / "home" / "rehearsals").exists()
