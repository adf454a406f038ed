"""Block products on the CPU, each worked up by the thread that made it while it lies in its cache.

One thread per core takes whole blocks, product and scan, which needs no barrier between the two
and lets symmetric work skip every block under the diagonal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numba
import numpy as np
import torch

from edsel_assets.selection._facility_kernel import LOWEST, UNIT, Kernel

BLOCK_ROWS, BLOCK_COLUMNS = 1024, 2048  # full speed of products at 8 MiB of scores a thread
Task = TypeVar("Task")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Task], Result], tasks: Iterable[Task], report: Callable[[int], None] | None = None
) -> list[Result]:
    """``work`` of every task, in task order, one thread per core with single-threaded products.

    ``report`` is called in the caller's thread with the number of tasks done.
    """
    results = []
    threads = torch.get_num_threads()
    try:
        # Within a worker this limits that worker's own products only.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for result in pool.map(work, tasks):
                results.append(result)
                if report is not None:
                    report(len(results))
    finally:
        torch.set_num_threads(threads)  # what threads started later take over
    return results


class Scratch(threading.local):
    """A product buffer per thread."""

    def __init__(self) -> None:
        self.scores = torch.empty(BLOCK_ROWS * BLOCK_COLUMNS)

    def product(self, left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
        """left @ right.T as a (rows, columns) float32 array, valid until the thread's next product."""
        out = self.scores[: len(left) * len(right)].view(len(left), len(right))
        torch.mm(left, right.T, out=out)
        return out.numpy()


