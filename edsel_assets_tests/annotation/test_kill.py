"""kill -9 at random moments of ``edsel order`` and ``edsel import``: once, or not at all, never half."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from edsel_assets.annotation import Ledger, list_orders, order_table
from edsel_assets.stages.buying import record_orders
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.test_cli import edsel

pytestmark = pytest.mark.slow
KILLS = 10
COUNT = 8


def killed(words: list[str], file: Path, before: int | None, delay: float) -> bool:
    """Start a command, wait until ``file`` changed, then kill it after ``delay`` s; whether it ran still.

    So the moment lies among the writes, and not among the seconds of loading libraries before them.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "edsel_assets.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and changed(file) == before:
        time.sleep(0.0005)
    time.sleep(delay)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def changed(file: Path) -> int | None:
    """When it last changed; None where it is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study and its home, in which the ranking is made, so that an order is mostly writing."""
    folder = tmp_path_factory.mktemp("kill")
    settings = {**TINY, "selection": {"strategies": ["random"], "budgets": [40]}}
    study, home = folder / "study.yaml", folder / "home"
    study.write_text(yaml.safe_dump(settings), encoding="utf-8")
    code, _, error = edsel("run", "--study", str(study), "--home", str(home), "--only", "rankings")
    assert code == 0, error
    return study, home


def test_an_order_that_is_killed_is_placed_once_or_not_at_all(ready, tmp_path: Path, capsys) -> None:
    study, ready_home = ready
    draw = random.Random(0)
    words = ["order", "--study", str(study), "--strategy", "random", "--budget", str(COUNT), "--home"]
    seen = {0: 0, 1: 0}
    for number in range(KILLS):
        home = tmp_path / f"home{number}"
        shutil.copytree(ready_home, home)
        store = home / "store" / "tiny"
        lock = store / "orders" / ".lock"  # the first file that the placing of an order makes
        assert killed([*words, str(home)], lock, changed(lock), draw.uniform(0, 0.02))
        after = list_orders(store)
        seen[len(after)] += 1
        for order in after:
            assert order_table(store, order.name).num_rows == COUNT, "it is whole"
        # What every command does first completes the ledger; each prompt is in it once.
        record_orders(store)
        asked = [p for order in after for p in order_table(store, order.name)["prompt_id"].to_pylist()]
        assert len(set(asked)) == len(asked) == COUNT * len(after)
        assert list(Ledger(store).state()) == asked
    # The next command goes on from what the last one left.
    code, out, error = edsel(*words, str(home))
    assert code == 0, error
    assert out.splitlines()[-1] == f"order-{len(after) + 1:04d}"
    assert not list((store / "orders").glob(".*.tmp")), "nothing half is left"
    with capsys.disabled():
        print(f"\norder: of {KILLS} killed, {seen[1]} placed once, {seen[0]} not at all")


def test_an_import_that_is_killed_enters_all_answers_or_none(ready, tmp_path: Path, capsys) -> None:
    study, ready_home = ready
    draw = random.Random(1)
    base = shutil.copytree(ready_home, tmp_path / "base")
    options = ["--study", str(study), "--home"]
    code, _, error = edsel("order", "--strategy", "random", "--budget", "40", *options, str(base))
    assert code == 0, error
    asked = order_table(base / "store" / "tiny", "order-0001")["prompt_id"].to_pylist()
    file = tmp_path / "answers.jsonl"
    rows = [{"prompt_id": key, "response": f"answer {key}"} for key in asked]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    whole = shutil.copytree(base, tmp_path / "whole")
    code, _, error = edsel("import", str(file), *options, str(whole))
    assert code == 0, error
    expected = [(e.event, e.prompt_id, e.price) for e in Ledger(whole / "store" / "tiny").events()]
    seen = {"all": 0, "none": 0}
    for number in range(KILLS):
        home = tmp_path / f"home{number}"
        shutil.copytree(base, home)
        # Every other kill comes after the answers began to be written, the rest somewhere before.
        log, late = home / "store" / "tiny" / "purchases.jsonl", number % 2 == 1
        watched, delay = (log, draw.uniform(0, 0.02)) if late else (home, draw.uniform(0, 3))
        before = changed(log) if late else -1
        assert killed(["import", str(file), *options, str(home)], watched, before, delay)
        answered = sum(p.answered for p in Ledger(home / "store" / "tiny").state().values())
        assert answered in (0, len(asked))
        seen["all" if answered else "none"] += 1
        assert edsel("import", str(file), *options, str(home))[0] == 0
        events = [(e.event, e.prompt_id, e.price) for e in Ledger(home / "store" / "tiny").events()]
        assert events == expected, "the same again completes it, and nothing is paid twice"
    with capsys.disabled():
        print(f"\nimport: of {KILLS} killed, {seen['all']} entered all, {seen['none']} none")
