"""Every lock and lease: one writer at a time, also across processes and machines.

A lock is one of the operating system (flock) on a file. It ends with the process that holds it, also by
kill -9, and holds across machines on a file system that shares such locks (NFS 4, Lustre). A lease is a lock
that says who holds it: who makes a cell holds its lease, and a run that is alive holds its own. Within one
process a lease that is held already is held once more.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edsel_assets.keys import CellKey
from edsel_assets.store.errors import named_failure

if TYPE_CHECKING:
    from edsel_assets.store.places import Store

_POLL_SECONDS = 0.2
_TELL_SECONDS = 60.0  # between two words to who waits
_HELD: dict[Path, int] = {}  # leases of this process, with how often each is held
_GUARD = threading.Lock()


class Busy(RuntimeError):
    """Another process holds a lease; the message names it."""


def lock(handle: int | IO[Any]) -> None:
    """Wait for the lock of an open file; it is held until the file is closed."""
    fcntl.flock(handle, fcntl.LOCK_EX)


def try_lock(handle: int | IO[Any]) -> bool:
    """Whether the lock of an open file was free; it is held then until the file is closed."""
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock of ``path``, made if absent; waits; yields its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock(handle)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def hold_cells(
    store: "Store",
    cells: Sequence[CellKey],
    *,
    wait: bool = True,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the leases of ``cells`` while the block runs.

    Args:
        wait: wait for other holders; otherwise raise Busy at the first.
        waiting: called with the reason when it has to wait, and once a minute as long as it does.
    """
    with ExitStack() as stack:
        # In one order everywhere, so that two runs never wait for each other.
        for cell in sorted(cells):
            what = f"{cell} is being made"
            stack.enter_context(hold(store.lease(cell), what, wait=wait, waiting=waiting))
        yield


@contextmanager
def hold(
    path: Path, what: str, *, wait: bool = True, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lease at ``path``; ``what`` is said of another holder: "CELL is being made"."""
    with hold_one([path], what, wait=wait, waiting=waiting):
        yield


@contextmanager
def hold_one(
    paths: Sequence[Path],
    what: str,
    *,
    purpose: str = "",
    wait: bool = True,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold one of the leases at ``paths``: the one that this process holds already, else the first free one.

    Args:
        what: is said of other holders: "CELL is being made".
        purpose: what it is held for, for those who wait.
        wait, waiting: see ``hold_cells``.
    """
    path = _once_more(paths)
    handle = None
    if path is None:
        path, handle = _lease(paths, what, purpose, wait, waiting)
    try:
        yield
    finally:
        with _GUARD:
            _HELD[path] -= 1
            if not _HELD[path]:
                del _HELD[path]
        if handle is not None:
            handle.close()


def _once_more(paths: Sequence[Path]) -> Path | None:
    """The first that this process holds, held once more."""
    with _GUARD:
        for path in paths:
            if path in _HELD:
                _HELD[path] += 1
                return path
    return None


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
            return not try_lock(handle)
    except FileNotFoundError:
        return False


def _lease(
    paths: Sequence[Path], what: str, purpose: str, wait: bool, waiting: Callable[[str], None] | None
) -> tuple[Path, IO[str]]:
    begun = time.monotonic()
    pause = 0.0  # until the next word to who waits
    while True:
        for path in paths:
            handle = _tried(path)
            if handle is None:
                continue
            with _GUARD:
                _HELD[path] = _HELD.get(path, 0) + 1
            _sign(handle, purpose)
            return path, handle
        reason = f"{what} by {' and '.join(map(_holder, paths))}"
        if not wait:
            raise Busy(f"{reason}; wait for it to end.")
        waited = time.monotonic() - begun
        if waiting and waited >= pause:
            so_far = f" for {waited / 60:.0f} min" if pause else ""
            waiting(f"{reason}; waiting{so_far} for it to end")
            pause += _TELL_SECONDS
        time.sleep(_POLL_SECONDS)


def _tried(path: Path) -> IO[str] | None:
    """The open file of a lease that was free, and is held now."""
    with named_failure(path, every=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    if try_lock(handle):
        return handle
    handle.close()
    return None


def _sign(handle: IO[str], purpose: str) -> None:
    """Write who holds a lease, and what for."""
    holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.time(), "for": purpose}
    handle.truncate(0)
    handle.write(json.dumps(holder))
    handle.flush()


def _holder(path: Path) -> str:
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        purpose = f" for {held['for']}" if held.get("for") else ""
        return f"process {held['process']} on {held['host']}{purpose}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has not written its name yet
