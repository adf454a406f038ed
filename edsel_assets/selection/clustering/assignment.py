"""The nearest centroids of every point: float32 products, whose near ties are settled in float64.

The same on any torch device. Symbols: N points, d dimensions, C clusters. Assumes valid input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from edsel_assets.selection.core import distance_kernels
from edsel_assets.selection.core.distances import pair_squares, product_error
from edsel_assets.selection.core.threads import BLOCK_COLUMNS, BLOCK_ROWS, Scratch, in_threads

SETTLE_ROWS = 4096  # rows settled at a time
PRODUCT_BYTES = 256 << 20  # of the products held at a time on a GPU
SUM_BYTES = 64 << 20  # of the whole numbers summed at a time on a GPU


@dataclass(frozen=True)
class Assignment:
    """Each point's cluster.

    Attributes:
        labels: (N,) int64, the nearest centroid, the first of equals.
        nearest, second: (N,) float32 squared distances to the two nearest centroids; ``second`` is
            infinite where there is one cluster.
    """

    labels: np.ndarray
    nearest: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class Points:
    """(N, d) float32 points, put on their device once, and what is known of them."""

    matrix: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    @cached_property
    def norms(self) -> torch.Tensor:
        """(N,) float32 squared lengths."""
        return torch.linalg.vector_norm(self.matrix, dim=1).square_()

    @cached_property
    def error(self) -> float:
        return product_error(self.matrix)

    @cached_property
    def largest(self) -> float:
        """The largest coordinate without its sign."""
        return max(float(self.matrix.max()), -float(self.matrix.min()))

    def rows(self, numbers: np.ndarray) -> torch.Tensor:
        """(r, d) of the points by their numbers, (r,) int64."""
        return self.matrix[self.put(numbers)]

    def put(self, numbers: np.ndarray) -> torch.Tensor:
        """An array on the device of the points."""
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self.device)


def assign(points: Points, centroids: torch.Tensor) -> Assignment:
    """Every point to the nearest of the (C, d) float32 centroids, which lie on the same device."""
    two_nearest = _by_threads if points.device.type == "cpu" else _by_blocks
    labels, nearest, second = two_nearest(points, centroids)
    norms = points.norms.cpu().numpy()
    nearest, second = np.maximum(nearest + norms, 0), np.maximum(second + norms, 0)
    # Float32 products only rule out: what they cannot tell apart does not depend on threads or hardware.
    error = max(points.error, product_error(centroids))
    close = np.flatnonzero(second - nearest <= 2 * error)
    for start in range(0, len(close), SETTLE_ROWS):
        rows = close[start : start + SETTLE_ROWS]
        labels[rows] = _settled(points, rows, centroids, error)
    return Assignment(labels, nearest, second)


def _by_threads(points: Points, centroids: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) labels and the two least |c|^2 - 2 x.c, which are the squared distances less |x|^2."""
    size = len(points.matrix)
    labels = np.empty(size, dtype=np.int64)
    nearest, second = np.empty((2, size), dtype=np.float32)
    scratch, norms = Scratch(), centroids.square().sum(1).numpy()
    step = max(1, min(BLOCK_ROWS, BLOCK_ROWS * BLOCK_COLUMNS // len(centroids)))

    def block(start: int) -> None:
        part = slice(start, start + step)
        products = scratch.product(points.matrix[part], centroids)
        distance_kernels.two_least(products, norms, labels[part], nearest[part], second[part])

    in_threads(block, range(0, size, step))
    return labels, nearest, second


def _by_blocks(points: Points, centroids: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same by the products of whole blocks, on a GPU."""
    norms, found = centroids.square().sum(1), []
    for rows in points.matrix.split(max(1, PRODUCT_BYTES // (4 * len(centroids)))):
        partial = torch.addmm(norms, rows, centroids.T, alpha=-2.0)
        found.append(partial.topk(min(2, len(centroids)), largest=False))
    values = torch.cat([each.values for each in found]).cpu().numpy()
    labels = torch.cat([each.indices[:, 0] for each in found]).cpu().numpy()
    second = values[:, 1] if len(centroids) > 1 else np.full(len(labels), np.inf, dtype=np.float32)
    return labels, values[:, 0], second


def _settled(points: Points, numbers: np.ndarray, centroids: torch.Tensor, error: float) -> np.ndarray:
    """(rows,) the nearest centroid among those that float32 cannot tell apart, by float64 differences."""
    rows = points.put(numbers)
    partial = torch.addmm(
        centroids.square().sum(1), points.matrix[rows], centroids.T, alpha=-2.0
    )  # (rows, C)
    row, column = torch.nonzero(partial <= partial.amin(1, keepdim=True) + 2 * error, as_tuple=True)
    squares = pair_squares(points.matrix, rows[row], centroids, column).cpu().numpy()
    of, centre = row.cpu().numpy(), column.cpu().numpy()
    order = np.lexsort((centre, squares, of))
    _, first = np.unique(of[order], return_index=True)
    return centre[order][first]


def cluster_sums(points: Points, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(C, d) float64 sums and (C,) sizes of the points by their ``labels``; under 0: none."""
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    if points.device.type != "cpu":
        return _whole_sums(points, labels, count), sizes
    sums = np.zeros((count, points.matrix.shape[1]))
    distance_kernels.add_rows(points.matrix.numpy(), labels, sums)
    return sums, sizes


def _whole_sums(points: Points, labels: np.ndarray, count: int) -> np.ndarray:
    """Sums in whole units, as a GPU adds in no fixed order; a unit is under 2^-60 N of the largest."""
    size, dim = points.matrix.shape
    unit = 2.0 ** (61 - math.ceil(math.log2(max(size * points.largest, 1e-300))))
    where = points.put(np.where(labels < 0, count, labels))
    sums = torch.zeros((count + 1, dim), dtype=torch.int64, device=points.device)
    step = max(1, SUM_BYTES // (8 * dim))
    for rows, own in zip(points.matrix.split(step), where.split(step), strict=True):
        sums.index_add_(0, own, (rows.double() * unit).round_().long())
    return (sums[:count].double() / unit).cpu().numpy()
