"""Cells that hold a model, started in different ways at the same moment: no more at once than the limit."""

import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from edsel_assets.defs.build import build_definitions
from edsel_assets.defs.jobs import run_config
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.running.dagster_internals import asset_key, new_run
from edsel_assets.running.instance import open_instance
from edsel_assets.running.leases import device_limit
from edsel_assets.running.local import Listener, materialize
from edsel_assets.running.workers import WorkerPool, greeting
from edsel_assets.store import Home
from edsel_assets.store.locks import hold_cells
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

TRIAL = Cell("lora_adapters", "00010|random.s0")
HELD = "a model is held"
PARENT = Cell("training_sets", "00010|random")
BESIDE, STEP = "embeddings", "forward_pass"  # holds a model too, and shares no cell with the trial


def small_study() -> Study:
    return tiny_study(
        pool={"limit": 40},
        selection={"strategies": ["random"], "budgets": [10]},
        clustering={"counts": [4]},
        evaluation={"tasks": [], "held_out": 0},
    )


class Place:
    """The study in a home."""

    def __init__(self, folder: Path) -> None:
        self.study, self.home = small_study(), Home.at(folder)
        self.definitions = build_definitions(self.study, home=folder)
        self.instance = open_instance(self.home, "tiny")

    def make(self, asset: str, listener: Listener | None = None) -> None:
        scope = Scope(frozenset({asset}))
        materialize(self.study, self.definitions, self.instance, self.home, scope, listener)

    def ui_run(self) -> str:
        """A run as the UI creates it, of the trial."""
        whole = self.definitions.resolve_implicit_global_asset_job_def()
        job = whole.get_subset(asset_selection={asset_key(self.study, TRIAL.asset)})
        return new_run(self.instance, job, str(uuid.uuid4()), TRIAL.partition, {}).run_id

    def steps(self) -> dict[str, tuple[float, float]]:
        """When each step began and ended, by its name."""
        found: dict[str, tuple[float, float]] = {}
        for run in self.instance.get_runs():
            events = [e for e in self.instance.all_logs(run.run_id) if e.dagster_event]
            at = {(e.dagster_event.event_type, e.step_key): e.timestamp for e in events}
            kinds = dg.DagsterEventType
            for key in (key for kind, key in at if kind is kinds.STEP_START):
                found[key] = (at[kinds.STEP_START, key], at.get((kinds.STEP_SUCCESS, key), float("inf")))
        return found

    def lines(self) -> list[str]:
        """What the runs have logged."""
        return [
            e.user_message for run in self.instance.get_runs() for e in self.instance.all_logs(run.run_id)
        ]


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where all is made that the two cells read."""
    folder = tmp_path_factory.mktemp("needed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder))
        place = Place(folder)
        place.make("training_sets")
        place.instance.dispose()
    return folder


@pytest.fixture
def place(needed: Path, tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A copy of it that has places for so many models."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    folder = shutil.copytree(needed, tmp_path / "home")
    settings = Home.at(folder).dagster("tiny").settings
    text = re.sub(r"default_limit: \d+", f"default_limit: {limit}", settings.read_text(encoding="utf-8"))
    settings.write_text(text, encoding="utf-8")
    there = Place(folder)
    yield there
    there.instance.dispose()


def by_job(place: Place, said: list[str]) -> None:
    job = place.definitions.get_job_def("bring_up_to_date")
    result = job.execute_in_process(instance=place.instance, run_config=run_config(place.study, [BESIDE]))
    said += [e.user_message for e in place.instance.all_logs(result.run_id)]


def by_command(place: Place, said: list[str]) -> None:
    place.make(BESIDE, Listener(waiting=said.append))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("beside", "limit"), [(by_job, 1), (by_command, 2)])
def test_a_ui_run_beside_a_job_or_a_command(place, beside, limit) -> None:
    """The UI's run holds a model and waits for a cell, until the other one waits or begins."""
    assert device_limit(place.instance) == limit
    said, ended = [], []
    store = place.home.store("tiny")
    ledger = store.path(store.ledger(PARENT))

    def give_back() -> None:
        until(lambda: STEP in place.steps() or [line for line in place.lines() if HELD in line] or said)
        aside.rename(ledger)

    with WorkerPool(greeting(place.study, place.home), 1) as pool, ThreadPoolExecutor(1) as threads:
        with hold_cells(store, [PARENT]):
            aside = ledger.rename(ledger.with_suffix(".aside"))
            pool.submit({"run": place.ui_run()}, ended.append)
            until(lambda: TRIAL.asset in place.steps())
            given = threads.submit(give_back)
            beside(place, said)
        given.result()
        until(lambda: ended)
    assert ended == [{"success": True}]
    (trained, scored) = (place.steps()[name] for name in (TRIAL.asset, STEP))
    overlap = scored[0] < trained[1] and trained[0] < scored[1]
    assert overlap is (limit > 1), (trained, scored)
    assert any(HELD in line and f"for {TRIAL} of tiny" in line for line in said) is (limit == 1)
