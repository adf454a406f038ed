"""Silhouettes, exact or sampled, without an N x N matrix (Yu et al. 2024, Section 4.3).

Symbols: N prompts, d dimensions, C clusters, k chosen prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings

if TYPE_CHECKING:
    import torch

ROWS, COLUMNS = 1024, 4096  # of a block of distances
SUM_ROWS, BLOCKS_AT_ONCE = 256, 16  # rows whose sums a thread holds, and blocks handed out together


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

    Raises:
        ValueError: on bad embeddings, labels or sample.

    Time O(n N d) for n prompts measured, memory O(N d + n C) and never N x N.
    """
    return silhouette_sampled(
        embeddings, labels, sample=sample, seed=seed, tie_break=tie_break, normalise=normalise, device=device
    ).value


def silhouette_sampled(
    embeddings: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    tie_break: Sequence[object] | np.ndarray | None = None,
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> SampledSilhouette:
    """:func:`silhouette` with its standard error; same arguments."""
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
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
    """(n,) float64 silhouettes of the prompts at ``rows``."""
    import torch

    # Clusters lie side by side, so that sums per cluster are sums of stretches.
    order = np.argsort(codes, kind="stable")
    points = pool.rows(order)
    places = np.argsort(order)[rows]
    sorted_codes = codes[order]
    sizes = torch.from_numpy(np.bincount(codes)).to(points.device)
    sums = _distance_sums_compiled if points.device.type == "cpu" else _distance_sums
    measured = []
    for part, totals in sums(points, places, sorted_codes, count):
        own = torch.from_numpy(sorted_codes[part]).to(points.device)
        inside = totals.gather(1, own[:, None])[:, 0] / (sizes[own] - 1).clamp(min=1)
        outside = (totals / sizes).scatter(1, own[:, None], torch.inf).amin(1)
        larger = torch.maximum(inside, outside)
        value = torch.where((sizes[own] > 1) & (larger > 0), (outside - inside) / larger, 0.0)
        measured.append(value.cpu().numpy())
    return np.concatenate(measured)


def _distance_sums_compiled(
    points: torch.Tensor, places: np.ndarray, codes: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Block by block of ``places``: the block and its (rows, C) float64 sums of distances to each cluster."""
    import torch

    from edsel_assets.selection.core import distance_kernels
    from edsel_assets.selection.core.threads import BLOCK_COLUMNS, Scratch, in_threads

    scratch = Scratch()
    matrix, norms = points.numpy(), points.square().sum(1).numpy()
    # Under a tenth of the longest row, float32 products leave a distance off by over 1e-6 of that row.
    near = np.float32(0.01 * norms.max())

    def block(part: np.ndarray) -> torch.Tensor:
        rows = points[torch.from_numpy(part)]
        totals = torch.zeros((len(part), count), dtype=torch.float64)
        for left in range(0, len(points), BLOCK_COLUMNS):
            products = scratch.product(rows, points[left : left + BLOCK_COLUMNS])
            distance_kernels.distance_sums(products, part, left, matrix, norms, codes, near, totals.numpy())
        return totals

    # A few blocks at a time: the sums of all rows may not fit.
    blocks = [places[start : start + SUM_ROWS] for start in range(0, len(places), SUM_ROWS)]
    for start in range(0, len(blocks), BLOCKS_AT_ONCE):
        some = blocks[start : start + BLOCKS_AT_ONCE]
        yield from zip(some, in_threads(block, some), strict=True)


def _distance_sums(
    points: torch.Tensor, places: np.ndarray, codes: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """As :func:`_distance_sums_compiled` on any device, in float64 products."""
    import torch

    for top in range(0, len(places), ROWS):
        rows = torch.from_numpy(places[top : top + ROWS]).to(points.device)
        block = points[rows].double()
        totals = torch.zeros((len(rows), count), dtype=torch.float64, device=points.device)
        norms = block.square().sum(1)
        for start in range(0, len(points), COLUMNS):
            part = points[start : start + COLUMNS].double()
            squares = torch.addmm(norms, part, block.T, alpha=-2.0).add_(part.square().sum(1)[:, None])
            distances = squares.clamp_(min=0).sqrt_()  # (columns, rows)
            here = (rows >= start) & (rows < start + len(part))
            distances[rows[here] - start, torch.nonzero(here).flatten()] = 0.0  # to itself
            present = codes[start : start + COLUMNS]
            lengths = torch.from_numpy(np.bincount(present - present[0])).to(points.device)
            sums = torch.segment_reduce(distances, "sum", lengths=lengths, initial=0)
            totals[:, present[0] : present[-1] + 1] += sums.T
        yield places[top : top + ROWS], totals
