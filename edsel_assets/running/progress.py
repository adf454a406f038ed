"""How far a long step is: lines in the run's log, and a bar where ``edsel run`` draws one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Where ``edsel run`` draws; nothing elsewhere.
_LISTENERS: list[Callable[[str, int, int], None]] = []


def progress_log(log: Any, what: str) -> Callable[[int, int], None]:
    """A progress callback (done, total): a line to ``log`` at each tenth, and the listeners told.

    Args:
        log: with a method ``info``.
    """
    told = {"tenth": 0}

    def progress(done: int, total: int) -> None:
        tenth = 10 * done // max(1, total)
        if tenth > told["tenth"]:
            told["tenth"] = tenth
            log.info(f"{what}: {done} of {total}")
        for listener in _LISTENERS:
            listener(what, done, total)

    return progress


@contextmanager
def listening(listener: Callable[[str, int, int], None]) -> Iterator[None]:
    """Have ``listener`` told (what, done, total) of every long step while the block runs."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)
