"""Leases: who makes a cell holds its lease, and a run that is alive holds its own.

A lease is a lock of the operating system (flock) on a file, so it ends with the process that holds it,
also by kill -9, and it holds across machines on a file system that shares such locks (NFS 4, Lustre).
Within one process a lease that is held already is held once more.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from edsel_assets.planning.cells import Cell
from edsel_assets.store import named_failure

_POLL_SECONDS = 0.2
_HELD: dict[Path, int] = {}  # leases of this process, with how often each is held
_GUARD = threading.Lock()


class Busy(RuntimeError):
    """Another process holds a lease; the message names it."""


def cell_lease(root: Path, cell: Cell) -> Path:
    """The lease file of a cell of the store at ``root``."""
    *folders, name = cell.folder
    return root.joinpath(".leases", *folders, f"{name}.lease")


def run_lease(dagster_home: Path, run_id: str) -> Path:
    """The lease file of a run."""
    return dagster_home / "run_leases" / f"{run_id}.lease"


@contextmanager
def hold_cells(
    root: Path,
    cells: Sequence[Cell],
    *,
    wait: bool = True,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the leases of ``cells`` while the block runs.

    Args:
        wait: wait for other holders; otherwise raise Busy at the first.
        waiting: called once with the reason when it has to wait.
    """
    with ExitStack() as stack:
        # In one order everywhere, so that two runs never wait for each other.
        for cell in sorted(cells):
            path = cell_lease(root, cell)
            stack.enter_context(hold(path, f"{cell} is being made", wait=wait, waiting=waiting))
        yield


@contextmanager
def hold(
    path: Path, what: str, *, wait: bool = True, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lease at ``path``; ``what`` is said of another holder: "CELL is being made"."""
    with _GUARD:
        again = path in _HELD
        if again:
            _HELD[path] += 1
    handle = None if again else _lock(path, what, wait, waiting)
    try:
        yield
    finally:
        with _GUARD:
            _HELD[path] -= 1
            if not _HELD[path]:
                del _HELD[path]
        if handle is not None:
            handle.close()


def is_held(path: Path) -> bool:
    """Whether a living process, this one or another, holds the lease at ``path``."""
    with _GUARD:
        if path in _HELD:
            return True
    return held_elsewhere(path)


def held_elsewhere(path: Path) -> bool:
    """Whether another living process holds the lease at ``path``."""
    with _GUARD:
        if path in _HELD:
            return False
    try:
        with path.open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(path: Path, what: str, wait: bool, waiting: Callable[[str], None] | None) -> IO[str]:
    told = False
    while True:
        with named_failure(path, every=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = f"{what} by {_holder(path)}"
            handle.close()
            if not wait:
                raise Busy(f"{reason}; wait for it to end.") from None
            if waiting and not told:
                waiting(f"{reason}; waiting for it to end")
                told = True
            time.sleep(_POLL_SECONDS)
            continue
        with _GUARD:
            _HELD[path] = _HELD.get(path, 0) + 1
        handle.truncate(0)
        handle.write(json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}))
        handle.flush()
        return handle


def _holder(path: Path) -> str:
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return f"process {held['process']} on {held['host']}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has not written its name yet
