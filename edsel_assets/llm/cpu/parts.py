"""Kernels in parts: on all of PyTorch's threads, or in the caller's alone where those are limited to one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch


def in_parts(kernel: Callable[..., None], arguments: tuple[Any, ...], count: int, least: int) -> None:
    """``kernel(*arguments, first, last)`` over ranges of 0 to ``count``, each of at least ``least``.

    The kernel must let go of the interpreter's lock.
    """
    parts = max(1, min(torch.get_num_threads(), count // least))
    if parts == 1:
        kernel(*arguments, 0, count)
        return
    ends = [count * part // parts for part in range(parts + 1)]
    running = [_pool().submit(kernel, *arguments, *ends[part : part + 2]) for part in range(1, parts)]
    kernel(*arguments, 0, ends[1])
    for part in running:
        part.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="edsel-kernel")
