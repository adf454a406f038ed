"""k-means clustering of a pool (Yu et al. 2024, Section 2.1).

Symbols: N prompts, d dimensions, C clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.embeddings import as_embeddings

if TYPE_CHECKING:
    import torch

SEEDING_ROWS = 16  # prompts per cluster that the seeding looks at
WARM_UP = 3  # iterations before the first swap, for the clusters to take shape
BETWEEN_SWAPS = 2  # iterations that a swap is given to settle
LEAST_DROP = 1e-4  # of the inertia: swaps that promise less are over


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
    """Lloyd's k-means from k-means++ seeds, with swaps; the best of ``nredo`` starts.

    After a few iterations, clusters that are cheap to give up are joined to their neighbours and as many
    costly ones split, as long as that pays: it reaches a lower inertia than a better seeding does.
    Labels are exact: float32 products only rule out, and near ties are settled in float64.

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
    clusters = checks.whole_number("clusters", clusters, 1)
    nredo = checks.whole_number("nredo", nredo, 1)
    niter = checks.whole_number("niter", niter, 1)
    seed = checks.whole_number("seed", seed, 0)
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    if clusters > pool.size:
        raise ValueError(f"clusters must not exceed the {pool.size} prompts; got {clusters}. Ask for fewer.")
    priority = checks.tie_order(tie_break, pool.size)
    order = np.argsort(priority)
    points = pool.matrix() if tie_break is None else pool.rows(order)
    runs = []
    for redo in range(nredo):
        report = None if progress is None else partial(_report, progress, redo * niter, nredo * niter)
        runs.append(_start(points, clusters, np.random.default_rng((seed, redo)), niter, report))
    labels, centroids, squares, iterations, converged = min(runs, key=lambda run: float(run[2].sum()))
    details: dict[str, object] = {
        "seed": seed,
        "nredo": nredo,
        "niter": niter,
        "iterations": iterations,
        "converged": converged,
    }
    return Clusters(
        labels[priority],
        centroids,
        np.sqrt(squares)[priority].astype(np.float32),
        float(squares.sum()),
        details,
    )


def _report(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _start(
    points: torch.Tensor,
    clusters: int,
    rng: np.random.Generator,
    niter: int,
    report: Callable[[int], None] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, bool]:
    """Labels, centroids, float64 squared distances, iterations and whether no label changed in the last."""
    # torch takes seconds to import: only who clusters pays for it.
    import torch

    from edsel_assets.selection.clustering.lloyd import Lloyd
    from edsel_assets.selection.clustering.swaps import swap_clusters
    from edsel_assets.selection.core.distances import pair_squares

    state = Lloyd(points, _seeds(points, clusters, rng))
    next_swap: int | None = WARM_UP if clusters > 1 else None
    for iteration in range(1, niter + 1):
        due = iteration == next_swap
        changed = state.assign(everything=due)
        if changed == 0 and next_swap is None:
            break
        state.update()
        if due:
            drop = swap_clusters(state, rng) if iteration < niter else 0.0
            next_swap = iteration + 1 + BETWEEN_SWAPS if drop > LEAST_DROP * state.inertia else None
        if report is not None:
            report(iteration)
    if report is not None:
        report(niter)  # an end before the cap is an end all the same
    everyone = torch.arange(len(points), device=points.device)
    squares = pair_squares(points, everyone, state.centroids, state.labels)
    return (
        state.labels.cpu().numpy(),
        state.centroids.cpu().numpy(),
        squares.cpu().numpy(),
        iteration,
        changed == 0,
    )


def _seeds(points: torch.Tensor, clusters: int, rng: np.random.Generator) -> torch.Tensor:
    """k-means++ on a sample (Arthur & Vassilvitskii 2007): (C, d) points, drawn by squared distance."""
    import torch

    sample = rng.choice(len(points), min(len(points), SEEDING_ROWS * clusters), replace=False)
    points = points[torch.from_numpy(np.sort(sample)).to(points.device)]
    norms = points.square().sum(1)
    picks = [int(rng.integers(len(points)))]
    nearest = torch.full_like(norms, torch.inf)
    while len(picks) < clusters:
        squares = norms + norms[picks[-1]] - 2 * (points @ points[picks[-1]])
        nearest = torch.minimum(nearest, squares.clamp_(min=0))
        total = nearest.double().cumsum(0)
        draw = torch.searchsorted(total, total[-1] * rng.random(), right=True)
        picks.append(min(int(draw), len(points) - 1))
    return points[torch.tensor(picks, device=points.device)].clone()
