"""The end of a run: what a person reads, and commands that work as they stand there."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import yaml

from edsel_assets.next_steps import Finished, _expected, _warn_of_trainings
from edsel_assets.planning.cells import Cell
from edsel_assets.running.local import Outcome
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import TINY

SMALL = {
    **TINY,
    "selection": {"strategies": ["random", "k_center"], "budgets": [4, 6], "gammas": [1.0]},
    "annotation": {"price": 0.5},
}


def _run(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_end_of_a_run_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"  # with a space, which a command has to quote
    folder.mkdir()
    (folder / "mine.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    words = [sys.executable, "-m", "edsel_assets.cli", "run", "--study", "mine.yaml", "--home", "a home"]
    said = _run([*words, "--only", "selections"], folder)
    assert "Made 11 cells (0 fresh)" in said
    assert "min of work on cpu; nothing was ordered or paid." in said
    # 80 prompts of the pool without the 8 held out
    assert "Read for embeddings: 72 prompts new, 0 reused." in said
    file = folder / "a home" / "store" / "tiny" / "selections" / "00004" / "k_center.parquet"
    assert f"4 selections, such as {file}" in said
    assert file.exists()
    assert "selections[00004|k_center]: 4 prompts, expected to cost 2 to annotate. The first:" in said
    commands = {
        line.partition(": ")[0]: shlex.split(line.partition(": ")[2])
        for line in said.splitlines()
        if line.startswith(("Order them: ", "Open the UI: "))
    }
    assert commands["Open the UI"][-5:] == ["ui", "--study", "mine.yaml", "--home", str(folder / "a home")]
    _run([*commands["Open the UI"], "--help"], folder)
    ordered = _run(commands["Order them"], folder)
    assert "Ordered 4 prompts, expected to cost 2:" in ordered
    assert ordered.splitlines()[-1] == "order-0001"


def test_a_run_beside_an_open_order_says_how_to_enter_its_answers(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    edsel, study = [sys.executable, "-m", "edsel_assets.cli"], ["--study", "mine.yaml", "--home", "home"]
    _run([*edsel, "order", *study, "--strategy", "k_center", "--budget", "4"], tmp_path)
    said = _run([*edsel, "run", *study, "--only", "purchased_adapter"], tmp_path)
    assert "cells wait for answers: purchased_training_set[order-0001] lacks 4." in said
    (export,) = [
        line.partition(": ")[2] for line in said.splitlines() if line.startswith("Hand order-0001 out: ")
    ]
    words = shlex.split(export.replace("FILE", "order.csv"))
    _run(words, tmp_path)
    filled = (tmp_path / "order.csv").read_text(encoding="utf-8")
    again = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert again.returncode == 1
    assert "order.csv is there already, and may hold answers." in again.stderr
    assert (tmp_path / "order.csv").read_text(encoding="utf-8") == filled
    assert any(line.startswith("Enter its answers: ") for line in said.splitlines())


def test_prices_that_are_not_known_do_not_end_the_run(tmp_path: Path) -> None:
    unpriced = {**SMALL, "annotation": {"price_by": "column"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(unpriced), encoding="utf-8")
    study = Study.load(tmp_path / "mine.yaml")
    table = pa.table(
        {"prompt_id": ["a"], "prompt": ["x"], "response": [None], "price": pa.nulls(1, pa.float64())}
    )
    assert "of unknown cost (" in _expected(study, table.to_pylist(), table)


def test_trainings_that_learnt_nothing_are_named_with_the_remedy(tmp_path: Path, capsys) -> None:
    study, home = Study.model_validate(SMALL), Home.at(tmp_path)
    made = [Cell("pool"), *(Cell("lora_adapters", f"00004|random.s{seed}") for seed in range(3))]
    for cell, fall in zip(made[1:], (0.3, 0.004, 0.019), strict=True):
        folder = home.store(study.name).adapter(cell)
        folder.mkdir(parents=True)
        (folder / "training_log.json").write_text(json.dumps({"loss_fall": fall}))

    def said(cells: list[Cell]) -> str:
        outcome = Outcome(made=cells)
        _warn_of_trainings(Finished(study, outcome, home, False, "mine", {}, 1.0))
        return capsys.readouterr().out

    assert said(made).startswith(
        "Warning: in 2 of 3 trainings the loss fell by less than 2% (lora_adapters[00004|random.s1]: 0.4%), "
    )
    assert "Raise finetuning.learning_rate" in said(made)
    assert said(made[:2]) == ""
