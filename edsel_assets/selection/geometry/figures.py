"""What is seen of a pool's embeddings before anything is chosen by them.

Symbols: N prompts, d dimensions, u_i the embeddings at unit length. Where a pool is large, some figures are
those of prompts drawn by their keys; the results say of how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core.draws import keyed_uniforms, keys_of, smallest
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix

#: The cosine above which two prompts are called twins.
TWIN = 0.99
#: Products of the search for nearest prompts, at most: looked-at prompts x N x d.
_PRODUCTS = 5 * 10**10
#: Prompts looked at are at least and at most so many.
_FEWEST, _MOST = 100, 5_000
#: Rows of the covariance that the effective dimension is of, at most.
_COVARIANCE_ROWS = 20_000
_BINS = 80


@dataclass(frozen=True)
class Geometry:
    """How embeddings lie.

    Attributes:
        dimensions: d.
        mean_cosine: of two different prompts, exact, in [-1, 1]. Near 1 they lie in a cone.
        effective_dimension: participation ratio (sum v)^2 / sum v^2 of the covariance's eigenvalues v, from 1
            (a line) to d (a ball); of at most 20,000 prompts. 0 where all are the same.
        looked_at: prompts of the figures below; each is compared with the whole pool.
        twins: share of them with another prompt at a cosine above 0.99.
        nearest: (looked_at,) float32 cosine to the nearest other prompt.
        same_task: share of those with a task whose nearest other prompt has the same; None without tasks.
        by_chance: what that share would be if the nearest were any other prompt; None without tasks.
        pairs: counts of the cosines of looked-at prompts to each other, in 80 equal bins from -1 to 1.
    """

    dimensions: int
    mean_cosine: float
    effective_dimension: float
    looked_at: int
    twins: float
    nearest: np.ndarray
    same_task: float | None
    by_chance: float | None
    pairs: np.ndarray


def geometry(
    embeddings: Matrix,
    *,
    keys: Keys | None = None,
    tasks: Sequence[str | None] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Geometry:
    """The figures of a pool.

    Args:
        embeddings: (N, d), N at least 2; rows of any length but zero.
        keys: (N,) that the draws of prompts to look at are keyed by; row numbers without.
        tasks: (N,) labels; None is no label.

    Time O(N d) and that of n N d products, n looked at: 5,000, fewer where that would exceed 5 x 10^10, and
    100 at least. The covariance takes O(20,000 d^2) more. Memory O(n + d^2) beside a block.
    """
    pool = as_embeddings(embeddings, device=device)
    if pool.size < 2:
        raise ValueError("embeddings must hold 2 prompts at least: one alone has no neighbour.")
    draws = keyed_uniforms(seed, keys_of(keys, pool.size), "geometry")
    count = min(pool.size, _MOST, max(_FEWEST, _PRODUCTS // (pool.size * pool.dim)))
    looked = smallest(draws, count)
    cosines, rows = _nearest(pool, looked)
    same, chance = (
        (None, None) if tasks is None else _same_task(np.asarray(tasks, dtype=object), looked, rows)
    )
    return Geometry(
        dimensions=pool.dim,
        mean_cosine=_mean_cosine(pool),
        effective_dimension=_effective_dimension(
            pool.rows(smallest(draws, min(pool.size, _COVARIANCE_ROWS)))
        ),
        looked_at=count,
        twins=float((cosines > TWIN).mean()),
        nearest=cosines,
        same_task=same,
        by_chance=chance,
        pairs=_pairs(pool.rows(looked[: min(count, 2_000)])),
    )


def _mean_cosine(pool: Embeddings) -> float:
    """(|sum u|^2 - N) / (N (N - 1))."""
    import torch

    total = torch.zeros(pool.dim, dtype=torch.float64, device=pool.device)
    for _, _, block in pool.blocks(_block_rows(pool.dim)):
        total += block.sum(dim=0, dtype=torch.float64)
    size = pool.size
    return (float(total @ total) - size) / (size * (size - 1))


def _effective_dimension(rows: torch.Tensor) -> float:
    import torch

    centred = rows.to(torch.float64)
    centred = centred - centred.mean(dim=0)
    # The trace of C^2 is that of the smaller of the two products.
    gram = centred.T @ centred if rows.shape[0] >= rows.shape[1] else centred @ centred.T
    square = float(torch.square(gram).sum())
    return float(gram.trace()) ** 2 / square if square > 1e-20 * rows.shape[0] ** 2 else 0.0


def _nearest(pool: Embeddings, looked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) cosine to the nearest other prompt, and its row."""
    import torch

    mine = pool.rows(looked)
    own = torch.from_numpy(looked).to(pool.device)
    best = torch.full((len(looked),), -2.0, device=pool.device)
    where = torch.zeros(len(looked), dtype=torch.int64, device=pool.device)
    for start, stop, block in pool.blocks(_block_rows(max(pool.dim, len(looked)))):
        products = mine @ block.T
        inside = torch.nonzero((own >= start) & (own < stop)).flatten()
        products[inside, own[inside] - start] = -2.0
        value, column = products.max(dim=1)
        nearer = value > best
        best[nearer], where[nearer] = value[nearer], column[nearer] + start
    return best.clamp(-1, 1).cpu().numpy(), where.cpu().numpy()


def _same_task(
    tasks: np.ndarray, looked: np.ndarray, nearest: np.ndarray
) -> tuple[float | None, float | None]:
    known = np.array([task is not None for task in tasks])
    if not known[looked].any():
        return None, None
    labelled = known[looked]
    mine, other = tasks[looked[labelled]], tasks[nearest[labelled]]
    names, counts = np.unique(tasks[known].astype(str), return_counts=True)
    others = dict(zip(names.tolist(), (counts - 1) / (len(tasks) - 1), strict=True))
    chance = float(np.mean([others[str(task)] for task in mine]))
    return float(np.mean(mine == other)), chance


def _pairs(rows: torch.Tensor) -> np.ndarray:
    import torch

    products = (rows @ rows.T).clamp(-1, 1)
    above = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    return np.histogram(products[above[0], above[1]].cpu().numpy(), bins=_BINS, range=(-1, 1))[0]


def _block_rows(width: int) -> int:
    return max(1, (64 << 20) // (4 * width))
