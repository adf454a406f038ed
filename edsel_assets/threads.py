"""Threads that have one core each: the one helper of selection and of the language-model engine."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


class Abandoned(BaseException):
    """Raised in a thread whose work nobody waits for any more."""


class _Threads(ThreadPoolExecutor):
    """Threads whose work can be ended where it stands: between two operations of PyTorch."""

    def __init__(self, count: int) -> None:
        super().__init__(count, initializer=torch.set_num_threads, initargs=(1,))
        self._running: set[int] = set()
        self._guard = threading.Lock()

    def submit(self, function: Callable[..., Result], /, *args: Any, **named: Any) -> Future[Result]:
        def watched() -> Result:
            own = threading.get_ident()
            with self._guard:
                self._running.add(own)
            try:
                return function(*args, **named)
            finally:
                with self._guard:
                    self._running.discard(own)

        return super().submit(watched)

    def abandon(self) -> None:
        """Begin nothing more, and raise Abandoned in what is running."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._guard:
            for thread in map(ctypes.c_ulong, self._running):
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Abandoned))


@contextmanager
def one_core_each(count: int) -> Iterator[ThreadPoolExecutor]:
    """``count`` threads in which each of PyTorch's operations runs on the calling thread alone.

    Where the block is left by an exception, such as that of Ctrl-C, the threads end at their next operation:
    a batch of a large model would else hold the process for minutes.
    """
    before = torch.get_num_threads()
    try:
        with _Threads(count) as pool:
            try:
                yield pool
            except BaseException:
                pool.abandon()
                raise
    finally:
        torch.set_num_threads(before)  # what threads started later take over