@dataclass(frozen=True)
class CpuRows:
    """Similarity rows computed whenever they are asked for: nothing of size N x N."""

    kernel: Kernel

    def weights(self, points: torch.Tensor) -> torch.Tensor:
        """(r, N) int32 weights of the (r,) int64 ``points``."""
        return self.kernel.weights(points)

    def fold(self, points: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """(N,) int64 sum over ``points`` of clamp(w, old, new) - old; old and new are (r,) int32."""
        if self.kernel.sharp:
            return _fold_rows(self, points, old, new)
        kernel, scratch = self.kernel, Scratch()
        rows, low, high = points.numpy(), old.numpy(), new.numpy()
        picked = kernel.points[points]
        halves = kernel.halves.numpy()
        floors = kernel.threshold(low)
        total = np.zeros(kernel.size, dtype=np.int64)

        def column_block(left: int) -> None:
            columns = slice(left, min(left + BLOCK_COLUMNS, kernel.size))
            for top in range(0, len(rows), BLOCK_ROWS):
                part = slice(top, top + BLOCK_ROWS)
                scores = scratch.product(picked[part], kernel.points[columns])
                _fold(
                    scores, halves[rows[part]], halves[columns], kernel.name == "rbf", rows[part], left,
                    low[part], high[part], floors[part], total[columns],
                )  # fmt: skip

        in_threads(column_block, range(0, kernel.size, BLOCK_COLUMNS))
        return torch.from_numpy(total)


def _fold_rows(rows: CpuRows, points: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(rows.kernel.size, dtype=torch.int64)
    for start in range(0, len(points), 64):
        part = slice(start, start + 64)
        low = old[part, None]
        total += torch.clamp(rows.weights(points[part]), low, new[part, None]).sub_(low).sum(0)
    return total


@numba.njit(cache=True, nogil=True)
def _fold(scores, row_halves, column_halves, rbf, rows, left, low, high, floors, total):
    for r in range(scores.shape[0]):
        row, half, floor = scores[r], row_halves[r], floors[r]
        lowest, highest = low[r], high[r]
        own = rows[r] - left
        if 0 <= own < row.size:
            row[own] = half + column_halves[own] + (0.0 if rbf else 1.0)  # w_ii = 1 whatever it rounds to
        if rbf:
            for c in range(row.size):
                if row[c] - half - column_halves[c] > floor:
                    affinity = np.float64(row[c]) - half - column_halves[c]
                    weight = np.int64(np.rint(min(np.exp(affinity), 1.0) * UNIT))
                    total[c] += min(max(weight, lowest), highest) - lowest
        else:
            for c in range(row.size):
                fixed = np.int32(row[c] * UNIT + np.float32(0.5))
                total[c] += min(max(fixed, lowest), highest) - lowest


@dataclass(frozen=True)
class HalfPairs:
    """Pairs (i, j), i < j, in pieces of int32 rows, int32 columns and int32 weights."""

    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    def __len__(self) -> int:
        return sum(len(rows) for rows, _, _ in self.pieces)


def near_pairs(
    kernel: Kernel, thresholds: np.ndarray, most: int, report: Callable[[float], None] | None = None
) -> HalfPairs | None:
    """Every pair i < j whose a_ij exceeds the (N,) float32 ``thresholds`` of i or of j.

    Only blocks on and over the diagonal are multiplied: N^2 d operations in all, half a product.
    Returns None once there are more than ``most`` pairs. ``report`` is called with the share done.
    """
    halves = kernel.halves.numpy()
    terms = halves + thresholds
    scratch = Scratch()
    found = 0

    def one_block(corner: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nonlocal found
        if found > most:
            nothing = np.empty(0, dtype=np.int32)
            return nothing, nothing, nothing
        top, left = corner
        rows, columns = slice(top, top + BLOCK_ROWS), slice(left, left + BLOCK_COLUMNS)
        scores = scratch.product(kernel.points[rows], kernel.points[columns])
        count = _count(scores, halves[rows], halves[columns], terms[rows], terms[columns], top, left)
        found_rows, found_columns = np.empty(count, np.int32), np.empty(count, np.int32)
        affinity = np.empty(count, np.float32)
        _gather(
            scores, halves[rows], halves[columns], terms[rows], terms[columns], top, left,
            found_rows, found_columns, affinity,
        )  # fmt: skip
        weights = pair_weights(kernel, found_rows, found_columns, affinity)
        found += count
        return found_rows, found_columns, weights

    corners = [
        (top, left)
        for top in range(0, kernel.size, BLOCK_ROWS)
        for left in range(top, kernel.size, BLOCK_COLUMNS)
    ]
    share = None if report is None else lambda done: report(done / len(corners))
    pieces = in_threads(one_block, corners, share)
    return None if found > most else HalfPairs(pieces)


def pair_weights(kernel: Kernel, rows: np.ndarray, columns: np.ndarray, affinity: np.ndarray) -> np.ndarray:
    """int32 weights of pairs from their affinities, recomputed where products are too coarse."""
    exact = affinity.astype(np.float64)
    if kernel.sharp:
        first, second = (torch.from_numpy(side.astype(np.int64)) for side in (rows, columns))
        exact = kernel.pair_affinity(first, second).numpy()
    weight = np.exp(np.minimum(exact, 0)) if kernel.name == "rbf" else np.clip(exact, 0, 1)
    return np.rint(weight * UNIT).astype(np.int32)


def whole_thresholds(kernel: Kernel) -> np.ndarray:
    """(N,) thresholds under which a pair has weight zero."""
    lowest = LOWEST if kernel.name == "rbf" else 0.5 / UNIT
    return np.full(kernel.size, lowest - kernel.slack, dtype=np.float32)


# In the two kernels below a score is y_i . y_j; its pair is kept where the affinity
# score - h_i - h_j passes a threshold t, written score - h_j > t_i + h_i so that it vectorises.


@numba.njit(cache=True, nogil=True)
def _count(scores, row_halves, column_halves, row_terms, column_terms, top, left):
    count = 0
    for r in range(scores.shape[0]):
        row, half, term = scores[r], row_halves[r], row_terms[r]
        for c in range(max(0, top + r + 1 - left), row.size):
            count += (row[c] - column_halves[c] > term) | (row[c] - half > column_terms[c])
    return count


@numba.njit(cache=True, nogil=True)
def _gather(scores, row_halves, column_halves, row_terms, column_terms, top, left, rows, columns, affinity):
    at = 0
    for r in range(scores.shape[0]):
        row, half, term = scores[r], row_halves[r], row_terms[r]
        for start in range(max(0, top + r + 1 - left), row.size, 64):
            stop = min(start + 64, row.size)
            hits = 0  # whole stretches without a pair are passed over with vector instructions
            for c in range(start, stop):
                hits += (row[c] - column_halves[c] > term) | (row[c] - half > column_terms[c])
            if hits:
                for c in range(start, stop):
                    if (row[c] - column_halves[c] > term) | (row[c] - half > column_terms[c]):
                        rows[at], columns[at] = top + r, left + c
                        affinity[at] = row[c] - half - column_halves[c]
                        at += 1
