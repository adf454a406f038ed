"""Inertia by number of clusters, and its elbow (Yu et al. 2024, Section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.clustering.kmeans import kmeans
from edsel_assets.selection.core import checks

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix


def elbow(
    embeddings: Matrix,
    cluster_counts: Sequence[int],
    *,
    seed: int = 42,
    tie_break: Keys | None = None,
    normalise: bool = True,
    device: str | torch.device = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, float]:
    """Inertia of k-means at each number of clusters; the elbow is where more gain little.

    Args:
        cluster_counts: numbers of clusters to try.
        embeddings and the others: as in :func:`kmeans`.
        progress: called with (counts done, counts).

    Returns:
        cluster count to inertia, counts rising.

    Time one :func:`kmeans` per count.
    """
    counts = sorted({checks.whole_number("cluster_counts", count, 1) for count in cluster_counts})
    inertia: dict[int, float] = {}
    for count in counts:
        found = kmeans(embeddings, count, seed=seed, tie_break=tie_break, normalise=normalise, device=device)
        inertia[count] = found.inertia
        if progress is not None:
            progress(len(inertia), len(counts))
    return inertia


def elbow_point(inertia: dict[int, float]) -> int:
    """The count farthest below the chord of log inertia over log count (Satopaa et al. 2011, Kneedle).

    Raises:
        ValueError: on fewer than 3 counts, among which nothing can bend.
    """
    if len(inertia) < 3:
        raise ValueError(f"an elbow needs at least 3 cluster counts; got {sorted(inertia)}.")
    counts = np.array(sorted(inertia))
    across = np.log(counts)
    down = np.log(np.maximum([inertia[count] for count in counts], np.finfo(np.float64).tiny))
    chord = down[0] + (down[-1] - down[0]) * (across - across[0]) / (across[-1] - across[0])
    return int(counts[np.argmax(chord - down)])
