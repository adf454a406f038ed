"""Block products on the CPU, each worked up by the thread that made it while it lies in its cache.

One thread per core takes whole blocks, product and scan, which needs no barrier between the two
and lets symmetric work skip every block under the diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from edsel_assets.selection.core.threads import BLOCK_COLUMNS, BLOCK_ROWS, Scratch, in_threads
from edsel_assets.selection.facility import kernels
from edsel_assets.selection.facility.similarity import LOWEST, UNIT, Kernel


@dataclass(frozen=True)
class CpuRows:
    """Similarity rows computed whenever they are asked for: nothing of size N x N."""

    kernel: Kernel

    def weights(self, points: torch.Tensor) -> torch.Tensor:
        """(r, N) int32 weights of the (r,) int64 ``points``."""
        return self.kernel.weights(points)

    def fold(self, points: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """(N,) int64 sum over ``points`` of demand (clamp(w, old, new) - old); old and new: (r,) int32."""
        kernel, scratch = self.kernel, Scratch()
        rows, low, high = points.numpy(), old.numpy(), new.numpy()
        picked = kernel.points[points]
        halves = kernel.halves.numpy()
        floors = kernel.threshold(low)
        demand = kernel.demand.numpy()[rows]
        total = np.zeros(kernel.size, dtype=np.int64)

        def column_block(left: int) -> None:
            columns = slice(left, min(left + BLOCK_COLUMNS, kernel.size))
            for top in range(0, len(rows), BLOCK_ROWS):
                part = slice(top, top + BLOCK_ROWS)
                scores = scratch.product(picked[part], kernel.points[columns])
                scores -= halves[rows[part], None] + halves[columns]
                _correct(kernel, scores, rows[part], columns, floors[part])
                kernels.fold(
                    scores, kernel.name == "rbf", UNIT, low[part], high[part], floors[part], demand[part],
                    total[columns],
                )  # fmt: skip

        in_threads(column_block, range(0, kernel.size, BLOCK_COLUMNS))
        return torch.from_numpy(total)


def _correct(kernel: Kernel, block: np.ndarray, rows: np.ndarray, columns: slice, floors: np.ndarray) -> None:
    """Set affinities of prompts with themselves, and of a sharp kernel's near pairs, free of rounding."""
    if kernel.sharp:
        near, far = np.nonzero(block > floors[:, None])
        exact = np.empty(len(near))
        first, second = rows[near].astype(np.int32), (far + columns.start).astype(np.int32)
        kernels.pair_affinity(kernel.points.numpy(), first, second, exact)
        block[near, far] = exact
    own = np.flatnonzero((rows >= columns.start) & (rows < columns.stop))
    block[own, rows[own] - columns.start] = 0.0 if kernel.name == "rbf" else 1.0


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
        count = kernels.gather(
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
        kernels.pair_affinity(kernel.points.numpy(), rows, columns, exact)
    weight = np.exp(np.minimum(exact, 0)) if kernel.name == "rbf" else np.clip(exact, 0, 1)
    return np.rint(weight * UNIT).astype(np.int32)


def whole_thresholds(kernel: Kernel) -> np.ndarray:
    """(N,) thresholds under which a pair has weight zero."""
    lowest = LOWEST if kernel.name == "rbf" else 0.5 / UNIT
    return np.full(kernel.size, lowest - kernel.slack, dtype=np.float32)
