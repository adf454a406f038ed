"""Silhouettes, exact or sampled, without an N x N matrix (Yu et al. 2024, Section 4.3).

Symbols: N prompts, d dimensions, C clusters, k chosen prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings

if TYPE_CHECKING:
    import torch


class SampledSilhouette(NamedTuple):
    """A silhouette measured on a uniform sample of prompts.

    Attributes:
        value: mean over the sample, an unbiased estimate of the pool's silhouette.
        standard_error: of ``value``, with the finite-population correction: 0 for the whole pool.
    """

    value: float
    standard_error: float


def silhouette(
    embeddings: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    tie_break: Sequence[object] | np.ndarray | None = None,
    normalise: bool = True,
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

    Raises:
        ValueError: on bad embeddings, labels or sample.

    Distances are scikit-learn's, in chunks of its ``working_memory`` (1 GiB) and in float64.
    Time O(n N d) for n prompts measured, memory O(N d) and never N x N.
    """
    return silhouette_sampled(
        embeddings, labels, sample=sample, seed=seed, tie_break=tie_break, normalise=normalise
    ).value


def silhouette_sampled(
    embeddings: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    tie_break: Sequence[object] | np.ndarray | None = None,
    normalise: bool = True,
) -> SampledSilhouette:
    """:func:`silhouette` with its standard error; same arguments."""
    pool = as_embeddings(embeddings, normalise=normalise, device="cpu")
    codes, count = _label_codes(labels, pool.size)
    rows = np.arange(pool.size)
    if sample is not None:
        sample = checks.whole_number("sample", sample, 2)
        if sample > pool.size:
            raise ValueError(f"sample must not exceed the {pool.size} prompts; got {sample}. Lower it.")
        checks.tie_order(tie_break, pool.size)
        keys = draws.keys_of(tie_break, pool.size)
        rows = draws.smallest(draws.keyed_uniforms(seed, keys, "silhouette"), sample)
    values = _silhouettes(pool, codes, count, rows)
    missing_share = 1 - len(rows) / pool.size
    error = float(np.sqrt(values.var(ddof=1) / len(rows) * missing_share))
    return SampledSilhouette(float(values.mean()), error)


def _label_codes(labels: np.ndarray, pool_size: int) -> tuple[np.ndarray, int]:
    labels = np.asarray(labels)
    if labels.shape != (pool_size,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be integers of shape ({pool_size},); got {labels.dtype}, shape {labels.shape}."
        )
    distinct, codes = np.unique(labels, return_inverse=True)
    if not 2 <= len(distinct) < pool_size:
        raise ValueError(f"labels must name 2 to {pool_size - 1} clusters; got {len(distinct)}.")
    return codes.astype(np.int64), len(distinct)


def _silhouettes(pool: Embeddings, codes: np.ndarray, count: int, rows: np.ndarray) -> np.ndarray:
    """(n,) float64 silhouettes of the prompts at ``rows``, each against the whole pool."""
    from sklearn.metrics import pairwise_distances_chunked

    points = pool.rows(np.arange(pool.size)).numpy().astype(np.float64)
    order = np.argsort(codes, kind="stable")  # clusters side by side: sums per cluster are those of stretches
    sizes = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def measured(distances: np.ndarray, start: int) -> np.ndarray:
        part = rows[start : start + len(distances)]
        here = np.arange(len(part))
        distances[here, part] = 0.0  # to itself
        totals = np.add.reduceat(distances[:, order], starts, axis=1)
        own = codes[part]
        inside = totals[here, own] / np.maximum(sizes[own] - 1, 1)
        means = totals / sizes
        means[here, own] = np.inf
        outside = means.min(1)
        larger = np.maximum(inside, outside)
        apart = (sizes[own] > 1) & (larger > 0)
        return np.where(apart, (outside - inside) / np.where(apart, larger, 1.0), 0.0)

    return np.concatenate(list(pairwise_distances_chunked(points[rows], points, reduce_func=measured)))
