"""Swaps of cheap clusters for costly ones, which lift k-means out of poor local optima.

Symbols: N points, d dimensions, C clusters.
"""

from __future__ import annotations

import numpy as np
import torch

from edsel_assets.selection.clustering.lloyd import BLOCK_BYTES, Lloyd, cluster_sums

SPLIT_STEPS = 3  # of 2-means inside a cluster
SPLIT_ROWS = 8192  # that a thread takes at a time


def swap_clusters(state: Lloyd, rng: np.random.Generator) -> float:
    """Join clusters that are cheap to give up and split as many costly ones; the drop in inertia expected.

    Giving up a cluster costs at most what its points lose by going to their second nearest
    centroid; splitting one gains what 2-means inside it gains. The costliest is split for the cheapest
    while that pays, each cluster once. Wants an ``assign`` of everything and an ``update`` before.
    """
    gain, one, other = _split(state, rng)
    order = torch.argsort(state.labels, stable=True)
    lost = (state.second - state.nearest).double()[order]
    loss = torch.segment_reduce(lost, "sum", lengths=state.sizes, initial=0).cpu().numpy()
    hosts, cheap = np.argsort(-gain, kind="stable").tolist(), iter(np.argsort(loss, kind="stable").tolist())
    centroids = state.centroids.clone()
    used: set[int] = set()
    expected = 0.0
    for host in hosts:
        if host in used:
            continue
        used.add(host)
        free = next((cluster for cluster in cheap if cluster not in used), None)
        if free is None or gain[host] <= loss[free]:
            break
        used.add(free)
        centroids[host], centroids[free] = one[host], other[host]
        expected += float(gain[host] - loss[free])
    if expected > 0:
        state.move(centroids)
    return expected


def _split(state: Lloyd, rng: np.random.Generator) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """2-means in every cluster at once: (C,) drop in inertia, and the (C, d) centroids of both halves."""
    one = (state.centroids + state.points[_far_members(state, rng)]) / 2
    other = 2 * state.centroids - one
    for _ in range(SPLIT_STEPS):
        rows = _nearer_to(state, one, other)
        sums, sizes = cluster_sums(state.points, rows, state.labels[rows], len(one))
        rest = state.sizes - sizes
        both = (sizes > 0) & (rest > 0)
        one = torch.where(both[:, None], sums / sizes[:, None], one).float()
        other = torch.where(both[:, None], (state.sums - sums) / rest[:, None], other).float()
    apart = (one - other).double().square().sum(1)
    gain = torch.where(both, sizes * rest / state.sizes * apart, 0.0)
    return gain.cpu().numpy(), one, other


def _far_members(state: Lloyd, rng: np.random.Generator) -> torch.Tensor:
    """(C,) one member per cluster, drawn with probability proportional to its squared distance."""
    labels, device = state.labels, state.points.device
    # The largest Gumbel key is such a draw (Kool et al. 2019).
    keys = torch.from_numpy(rng.gumbel(size=len(labels))).to(device) + state.nearest.double().log()
    top = torch.full((len(state.sizes),), -torch.inf, dtype=torch.float64, device=device)
    top.scatter_reduce_(0, labels, keys, "amax")
    best = torch.nonzero(keys == top[labels]).flatten()
    first = torch.full_like(state.sizes, len(labels))
    return first.scatter_reduce_(0, labels[best], best, "amin")


def _nearer_to(state: Lloyd, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Rows that lie nearer to ``one`` of their cluster than to ``other``."""
    axis = one - other
    middle = (one.square().sum(1) - other.square().sum(1)) / 2
    if axis.device.type == "cpu":
        sides = _beyond_compiled(state, axis, middle)
    else:
        step = max(1, BLOCK_BYTES // (4 * axis.shape[1]))
        sides = torch.cat(
            [
                (block * axis[labels]).sum(1) > middle[labels]
                for block, labels in zip(state.points.split(step), state.labels.split(step), strict=True)
            ]
        )
    return torch.nonzero(sides).flatten()


def _beyond_compiled(state: Lloyd, axis: torch.Tensor, middle: torch.Tensor) -> torch.Tensor:
    from edsel_assets.selection.core import distance_kernels
    from edsel_assets.selection.core.threads import in_threads

    sides = torch.empty(len(state.points), dtype=torch.bool)
    points, labels = state.points.numpy(), state.labels.numpy()

    def block(start: int) -> None:
        part = sides[start : start + SPLIT_ROWS].numpy()
        distance_kernels.beyond(points, start, labels, axis.numpy(), middle.numpy(), part)

    in_threads(block, range(0, len(sides), SPLIT_ROWS))
    return sides
