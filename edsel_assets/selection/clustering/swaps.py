"""Swaps of cheap clusters for costly ones, which lift k-means out of poor local optima.

Symbols: N points, d dimensions, C clusters.
"""

from __future__ import annotations

import numpy as np
import torch

from edsel_assets.selection.clustering.assignment import Assignment, cluster_sums
from edsel_assets.selection.core import draws

SPLIT_STEPS = 3  # of 2-means inside a cluster
SPLIT_ROWS = 2048  # compared with their cluster's axis at a time


def swap_clusters(
    points: torch.Tensor, centroids: torch.Tensor, found: Assignment, words: np.ndarray
) -> tuple[torch.Tensor, float]:
    """Join clusters that are cheap to give up and split as many costly ones.

    Giving up a cluster costs at most what its points lose by going to their second nearest
    centroid; splitting one gains what 2-means inside it gains. The costliest is split for the cheapest
    while that pays, each cluster once.

    Args:
        points: (N, d) float32.
        centroids: (C, d) float32, the means of the clusters in ``found``.
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
    points: torch.Tensor, centroids: torch.Tensor, found: Assignment, words: np.ndarray
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """2-means in every cluster at once: (C,) drop in inertia, and the (C, d) centroids of both halves."""
    count = len(centroids)
    sizes = np.bincount(found.labels, minlength=count)
    one = (centroids + points[_far_members(found, words, count)]) / 2
    other = 2 * centroids - one
    for _ in range(SPLIT_STEPS):
        side = np.where(_nearer_to(points, found.labels, one, other), found.labels, -1)
        sums, first = cluster_sums(points, side, count)
        rest = sizes - first
        both = torch.from_numpy((first > 0) & (rest > 0))[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = torch.from_numpy(sums / first[:, None]).float()
            others = (centroids.numpy() * sizes[:, None].astype(np.float64) - sums) / rest[:, None]
        one = torch.where(both, means, one)
        other = torch.where(both, torch.from_numpy(others).float(), other)
    apart = (one - other).double().square().sum(1).numpy()
    return np.where(both.numpy()[:, 0], first * rest / sizes * apart, 0.0), one, other


def _far_members(found: Assignment, words: np.ndarray, count: int) -> np.ndarray:
    """(C,) one member per cluster, drawn with probability proportional to its squared distance."""
    # The least exponential draw over its rate is such a draw.
    with np.errstate(divide="ignore"):
        waits = draws.exponentials(words) / found.nearest
    order = np.lexsort((waits, found.labels))
    return order[np.searchsorted(found.labels[order], np.arange(count))]


def _nearer_to(
    points: torch.Tensor, labels: np.ndarray, one: torch.Tensor, other: torch.Tensor
) -> np.ndarray:
    """(N,) bool, whether a point lies nearer to ``one`` of its cluster than to ``other``."""
    axis = (one - other).numpy()
    middle = ((one.square().sum(1) - other.square().sum(1)) / 2).numpy()
    sides = np.empty(len(points), dtype=bool)
    for start in range(0, len(points), SPLIT_ROWS):
        part = slice(start, start + SPLIT_ROWS)
        along = np.einsum("ij,ij->i", points[part].numpy(), axis[labels[part]])
        sides[part] = along > middle[labels[part]]
    return sides
