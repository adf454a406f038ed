"""When a request is sent, and when it is sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Found = TypeVar("Found")

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses of a failure that may pass."""


class PassingFailure(Exception):
    """A failure that may pass; ``after`` is the pause in seconds that the server asks for."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def pause_asked_for(headers: Mapping[str, str]) -> float | None:
    """The seconds of ``retry-after``."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # absent, or a date, which the growing pauses stand in for
        return None


class Asker:
    """Repeats what fails for the moment, and spaces the starts of requests over all threads.

    Pauses grow and are jittered, unless the server asks for one.

    Args:
        attempts: how often one request is tried.
        max_pause: between two tries, in seconds.
        per_minute: requests at most, evenly spaced; None for no limit.
    """

    def __init__(
        self,
        attempts: int,
        *,
        max_pause: float = 60.0,
        per_minute: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise ValueError(f"attempts must be a whole number of at least 1; got {attempts!r}.")
        if per_minute is not None and not per_minute > 0:
            raise ValueError(f"requests_per_minute must be positive; got {per_minute!r}.")
        self._attempts, self._max_pause = attempts, max_pause
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._sleep, self._clock, self._next = sleep, clock, float("-inf")
        self._lock = threading.Lock()

    def ask(self, once: Callable[[], Found]) -> Found:
        """What ``once`` returns, after as many tries as it takes.

        Raises:
            PassingFailure: that of the last try.
        """
        import tenacity

        growing = tenacity.wait_exponential(multiplier=0.5) + tenacity.wait_random(0, 0.5)

        def pause(state: tenacity.RetryCallState) -> float:
            error: Any = state.outcome.exception() if state.outcome else None
            return min(growing(state) if error.after is None else error.after, self._max_pause)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailure),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(once)
        except PassingFailure as error:
            raise PassingFailure(f"{error}; given up after {self._attempts} tries") from None

    def wait_for_turn(self) -> None:
        """Return when the next request may start."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)
