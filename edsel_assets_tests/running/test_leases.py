"""Leases: held by one process at a time, gone with it, and never in each other's way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edsel_assets.planning.cells import Cell
from edsel_assets.store import Store
from edsel_assets.store.locks import Busy, held_elsewhere, hold_cells, is_held

CELL = Cell("rankings", "kmq")
HOLDER = """
import sys, time
from pathlib import Path
from edsel_assets.planning.cells import Cell
from edsel_assets.store.locks import hold_cells
from edsel_assets.store import Store
with hold_cells(Store(Path(sys.argv[1])), [Cell("rankings", "kmq")]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lease of CELL."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_another_process_cannot_hold_it_and_is_told_who_does(tmp_path, holder) -> None:
    with (
        pytest.raises(Busy, match=rf"rankings\[kmq\] is being made by process {holder.pid} on "),
        hold_cells(Store(tmp_path), [CELL], wait=False),
    ):
        pass
    assert held_elsewhere(Store(tmp_path).lease(CELL))


def test_a_killed_process_holds_nothing(tmp_path, holder) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with hold_cells(Store(tmp_path), [CELL], wait=False):
        assert is_held(Store(tmp_path).lease(CELL))
    assert not is_held(Store(tmp_path).lease(CELL))


def test_who_waits_is_told_once_and_goes_on_when_it_is_free(tmp_path, holder) -> None:
    told: list[str] = []

    def waiting(reason: str) -> None:
        told.append(reason)
        os.kill(holder.pid, signal.SIGKILL)

    start = time.monotonic()
    with hold_cells(Store(tmp_path), [CELL], waiting=waiting):
        assert time.monotonic() - start < 60
    assert len(told) == 1


def test_within_a_process_a_lease_is_held_until_the_outer_block_ends(tmp_path) -> None:
    path = Store(tmp_path).lease(CELL)
    with hold_cells(Store(tmp_path), [CELL]):
        with hold_cells(Store(tmp_path), [CELL], wait=False):
            pass
        assert is_held(path)
        assert not held_elsewhere(path)
    assert not is_held(path)


def test_leases_taken_before_a_refusal_are_given_back(tmp_path, holder) -> None:
    free = Cell("embeddings")
    with pytest.raises(Busy), hold_cells(Store(tmp_path), [free, CELL], wait=False):
        pass
    assert not is_held(Store(tmp_path).lease(free))


def test_a_lease_that_nobody_ever_held_is_not_held(tmp_path) -> None:
    assert not is_held(Store(tmp_path).lease(CELL))
