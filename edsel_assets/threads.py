"""Threads that have one core each: the one helper of selection and of the language-model engine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_core_each(count: int) -> Iterator[ThreadPoolExecutor]:
    """``count`` threads in which each of PyTorch's operations runs on the calling thread alone."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # what threads started later take over
