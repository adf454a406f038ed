"""Silhouettes, exact or sampled, without an N x N matrix (Yu et al. 2024, Section 4.3).

Symbols: N prompts, d dimensions, C clusters, k chosen prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings
from edsel_assets.selection.core.inputs import read_vector

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix


DISTANCE_BYTES = 256 << 20  # of the distances held at a time


class SampledSilhouette(NamedTuple):
    """A silhouette measured on a uniform sample of prompts.

    Attributes:
        value: mean over the sample, an unbiased estimate of the pool's silhouette.
        standard_error: of ``value``, with the finite-population correction: 0 for the whole pool.
    """

    value: float
    standard_error: float


def silhouette(
    embeddings: Matrix,
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    tie_break: Keys | None = None,
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> float:
    """Mean silhouette (b - a) / max(a, b) in [-1, 1] over Euclidean distances, higher is better separated.

    a is a prompt's mean distance to the others of its cluster, b the least mean distance to another
    cluster; a prompt alone in its cluster counts 0 (Rousseeuw 1987), as in scikit-learn.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        labels: (N,) integers, at least 2 distinct and fewer than N.
        sample: measure this many prompts, each against the whole pool; None: all.
        seed: of that sample.
        tie_break: (N,) unique keys of the draws. Row numbers without it.
        normalise: scale rows to unit L2 norm first.
        device: "auto", "cpu", "cuda" or another torch device.

    Raises:
        ValueError: on bad embeddings, labels or sample.

    In float64. Time O(n N d) for n prompts measured, memory O(N d) and never N x N.
    """
    return silhouette_sampled(
        embeddings, labels, sample=sample, seed=seed, tie_break=tie_break, normalise=normalise, device=device
    ).value


def silhouette_sampled(
    embeddings: Matrix,
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    tie_break: Keys | None = None,
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> SampledSilhouette:
    """:func:`silhouette` with its standard error; same arguments."""
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    codes = _label_codes(labels, pool.size)
    rows = np.arange(pool.size)
    if sample is not None:
        sample = checks.whole_number("sample", sample, 2)
        if sample > pool.size:
            raise ValueError(f"sample must not exceed the {pool.size} prompts; got {sample}. Lower it.")
        checks.tie_order(tie_break, pool.size)
        keys = draws.keys_of(tie_break, pool.size)
        rows = draws.smallest(draws.keyed_uniforms(seed, keys, "silhouette"), sample)
    values = _silhouettes(pool, codes, rows)
    missing_share = 1 - len(rows) / pool.size
    error = float(np.sqrt(values.var(ddof=1) / len(rows) * missing_share))
    return SampledSilhouette(float(values.mean()), error)


def _label_codes(labels: np.ndarray, pool_size: int) -> np.ndarray:
    labels = read_vector("labels", labels)
    if labels.shape != (pool_size,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be integers of shape ({pool_size},); got {labels.dtype}, shape {labels.shape}."
        )
    distinct, codes = np.unique(labels, return_inverse=True)
    if not 2 <= len(distinct) < pool_size:
        raise ValueError(f"labels must name 2 to {pool_size - 1} clusters; got {len(distinct)}.")
    return codes.astype(np.int64)


def _silhouettes(pool: Embeddings, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n,) float64 silhouettes of the prompts at ``rows``, each against the whole pool."""
    import torch
    from torch.nn.functional import embedding_bag

    order = np.argsort(codes, kind="stable")  # clusters side by side: sums per cluster are those of stretches
    points = pool.rows(order).double()
    norms = points.square().sum(1)
    everyone, own, place, sizes = (
        torch.from_numpy(part).to(pool.device)
        for part in (np.arange(pool.size), codes[rows], np.argsort(order)[rows], np.bincount(codes))
    )
    starts = sizes.cumsum(0) - sizes
    step = max(1, DISTANCE_BYTES // (8 * pool.size))
    found = []
    for part, mine in zip(place.split(step), own.split(step), strict=True):
        here = torch.arange(len(part), device=pool.device)
        squares = torch.addmm(norms[part], points, points[part].T, alpha=-2.0).add_(norms[:, None])
        distances = squares.clamp_(min=0).sqrt_()  # (N, part)
        distances[part, here] = 0.0  # to itself
        totals = embedding_bag(everyone, distances, starts, mode="sum")  # (C, part)
        inside = totals[mine, here] / (sizes[mine] - 1).clamp(min=1)
        means = totals / sizes[:, None]
        means[mine, here] = torch.inf
        outside = means.amin(0)
        larger = torch.maximum(inside, outside)
        apart = (sizes[mine] > 1) & (larger > 0)
        found.append(torch.where(apart, (outside - inside) / torch.where(apart, larger, 1.0), 0.0))
    return torch.cat(found).cpu().numpy()
