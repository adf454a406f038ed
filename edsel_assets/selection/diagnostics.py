"""Advice on a clustering and measures of a selection (Yu et al. 2024, Sections 4.3 and 4.4).

Symbols: N prompts, d dimensions, C clusters, k chosen prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edsel_assets.selection import _checks
from edsel_assets.selection._embeddings import Embeddings, as_embeddings
from edsel_assets.selection.clusters import kmeans

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
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> float:
    """Mean silhouette (b - a) / max(a, b) in [-1, 1] over Euclidean distances, higher is better separated.

    a is a prompt's mean distance to the others of its cluster, b the least mean distance to another
    cluster; a prompt alone in its cluster counts 0 (Rousseeuw 1987), as in scikit-learn.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        labels: (N,) integers, at least 2 distinct and fewer than N.
        sample: measure this many prompts, drawn by ``seed``, each against the whole pool; None: all.
        normalise: scale rows to unit L2 norm first.

    Raises:
        ValueError: on bad embeddings, labels or sample.

    Time O(n N d) for n prompts measured, memory O(N d + n C) and never N x N.
    """
    return silhouette_sampled(
        embeddings, labels, sample=sample, seed=seed, normalise=normalise, device=device
    ).value


def silhouette_sampled(
    embeddings: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> SampledSilhouette:
    """:func:`silhouette` with its standard error; same arguments."""
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    codes, count = _label_codes(labels, pool.size)
    rows = np.arange(pool.size)
    if sample is not None:
        sample = _checks.whole_number("sample", sample, 2)
        if sample > pool.size:
            raise ValueError(f"sample must not exceed the {pool.size} prompts; got {sample}. Lower it.")
        rows = np.sort(np.random.default_rng(seed).choice(pool.size, sample, replace=False))
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

    from edsel_assets.selection import _scans
    from edsel_assets.selection._facility_blocks import BLOCK_COLUMNS, Scratch, in_threads

    scratch = Scratch()
    matrix, norms = points.numpy(), points.square().sum(1).numpy()
    # Under a tenth of the longest row, float32 products leave a distance off by over 1e-6 of that row.
    near = np.float32(0.01 * norms.max())

    def block(part: np.ndarray) -> torch.Tensor:
        rows = points[torch.from_numpy(part)]
        totals = torch.zeros((len(part), count), dtype=torch.float64)
        for left in range(0, len(points), BLOCK_COLUMNS):
            products = scratch.product(rows, points[left : left + BLOCK_COLUMNS])
            _scans.distance_sums(products, part, left, matrix, norms, codes, near, totals.numpy())
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


def elbow(
    embeddings: np.ndarray | torch.Tensor,
    cluster_counts: Sequence[int],
    *,
    seed: int = 42,
    tie_break: Sequence[object] | np.ndarray | None = None,
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
    counts = sorted({_checks.whole_number("cluster_counts", count, 1) for count in cluster_counts})
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


def low_quality_share(labels: np.ndarray, quality: np.ndarray, *, threshold: float = 0.3) -> float:
    """Share of clusters whose mean quality is under ``threshold``, in [0, 1] (Yu et al. 2024, Figure 4).

    Args:
        labels: (N,) integers.
        quality: (N,) finite, on the scale of ``threshold``.
    """
    labels = np.asarray(labels)
    values = _checks.finite_vector("quality", quality, len(labels))
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
    embeddings: np.ndarray | torch.Tensor,
    indices: Sequence[int] | np.ndarray,
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

    if not (np.isfinite(distance) and distance >= 0):
        raise ValueError(f"distance must be a finite number of at least 0; got {distance!r}.")
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    rows = _checks.selected_rows(indices, pool.size)
    if not len(rows):
        raise ValueError("indices must hold at least one chosen row; nothing covers the pool.")
    chosen = pool.rows(rows)
    parts = [_nearest_distances(block, chosen) for _, _, block in pool.blocks(ROWS)]
    nearest = torch.cat(parts).cpu().numpy()
    levels = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    quantiles = dict(zip(levels, np.quantile(nearest, levels).tolist(), strict=True))
    return Coverage(float((nearest <= distance).mean()), float(distance), quantiles, float(nearest.mean()))


def _nearest_distances(block: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(rows,) float64 distance of each row to the nearest of ``chosen``."""
    import torch

    from edsel_assets.selection._distances import pair_squares

    best = torch.full((len(block),), torch.inf, device=block.device)
    nearest = torch.zeros(len(block), dtype=torch.int64, device=block.device)
    for start in range(0, len(chosen), COLUMNS):
        part = chosen[start : start + COLUMNS]
        least, column = torch.addmm(part.square().sum(1), block, part.T, alpha=-2.0).min(1)
        nearest = torch.where(least < best, column + start, nearest)
        best = torch.minimum(best, least)
    # Measured by differences: what is chosen lies at 0 from itself, which a product does not give.
    everyone = torch.arange(len(block), device=block.device)
    return pair_squares(block, everyone, chosen, nearest).sqrt_()


class Overlap(NamedTuple):
    """What two selections have in common: count, Jaccard index, and share of the smaller one."""

    common: int
    jaccard: float
    share: float


def overlap(first: Sequence[object] | np.ndarray, second: Sequence[object] | np.ndarray) -> Overlap:
    """Overlap of two selections given as rows or prompt ids; of two empty ones it is complete."""
    one, other = set(np.asarray(first).tolist()), set(np.asarray(second).tolist())
    common = len(one & other)
    union, smaller = len(one | other), min(len(one), len(other))
    return Overlap(
        common, common / union if union else 1.0, common / smaller if smaller else float(not union)
    )


@dataclass(frozen=True)
class TaskCount:
    """One task's prompts in the pool and in a selection.

    ``ratio`` is its share of the selection over its share of the pool: 1 is proportional.
    """

    task: str
    pool: int
    chosen: int
    ratio: float


def task_counts(tasks: Sequence[str] | np.ndarray, indices: Sequence[int] | np.ndarray) -> list[TaskCount]:
    """Per task, prompts in the pool and in the selection, most over-represented first."""
    names, codes = np.unique(np.asarray(tasks, dtype=str), return_inverse=True)
    rows = _checks.selected_rows(indices, len(codes))
    pool = np.bincount(codes, minlength=len(names))
    chosen = np.bincount(codes[rows], minlength=len(names))
    expected = pool / max(1, len(codes)) * len(rows)
    ratio = np.divide(chosen, expected, out=np.zeros(len(names)), where=expected > 0)
    order = np.lexsort((names, -ratio))
    return [TaskCount(str(names[i]), int(pool[i]), int(chosen[i]), float(ratio[i])) for i in order]
