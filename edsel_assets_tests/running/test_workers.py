"""Worker processes: one is kept for the next request, a killed one is said and replaced, none outlives us."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edsel_assets.planning.cells import Cell
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.running.instance import dagster_home
from edsel_assets.running.local import RunFailed
from edsel_assets.running.workers import Worker, WorkerDied, WorkerPool, greeting
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    dagster_home(Home.at(tmp_path), "tiny")
    with WorkerPool(greeting(tiny_study(), Home.at(tmp_path)), 2) as workers:
        yield workers


def test_a_worker_makes_cells_and_is_kept(pool, tmp_path) -> None:
    pool.start([Cell("orders")])
    batch, made = pool.wait()
    assert list(batch) == list(made) == [Cell("orders")]
    assert read_ledger(Home.at(tmp_path).store("tiny"), Cell("orders")) is not None
    (first,) = pool._idle
    pool.start([Cell("orders")])
    batch, made = pool.wait()
    assert list(made) == [], "it is fresh now"
    assert pool._idle == [first]


def test_a_cell_that_fails_is_said_by_name_and_the_worker_goes_on(pool) -> None:
    pool.start([Cell("annotations")])
    with pytest.raises(RunFailed, match=r"annotations: purchases is not there yet"):
        pool.wait()
    pool.start([Cell("orders")])
    assert pool.wait()[1] == [Cell("orders")]


def test_a_killed_worker_is_said_and_another_takes_its_place(pool) -> None:
    began: list[Worker] = []
    pool.submit(
        {"cells": [["pool", None]]}, lambda answer: pool._ended.put(([Cell("pool")], answer)), began.append
    )
    os.kill(began[0].pid, signal.SIGKILL)
    with pytest.raises(RunFailed, match=r"pool: the worker process ended \(exit -9\)"):
        pool.wait()
    pool.start([Cell("orders")])
    assert pool.wait()[1] == [Cell("orders")]


def test_a_worker_ends_with_its_input(tmp_path) -> None:
    dagster_home(Home.at(tmp_path), "tiny")
    worker = Worker(greeting(tiny_study(), Home.at(tmp_path)))
    worker.end(at_once=False)
    deadline = time.monotonic() + 120  # a busy machine takes long to start Python
    while worker.alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.alive()
    with pytest.raises((WorkerDied, ValueError)):
        worker.ask({"cells": []}, print)


@pytest.mark.parametrize("name", ["bhatt2024", "yu2024", "demo"])
def test_a_study_with_variants_reaches_a_worker_as_it_is(name, monkeypatch) -> None:
    monkeypatch.setenv("EDSEL_POOL", "pool.jsonl")
    study = Study.load(name)
    said = json.loads(json.dumps(greeting(study, Home.at("home"))))
    there = Study.model_validate(said["study"])
    assert there == study
    assert [there.selection.of(each) for each in there.selection.names] == [
        study.selection.of(each) for each in study.selection.names
    ]
