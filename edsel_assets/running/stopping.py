"""An end by Ctrl-C or TERM: which of the two came, whatever handlers a library sets meanwhile.

Dagster takes both signals over while a step runs and makes one exception of them, so the handlers of this
process cannot tell. The system's own note of each signal does.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_MESSAGES = {
    signal.SIGINT: "Interrupted. What is finished is kept; the same command goes on from there.",
    signal.SIGTERM: "Stopped by TERM. What is finished is kept; the same command goes on from there.",
}


_AGAIN_SECONDS = 0.05


class Stopped(Exception):
    """A person or the system ended the command; the text says so, ``code`` is what to exit with."""

    def __init__(self, number: int) -> None:
        super().__init__(_MESSAGES[signal.Signals(number)])
        self.code = 128 + number


def watch_signals() -> Callable[[], Stopped]:
    """From now on TERM interrupts like Ctrl-C; the function given says afterwards which of them came."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _once_more

    def stopped() -> Stopped:
        # A second one while this process cleans up would only cut that short.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        try:
            come = [number for number in os.read(reading, 4096) if number in tuple(_MESSAGES)]
        except BlockingIOError:  # raised by other means than a signal
            come = []
        return Stopped(come[0] if come else signal.SIGINT)

    return stopped


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _once_more(lost: Any) -> None:
    """An interrupt that came while an object was given back is dropped by Python; it is sent once more."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)
