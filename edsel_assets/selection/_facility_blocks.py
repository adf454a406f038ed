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
    results: list[Result] = []
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


@dataclass(frozen=True)
class CpuRows:
    """Similarity rows computed whenever they are asked for: nothing of size N x N."""

    kernel: Kernel

    def weights(self, points: torch.Tensor) -> torch.Tensor:
        """(r, N) int32 weights of the (r,) int64 ``points``."""
        return self.kernel.weights(points)

    def fold(self, points: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """(N,) int64 sum over ``points`` of clamp(w, old, new) - old; old and new are (r,) int32."""
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
                scores -= halves[rows[part], None] + halves[columns]
                _correct(kernel, scores, rows[part], columns, floors[part])
                _fold(scores, kernel.name == "rbf", low[part], high[part], floors[part], total[columns])

        in_threads(column_block, range(0, kernel.size, BLOCK_COLUMNS))
        return torch.from_numpy(total)


def _correct(kernel: Kernel, block: np.ndarray, rows: np.ndarray, columns: slice, floors: np.ndarray) -> None:
    """Set affinities of prompts with themselves, and of a sharp kernel's near pairs, free of rounding."""
    if kernel.sharp:
        near, far = np.nonzero(block > floors[:, None])
        exact = np.empty(len(near))
        first, second = rows[near].astype(np.int32), (far + columns.start).astype(np.int32)
        _pair_affinity(kernel.points.numpy(), first, second, exact)
        block[near, far] = exact
    own = np.flatnonzero((rows >= columns.start) & (rows < columns.stop))
    block[own, rows[own] - columns.start] = 0.0 if kernel.name == "rbf" else 1.0


@numba.njit(cache=True, nogil=True)
def _fold(affinity, rbf, low, high, floors, total):
    """Add to ``total`` the sum over rows of clamp(w, low, high) - low."""
    for r in range(affinity.shape[0]):
        row, floor, lowest, highest = affinity[r], floors[r], low[r], high[r]
        for c in range(row.size):
            if rbf:
                if row[c] > floor:
                    weight = np.int64(np.rint(np.exp(min(np.float64(row[c]), 0.0)) * UNIT))
                    total[c] += min(max(weight, lowest), highest) - lowest
            else:
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
        counts = np.empty(len(scores), dtype=np.int64)
        count = _gather(
            scores, halves[rows], halves[columns], terms[rows], terms[columns], top, left,
            counts, scratch.columns, scratch.affinity,
        )  # fmt: skip
        found_rows = np.repeat(np.arange(top, top + len(scores), dtype=np.int32), counts)
        found_columns, affinity = scratch.columns[:count].copy(), scratch.affinity[:count]
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
        _pair_affinity(kernel.points.numpy(), rows, columns, exact)
    weight = np.exp(np.minimum(exact, 0)) if kernel.name == "rbf" else np.clip(exact, 0, 1)
    return np.rint(weight * UNIT).astype(np.int32)


def whole_thresholds(kernel: Kernel) -> np.ndarray:
    """(N,) thresholds under which a pair has weight zero."""
    lowest = LOWEST if kernel.name == "rbf" else 0.5 / UNIT
    return np.full(kernel.size, lowest - kernel.slack, dtype=np.float32)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _pair_affinity(points, rows, columns, affinity):
    """a_ij of an RBF kernel in float64 by differences, which products of near points blur."""
    for p in range(rows.size):
        left, right = points[rows[p]], points[columns[p]]
        total = 0.0
        for k in range(left.size):
            gap = np.float64(left[k]) - np.float64(right[k])
            total += gap * gap
        affinity[p] = -0.5 * total


@numba.njit(cache=True, nogil=True)
def _gather(scores, row_halves, column_halves, row_terms, column_terms, top, left, counts, columns, affinity):
    """Pairs whose affinity, score - h_i - h_j, passes the threshold t of a side: score - h_j > t_i + h_i."""
    at = 0
    nearest, easiest = column_halves.min(), column_terms.min()
    likely = np.empty(scores.shape[1], dtype=np.int32)
    for r in range(scores.shape[0]):
        row, half, term = scores[r], row_halves[r], row_terms[r]
        least = min(term + nearest, half + easiest)  # under it no score of the row passes
        count = 0
        for c in range(max(0, top + r + 1 - left), row.size):
            likely[count] = c  # always written, kept by moving on: no branch to mispredict
            count += row[c] > least
        before = at
        for c in likely[:count]:
            if row[c] - column_halves[c] > term or row[c] - half > column_terms[c]:
                columns[at] = left + c
                affinity[at] = row[c] - half - column_halves[c]
                at += 1
        counts[r] = at - before
    return at
