"""k-means clustering of a pool (Yu et al. 2024, Section 2.1).

Symbols: N prompts, d dimensions, C clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection import _checks
from edsel_assets.selection._embeddings import as_embeddings

if TYPE_CHECKING:
    import torch

SEEDING_ROWS_PER_CLUSTER = 32  # the seeding sees a sample of this many prompts per cluster
PRODUCT_BYTES = 16 << 20  # of the products held at a time: small enough to stay in cache
BLOCK_BYTES = 32 << 20  # of the float64 rows held at a time


@dataclass(frozen=True)
class Clusters:
    """A clustering of a pool's N prompts into C clusters.

    Attributes:
        labels: (N,) int64, the cluster of each prompt, 0 to C - 1; no cluster is empty.
        centroids: (C, d) float32, the mean of each cluster's (normalised) embeddings.
        distances: (N,) float32, Euclidean distance of each prompt to its centroid.
        inertia: sum of squared distances, lower is tighter.
        details: how it was made: seed, starts, iterations. Plain JSON values only.
    """

    labels: np.ndarray
    centroids: np.ndarray
    distances: np.ndarray
    inertia: float
    details: dict[str, object] = field(default_factory=dict)


def kmeans(
    embeddings: np.ndarray | torch.Tensor,
    clusters: int,
    *,
    seed: int = 42,
    nredo: int = 1,
    niter: int = 50,
    tie_break: Sequence[object] | np.ndarray | None = None,
    normalise: bool = True,
    device: str | torch.device = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Clusters:
    """Lloyd's k-means from greedy k-means++ seeds; the best of ``nredo`` starts.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        clusters: C, at most the number of distinct embeddings.
        seed: of the seeding; the same seed gives the same labels.
        nredo: starts, of which the one of least inertia is returned.
        niter: most iterations of a start; it ends earlier when no label changes.
        tie_break: (N,) unique keys that all work is ordered by, so that row order is no matter.
        normalise: scale rows to unit L2 norm first.
        device: "auto", "cpu", "cuda" or another torch device.
        progress: called with (iterations done, nredo x niter) after every iteration.

    Raises:
        ValueError: on bad embeddings, or more clusters than distinct embeddings.

    Time O(nredo niter N C d), memory O(N d + C d).
    """
    clusters = _checks.whole_number("clusters", clusters, 1)
    nredo = _checks.whole_number("nredo", nredo, 1)
    niter = _checks.whole_number("niter", niter, 1)
    seed = _checks.whole_number("seed", seed, 0)
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    if clusters > pool.size:
        raise ValueError(f"clusters must not exceed the {pool.size} prompts; got {clusters}. Ask for fewer.")
    priority = _checks.tie_order(tie_break, pool.size)
    order = np.argsort(priority)
    points = pool.matrix() if tie_break is None else pool.rows(order)
    best: tuple[np.ndarray, np.ndarray, np.ndarray, float, int] | None = None
    for redo in range(nredo):

        def report(done: int, redo: int = redo) -> None:
            if progress is not None:
                progress(redo * niter + done, nredo * niter)

        run = _start(points, clusters, np.random.default_rng((seed, redo)), niter, report)
        if best is None or run[3] < best[3]:
            best = run
    assert best is not None
    labels, centroids, distances, inertia, iterations = best
    details = {"seed": seed, "nredo": nredo, "niter": niter, "iterations": iterations}
    return Clusters(labels[priority], centroids, distances[priority], inertia, details)


def _start(
    points: torch.Tensor,
    clusters: int,
    rng: np.random.Generator,
    niter: int,
    report: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, int]:
    import torch

    sample = rng.choice(len(points), min(len(points), SEEDING_ROWS_PER_CLUSTER * clusters), replace=False)
    sample = torch.from_numpy(np.sort(sample)).to(points.device)
    centroids = _greedy_seeds(points[sample], clusters, rng)
    labels = None
    for iteration in range(1, niter + 1):
        before = labels
        labels, squares = _assign(points, centroids)
        labels = _fill_empty(labels, squares, clusters)
        if before is not None and bool((before == labels).all()):
            break
        centroids = _means(points, labels, clusters)
        report(iteration)
    squares = _squares(points, centroids, labels)
    return (
        labels.cpu().numpy(),
        centroids.cpu().numpy(),
        squares.sqrt().float().cpu().numpy(),
        float(squares.sum()),
        iteration,
    )


def _greedy_seeds(points: torch.Tensor, clusters: int, rng: np.random.Generator) -> torch.Tensor:
    """k-means++ that draws 2 + log C candidates per seed and keeps the best (Arthur & Vassilvitskii 2007)."""
    import torch

    trials = 2 + int(np.log(clusters))
    norms = points.square().sum(1)
    picks = [int(rng.integers(len(points)))]
    nearest = (norms + norms[picks[0]] - 2 * points @ points[picks[0]]).clamp_(min=0)
    while len(picks) < clusters:
        total = nearest.double().cumsum(0)
        draws = torch.from_numpy(rng.random(trials)).to(points.device) * total[-1]
        tried = torch.searchsorted(total, draws, right=True).clamp_(max=len(points) - 1)
        lowered = torch.addmm(norms[tried], points, points[tried].T, alpha=-2.0).add_(norms[:, None])
        lowered = torch.minimum(lowered.clamp_(min=0), nearest[:, None])  # (n, trials)
        winner = int(lowered.sum(0, dtype=torch.float64).argmin())
        nearest = lowered[:, winner].contiguous()
        picks.append(int(tried[winner]))
    return points[torch.tensor(picks, device=points.device)].clone()


def _assign(points: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) nearest centroid and squared distance to it."""
    import torch

    norms = centroids.square().sum(1)
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    squares = torch.empty(len(points), device=points.device)
    rows = max(1, PRODUCT_BYTES // (4 * len(centroids)))
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        best = torch.addmm(norms, block, centroids.T, alpha=-2.0).min(1)
        labels[start : start + rows] = best.indices
        squares[start : start + rows] = (best.values + block.square().sum(1)).clamp_(min=0)
    return labels, squares


def _fill_empty(labels: torch.Tensor, squares: torch.Tensor, clusters: int) -> torch.Tensor:
    """Give each empty cluster the prompt farthest from its centroid that has company there."""
    import torch

    sizes = torch.bincount(labels, minlength=clusters)
    empty = torch.nonzero(sizes == 0).flatten().tolist()
    if not empty:
        return labels
    for point in torch.argsort(squares, descending=True, stable=True).tolist():
        if not empty or squares[point] <= 0:
            break
        if sizes[labels[point]] > 1:
            sizes[labels[point]] -= 1
            labels[point] = empty.pop(0)
    if empty:
        distinct = clusters - len(empty)
        raise ValueError(
            f"clusters must not exceed the distinct embeddings, about {distinct}; got {clusters}. "
            "Ask for fewer."
        )
    return labels


def _means(points: torch.Tensor, labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """(C, d) float32 means of the clusters, summed in float64 in a fixed order."""
    import torch

    sums = torch.zeros((clusters, points.shape[1]), dtype=torch.float64, device=points.device)
    rows = max(1, BLOCK_BYTES // (8 * points.shape[1]))
    for start in range(0, len(points), rows):
        block = labels[start : start + rows]
        order = torch.argsort(block, stable=True)
        lengths = torch.bincount(block, minlength=clusters)
        sums += torch.segment_reduce(
            points[start : start + rows][order].double(), "sum", lengths=lengths, initial=0
        )
    return (sums / torch.bincount(labels, minlength=clusters)[:, None]).float()


def _squares(points: torch.Tensor, centroids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N,) float64 squared distances to the own centroid, by differences."""
    import torch

    rows = max(1, BLOCK_BYTES // (8 * points.shape[1]))
    parts = [
        (block.double() - centroids[own]).square_().sum(1)
        for block, own in zip(points.split(rows), labels.split(rows), strict=True)
    ]
    return torch.cat(parts)
