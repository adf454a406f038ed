"""Compiled passes over blocks of products on the CPU, each in the thread that made the block.

A product entry p = x.y stands for the squared distance |x|^2 + |y|^2 - 2 p, off by at most ``error``;
what lies within that of a decision is settled by float64 differences.

The cache of compiled code is renewed when this file changes and knows of no other. So a kernel reads
only its arguments and what stands in this file, never a name from another module of the package.
"""

from __future__ import annotations

import numba
import numpy as np

Array = np.ndarray


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _square(x: Array, y: Array) -> float:
    total = 0.0
    for k in range(x.size):
        apart = np.float64(x[k]) - np.float64(y[k])
        total += apart * apart
    return total


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _least(product: Array, norms: Array) -> np.float32:
    least = np.float32(np.inf)
    for c in range(norms.size):
        least = min(least, norms[c] - 2 * product[c])
    return least


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def two_least(products: Array, norms: Array, labels: Array, nearest: Array, second: Array) -> None:
    """Of each row, where ``norms[c] - 2 * products[r, c]`` is least, that value and the next."""
    for r in range(products.shape[0]):
        product, at, least, next_least = products[r], 0, np.float32(np.inf), np.float32(np.inf)
        for c in range(norms.size):
            value = norms[c] - 2 * product[c]
            if value < next_least:
                if value < least:
                    at, least, next_least = c, value, least
                else:
                    next_least = value
        labels[r], nearest[r], second[r] = at, least, next_least


@numba.njit(cache=True, nogil=True)
def lower(
    products: Array,
    first: int,
    points: Array,
    centres: Array,
    norms: Array,
    centre_norms: Array,
    error: float,
    nearest: Array,
) -> None:
    """Bring ``nearest`` ((N,) float64) of the points from ``first`` on down to the new centres'."""
    for r in range(products.shape[0]):
        product, row = products[r], first + r
        if nearest[row] == 0:
            continue
        least = _least(product, centre_norms)
        if least + norms[row] <= nearest[row] + error:
            for c in range(centre_norms.size):
                if centre_norms[c] - 2 * product[c] <= least + 2 * error:
                    nearest[row] = min(nearest[row], _square(points[row], centres[c]))


@numba.njit(cache=True, nogil=True)
def add_rows(points: Array, labels: Array, sums: Array) -> None:
    """Add the points to the (C, d) float64 ``sums`` by their ``labels``, in order; under 0: to none."""
    for row in range(labels.size):
        if labels[row] >= 0:
            total, point = sums[labels[row]], points[row]
            for k in range(point.size):
                total[k] += point[k]
