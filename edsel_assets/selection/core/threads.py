"""Work in threads, one per core, each with single-threaded products and room of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import torch

from edsel_assets.threads import one_core_each

BLOCK_ROWS, BLOCK_COLUMNS = 1024, 2048  # full speed of products at 8 MiB of scores a thread
Task = TypeVar("Task")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Task], Result], tasks: Iterable[Task], report: Callable[[int], None] | None = None
) -> list[Result]:
    """``work`` of every task, in task order, one thread per core with single-threaded products.

    ``report`` is called in the caller's thread with the number of tasks done.
    """
    results: list[Result] = []
    with one_core_each(torch.get_num_threads()) as pool:
        for result in pool.map(work, tasks):
            results.append(result)
            if report is not None:
                report(len(results))
    return results


class Scratch(threading.local):
    """Per thread, room for the scores of a block and for every pair in it."""

    def __init__(self) -> None:
        cells = BLOCK_ROWS * BLOCK_COLUMNS
        self.scores = torch.empty(cells)
        self.columns = np.empty(cells, dtype=np.int32)
        self.affinity = np.empty(cells, dtype=np.float32)

    def product(self, left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
        """left @ right.T as a (rows, columns) float32 array, valid until the thread's next product."""
        out = self.scores[: len(left) * len(right)].view(len(left), len(right))
        torch.mm(left, right.T, out=out)
        return out.numpy()
