"""Two orders or imports at the same time, a run beside the UI, and a clock that steps back."""

import json
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from edsel_assets.annotation import Ledger, asked_prompts, list_orders, order_table
from edsel_assets.desk.tables import purchases_table
from edsel_assets.store import Home, Store
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.defs.serving import serving
from edsel_assets_tests.defs.test_daemon import LAUNCH, STATUS
from edsel_assets_tests.running.homes import tables
from edsel_assets_tests.test_cli import edsel

COUNT = 4
SMALL = {**TINY, "selection": {"strategies": ["random"], "budgets": [8]}}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a study whose ranking is made."""
    folder = tmp_path_factory.mktemp("at_once")
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    options = ["--study", str(study), "--home", str(folder / "home")]
    code, _, error = edsel("run", *options, "--only", "rankings")
    assert code == 0, error
    return options


def store_of(options: list[str]) -> Store:
    return Home.at(options[-1]).store("tiny")


def both(*words: str) -> list[tuple[int, str, str]]:
    """Exit code, output and error of a command that is started twice at the same moment."""
    command = [sys.executable, "-m", "edsel_assets.cli", *words]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    said = [process.communicate() for process in started]
    return [(process.returncode, *words) for process, words in zip(started, said, strict=True)]


def test_two_orders_and_two_imports_at_once(ready: list[str], tmp_path: Path) -> None:
    store = store_of(ready)
    ended = both("order", "--strategy", "random", "--budget", str(COUNT), *ready)
    orders = list_orders(store)
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert len(orders) == 2, "the later one waits, and takes what the earlier one left"
    assert len(asked_prompts(store)) == COUNT * len(orders), "no prompt is in two orders"
    assert Counter(e.event for e in Ledger(store).events()) == {"asked": COUNT * len(orders)}
    file = tmp_path / "answers.jsonl"
    ids = order_table(store, "order-0001")["prompt_id"].to_pylist()
    file.write_text("".join(json.dumps({"prompt_id": key, "response": key}) + "\n" for key in ids))
    ended = both("import", str(file), *ready)
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert Counter(e.event for e in Ledger(store).events())["answered"] == COUNT, "each is entered once"


def test_a_clock_that_steps_back_between_an_order_and_its_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edsel_assets.annotation import Event, ledger
    from edsel_assets_tests.annotation.conftest import placed

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=400)

    name, ids = placed(Store(tmp_path), 3)
    monkeypatch.setattr(ledger, "datetime", Earlier)
    Ledger(Store(tmp_path)).append(Event("answered", name, key, response="yes", price=1.0) for key in ids)
    second, more = placed(Store(tmp_path), 2, start=10)
    assert [order.name for order in list_orders(Store(tmp_path))] == [name, second], (
        "names, not times, say the order"
    )
    rows = purchases_table(Store(tmp_path)).to_pylist()
    assert [row["prompt_id"] for row in rows] == [*ids, *more]
    assert [row["status"] for row in rows] == ["answered"] * 3 + ["asked"] * 2
    assert rows[0]["answered"] < rows[0]["asked"] <= datetime.now(UTC).isoformat()


@pytest.mark.slow
def test_a_run_beside_the_ui(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    options = ["--study", str(study), "--home"]
    assert edsel("run", *options, str(tmp_path / "alone"))[0] == 0
    with serving(study, tmp_path / "home") as server:
        nodes = server.ask("{ assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
        keys = [{"path": node["assetKey"]["path"]} for node in nodes if node["isMaterializable"]]
        launched = server.ask(LAUNCH, keys=keys)["launchPartitionBackfill"]
        code, _, error = edsel("run", *options, str(tmp_path / "home"))
        assert code == 0, error
        deadline = time.monotonic() + 600
        while server.ask(STATUS, id=launched["backfillId"])["partitionBackfillOrError"]["status"] in (
            "REQUESTED",
            "IN_PROGRESS",
        ):
            assert time.monotonic() < deadline
            time.sleep(2)
    code, out, _ = edsel("run", *options, str(tmp_path / "home"))
    assert (code, "Nothing to do" in out) == (0, True), out
    both = tables(tmp_path / "home")
    both.pop("store/tiny/spend_curve.parquet")  # without an order the command leaves it out, the UI does not
    assert both == tables(tmp_path / "alone")
