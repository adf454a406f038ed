"""The nearest centroids of every point, by faiss, with near ties settled in float64.

Symbols: N points, d dimensions, C clusters. Assumes valid input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from edsel_assets.selection.core import distance_kernels
from edsel_assets.selection.core.distances import pair_squares, product_error

SETTLE_ROWS = 4096  # rows settled at a time


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


def gpu_count() -> int:
    """GPUs that the installed faiss can use; 0 for faiss-cpu."""
    import faiss

    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def assign(points: torch.Tensor, centroids: torch.Tensor, *, gpu: bool = False) -> Assignment:
    """Every (N, d) float32 point to the nearest of the (C, d) float32 centroids, both on the CPU."""
    import faiss

    count = min(2, len(centroids))
    if gpu:
        search = faiss.knn_gpu(faiss.StandardGpuResources(), points.numpy(), centroids.numpy(), count)
    else:
        faiss.omp_set_num_threads(torch.get_num_threads())
        search = faiss.knn(points.numpy(), centroids.numpy(), count)
    squares, found = search
    labels = np.ascontiguousarray(found[:, 0])
    if count == 1:
        return Assignment(labels, squares[:, 0], np.full(len(points), np.inf, dtype=np.float32))
    # Float32 products only rule out: what they cannot tell apart does not depend on threads or hardware.
    error = product_error(points)
    close = np.flatnonzero(squares[:, 1] - squares[:, 0] <= 2 * error)
    for start in range(0, len(close), SETTLE_ROWS):
        rows = close[start : start + SETTLE_ROWS]
        labels[rows] = _settled(points, torch.from_numpy(rows), centroids, error)
    return Assignment(labels, squares[:, 0], squares[:, 1])


def _settled(points: torch.Tensor, rows: torch.Tensor, centroids: torch.Tensor, error: float) -> np.ndarray:
    """(rows,) the nearest centroid among those that float32 cannot tell apart, by float64 differences."""
    partial = torch.addmm(centroids.square().sum(1), points[rows], centroids.T, alpha=-2.0)  # (rows, C)
    row, column = torch.nonzero(partial <= partial.amin(1, keepdim=True) + 2 * error, as_tuple=True)
    squares = pair_squares(points, rows[row], centroids, column).numpy()
    order = np.lexsort((column.numpy(), squares, row.numpy()))
    _, first = np.unique(row.numpy()[order], return_index=True)
    return column.numpy()[order][first]


def cluster_sums(points: torch.Tensor, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(C, d) float64 sums, in row order, and (C,) sizes of the points by their ``labels``; under 0: none."""
    sums = np.zeros((count, points.shape[1]))
    distance_kernels.add_rows(points.numpy(), labels, sums)
    return sums, np.bincount(labels[labels >= 0], minlength=count)
