"""Swaps of cheap clusters for costly ones, which lift k-means out of poor local optima.

Symbols: N points, d dimensions, C clusters.
"""

from __future__ import annotations

import numpy as np
import torch

from edsel_assets.selection.clustering.assignment import Assignment, Points, cluster_sums
from edsel_assets.selection.core import draws

SPLIT_STEPS = 3  # of 2-means inside a cluster
SPLIT_ROWS = 2048  # compared with their cluster's axis at a time


def swap_clusters(
    points: Points, centroids: torch.Tensor, found: Assignment, words: np.ndarray
) -> tuple[torch.Tensor, float]:
    """Join clusters that are cheap to give up and split as many costly ones.

    Giving up a cluster costs at most what its points lose by going to their second nearest
    centroid; splitting one gains what 2-means inside it gains. The costliest is split for the cheapest
    while that pays, each cluster once.

    Args:
        centroids: (C, d) float32, the means of the clusters in ``found``, on the device of the points.
        found: of centroids near these; every cluster has a member.
        words: (N,) uint64 random bits of the points.

    Returns:
        (C, d) new centroids, and the drop in inertia expected of them.
    """
    gain, one, other = _split(points, centroids, found, words)
    loss = np.bincount(found.labels, weights=found.second - found.nearest, minlength=len(centroids))
    cheap = iter(np.argsort(loss, kind="stable").tolist())
    swapped = centroids.clone()
    used: set[int] = set()
    expected = 0.0
    for host in np.argsort(-gain, kind="stable").tolist():
        if host in used:
            continue
        used.add(host)
        free = next((cluster for cluster in cheap if cluster not in used), None)
        if free is None or gain[host] <= loss[free]:
            break
        used.add(free)
        swapped[host], swapped[free] = one[host], other[host]
        expected += float(gain[host] - loss[free])
    return swapped, expected


def _split(
    points: Points, centroids: torch.Tensor, found: Assignment, words: np.ndarray
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """2-means in every cluster at once: (C,) drop in inertia, and the (C, d) centroids of both halves."""
    count = len(centroids)
    sizes = np.bincount(found.labels, minlength=count)
    one = (centroids + points.rows(_far_members(found, words, count))) / 2
    other = 2 * centroids - one
    for _ in range(SPLIT_STEPS):
        side = np.where(_nearer_to(points, found.labels, one, other), found.labels, -1)
        sums, first = cluster_sums(points, side, count)
        rest = sizes - first
        both = (first > 0) & (rest > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = sums / first[:, None]
            others = (centroids.cpu().numpy() * sizes[:, None].astype(np.float64) - sums) / rest[:, None]
        split = points.put(both)[:, None]
        one = torch.where(split, points.put(means).float(), one)
        other = torch.where(split, points.put(others).float(), other)
    apart = (one - other).double().square().sum(1).cpu().numpy()
    return np.where(both, first * rest / sizes * apart, 0.0), one, other


def _far_members(found: Assignment, words: np.ndarray, count: int) -> np.ndarray:
    """(C,) one member per cluster, drawn with probability proportional to its squared distance."""
    # The least exponential draw over its rate is such a draw.
    with np.errstate(divide="ignore"):
        waits = draws.exponentials(words) / found.nearest
    order = np.lexsort((waits, found.labels))
    return order[np.searchsorted(found.labels[order], np.arange(count))]


def _nearer_to(points: Points, labels: np.ndarray, one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    """(N,) bool, whether a point lies nearer to ``one`` of its cluster than to ``other``."""
    axis, own = one - other, points.put(labels)
    middle = (one.square().sum(1) - other.square().sum(1)) / 2
    sides = [
        (rows * axis[of]).sum(1) > middle[of]
        for rows, of in zip(points.matrix.split(SPLIT_ROWS), own.split(SPLIT_ROWS), strict=True)
    ]
    return torch.cat(sides).cpu().numpy()
