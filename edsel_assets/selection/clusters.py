"""k-means clustering of a pool."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


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
