"""k-means clustering of a pool (Yu et al. 2024, Section 2.1).

Symbols: N prompts, d dimensions, C clusters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.embeddings import as_embeddings

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.clustering.assignment import Points
    from edsel_assets.selection.core.inputs import Keys, Matrix

STARTING_ROWS = 4  # prompts per cluster among which the start chooses
FIRST_SWAP = 3  # iteration, when the clusters have taken shape
SWAP_EVERY = 2  # iterations: a swap is given one more to settle
LEAST_DROP = 1e-4  # of the inertia: swaps that promise less are over


@dataclass(frozen=True)
class Clusters:
    """A clustering of a pool's N prompts into C clusters.

    Attributes:
        labels: (N,) int64, the cluster of each prompt, 0 to C - 1; no cluster is empty.
        centroids: (C, d) float32, the mean of each cluster's (normalised) embeddings.
        distances: (N,) float32, Euclidean distance of each prompt to its centroid.
        inertia: sum of squared distances, lower is tighter.
        details: how it was made, plain JSON values: seed, nredo, niter, iterations, converged and device.
    """

    labels: np.ndarray
    centroids: np.ndarray
    distances: np.ndarray
    inertia: float
    details: dict[str, object] = field(default_factory=dict)


def kmeans(
    embeddings: Matrix,
    clusters: int,
    *,
    seed: int = 42,
    nredo: int = 1,
    niter: int = 50,
    tolerance: float = 1e-4,
    tie_break: Keys | None = None,
    normalise: bool = True,
    device: str | torch.device = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Clusters:
    """Lloyd's k-means from k-means++ starts, with swaps; the best of ``nredo`` starts.

    After a few iterations, clusters that are cheap to give up are
    joined to their neighbours and as many costly ones split, as long as that pays: it reaches a lower
    inertia than a better start does. Labels are exact: near ties are settled in float64.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        clusters: C, at most the number of distinct embeddings.
        seed: of the starts and swaps, whose draws are keyed by ``tie_break``.
        nredo: starts, of which the one of least inertia is returned.
        niter: most iterations of a start.
        tolerance: a start ends when an iteration lowers the inertia by less than this share of it, or
            when no label changes (0: only then).
        tie_break: (N,) unique keys that all work is ordered by, so that row order is no matter.
        normalise: scale rows to unit L2 norm first.
        device: "auto", "cpu", "cuda" or another torch device, where the points are put once.
        progress: called with (iterations done, nredo x niter) after every iteration.

    Raises:
        ValueError: on bad embeddings, or more clusters than distinct embeddings.

    Time O(nredo niter N C d), memory O(N d + C d).
    """
    # torch takes seconds to import: only who clusters pays for it.
    from edsel_assets.selection.clustering.assignment import Points

    clusters = checks.whole_number("clusters", clusters, 1)
    nredo = checks.whole_number("nredo", nredo, 1)
    niter = checks.whole_number("niter", niter, 1)
    seed = checks.whole_number("seed", seed, 0)
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be a share of at least 0; got {tolerance!r}.")
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    if clusters > pool.size:
        raise ValueError(f"clusters must not exceed the {pool.size} prompts; got {clusters}. Ask for fewer.")
    priority = checks.tie_order(tie_break, pool.size)
    order = np.argsort(priority)
    points = Points(pool.matrix() if tie_break is None else pool.rows(order))
    keys = draws.keys_of(tie_break, pool.size)[order]
    runs = []
    for redo in range(nredo):
        words = draws.keyed_words(seed, keys, f"k-means {redo}")
        report = None if progress is None else _part(progress, redo * niter, nredo * niter)
        runs.append(_Start(points, words).run(clusters, niter, tolerance, report))
    best = min(runs, key=lambda run: run.inertia)
    details = {
        "seed": seed,
        "nredo": nredo,
        "niter": niter,
        **best.details,
        "device": pool.device.type,
    }
    return replace(best, labels=best.labels[priority], distances=best.distances[priority], details=details)


def _part(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


class _Start:
    """One start of k-means on N ``points`` with their (N,) random ``words``."""

    def __init__(self, points: Points, words: np.ndarray) -> None:
        self.points, self.words = points, words

    def run(
        self, clusters: int, niter: int, tolerance: float, report: Callable[[int], None] | None
    ) -> Clusters:
        """Clusters in the order of ``points``."""
        from edsel_assets.selection.clustering.assignment import assign, cluster_sums
        from edsel_assets.selection.clustering.swaps import swap_clusters

        centroids = self._plus_plus(clusters)
        labels = np.full(len(self.words), -1)
        before, converged = np.inf, False
        next_swap: int | None = FIRST_SWAP if clusters > 1 else None
        for iteration in range(1, niter + 1):
            found = assign(self.points, centroids)
            inertia = float(found.nearest.sum(dtype=np.float64))
            filled = self._without_empty(found.labels, centroids)
            converged = bool((filled == labels).all())
            labels = filled
            sums, sizes = cluster_sums(self.points, labels, clusters)
            centroids = self.points.put(sums / sizes[:, None]).float()
            if report is not None:
                report(iteration)
            if next_swap is None and (converged or before - inertia < tolerance * inertia):
                break
            before = inertia
            if iteration == next_swap and iteration < niter:
                words = draws.mixed(self.words, iteration)
                found = replace(found, labels=labels)
                centroids, drop = swap_clusters(self.points, centroids, found, words)
                next_swap = iteration + SWAP_EVERY if drop > LEAST_DROP * inertia else None
                before = np.inf
        if report is not None:
            report(niter)  # an end before the cap is an end all the same
        squares = self._squares(centroids, labels)
        return Clusters(
            labels,
            centroids.cpu().numpy(),
            np.sqrt(squares).astype(np.float32),
            float(squares.sum()),
            {"iterations": iteration, "converged": converged},
        )

    def _plus_plus(self, clusters: int) -> torch.Tensor:
        """k-means++ on a sample (Arthur & Vassilvitskii 2007): (C, d) points, drawn by squared distance.

        Each point waits an exponential time that runs at the rate of its squared distance, and the first
        to be through is the next centre: as exponential times have no memory, that draws by the rates
        anew each time, with a single draw per point.
        """
        import torch

        sample = draws.smallest(draws.uniforms(draws.mixed(self.words, 0)), STARTING_ROWS * clusters)
        points = self.points.rows(sample)
        waits = self.points.put(draws.exponentials(self.words[sample]))
        rates = torch.ones_like(waits)  # uniform before there is a centre
        norms = points.square().sum(1)
        nearest = torch.full_like(norms, torch.inf)
        picks: list[int] = []
        while len(picks) < clusters:
            times = waits / rates
            pick = int(times.argmin())
            waits -= rates * times[pick]
            waits[pick] = torch.inf
            picks.append(pick)
            squares = norms + norms[pick] - 2 * (points @ points[pick])
            nearest = torch.minimum(nearest, squares.clamp_(min=0))
            rates = nearest.double()
        return points[torch.tensor(picks, device=points.device)]

    def _squares(self, centroids: torch.Tensor, labels: np.ndarray) -> np.ndarray:
        """(N,) float64 squared distances of the points to the centroids of their ``labels``."""
        from edsel_assets.selection.core.distances import pair_squares

        everyone = self.points.put(np.arange(len(labels)))
        squares = pair_squares(self.points.matrix, everyone, centroids, self.points.put(labels))
        return squares.cpu().numpy()

    def _without_empty(self, labels: np.ndarray, centroids: torch.Tensor) -> np.ndarray:
        """``labels``, but each empty cluster gets the point farthest from its centroid with company there."""
        sizes = np.bincount(labels, minlength=len(centroids))
        empty = np.flatnonzero(sizes == 0)
        if not len(empty):
            return labels
        squares = self._squares(centroids, labels)
        chosen: list[int] = []
        for point in np.argsort(-squares, kind="stable"):
            if len(chosen) == len(empty) or squares[point] == 0:
                break
            if sizes[labels[point]] > 1:
                sizes[labels[point]] -= 1
                chosen.append(int(point))
        if len(chosen) < len(empty):
            raise ValueError(
                f"clusters must not exceed the {len(sizes) - len(empty) + len(chosen)} distinct embeddings; "
                f"got {len(sizes)}. Ask for fewer."
            )
        filled = labels.copy()
        filled[chosen] = empty
        return filled
