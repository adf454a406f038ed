"""Measures of a selection and of a clustering (Yu et al. 2024, Sections 4.3 and 4.4).

Symbols: N prompts, d dimensions, C clusters, k chosen prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets.selection.core.inputs import read_vector

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Numbers, Rows

ROWS = 16_384  # whose nearest chosen prompts are searched at a time


def low_quality_share(labels: np.ndarray, quality: Numbers, *, threshold: float = 0.3) -> float:
    """Share of clusters whose mean quality is under ``threshold``, in [0, 1] (Yu et al. 2024, Figure 4).

    Args:
        labels: (N,) integers.
        quality: (N,) finite, on the scale of ``threshold``.
    """
    labels = read_vector("labels", labels)
    values = checks.finite_vector("quality", quality, len(labels))
    if not len(labels):
        raise ValueError("labels must not be empty: a share of no clusters is undefined.")
    _, codes = np.unique(labels, return_inverse=True)
    means = np.bincount(codes, weights=values) / np.bincount(codes)
    return float((means < threshold).mean())


@dataclass(frozen=True)
class Coverage:
    """How near a pool lies to a selection.

    Attributes:
        share: of prompts within ``distance`` of a chosen one, in [0, 1].
        distance: Euclidean, what ``share`` was measured at.
        quantiles: level to distance to the nearest chosen prompt, at 0, 0.25, 0.5, 0.75, 0.9, 0.99 and 1.
        mean: of those distances.
    """

    share: float
    distance: float
    quantiles: dict[float, float]
    mean: float


def coverage(
    embeddings: Matrix,
    indices: Rows,
    *,
    distance: float = 0.5,
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> Coverage:
    """Share of the pool within ``distance`` of a selection, and quantiles of the distance to it.

    Args:
        embeddings: (N, d) array or tensor.
        indices: (k,) rows chosen, at least one.
        distance: Euclidean, at least 0. Between unit vectors, 0.5 is a cosine of 0.875.

    Raises:
        ValueError: on bad embeddings, rows or distance.

    Time O(N k d), memory O(N + k d).
    """
    import torch

    from edsel_assets.selection.clustering.assignment import Points, assign
    from edsel_assets.selection.core.distances import pair_squares

    if not (np.isfinite(distance) and distance >= 0):
        raise ValueError(f"distance must be a finite number of at least 0; got {distance!r}.")
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    rows = checks.selected_rows(indices, pool.size)
    if not len(rows):
        raise ValueError("indices must hold at least one chosen row; nothing covers the pool.")
    chosen = pool.rows(rows)
    squares = []
    for _, _, block in pool.blocks(ROWS):
        points = Points(block)
        owners = points.put(assign(points, chosen).labels)
        # Measured by differences: what is chosen lies at 0 from itself, which a product does not give.
        squares.append(pair_squares(block, torch.arange(len(block), device=block.device), chosen, owners))
    nearest = torch.cat(squares).sqrt_().cpu().numpy()
    levels = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    quantiles = dict(zip(levels, np.quantile(nearest, levels).tolist(), strict=True))
    return Coverage(float((nearest <= distance).mean()), float(distance), quantiles, float(nearest.mean()))


class Overlap(NamedTuple):
    """What two selections have in common: count, Jaccard index, and share of the smaller one."""

    common: int
    jaccard: float
    share: float


def overlap(first: Keys, second: Keys) -> Overlap:
    """Overlap of two selections given as rows or prompt ids; of two empty ones it is complete."""
    one, other = set(read_vector("first", first).tolist()), set(read_vector("second", second).tolist())
    common = len(one & other)
    union, smaller = len(one | other), min(len(one), len(other))
    return Overlap(
        common, common / union if union else 1.0, common / smaller if smaller else float(not union)
    )
