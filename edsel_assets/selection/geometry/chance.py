"""Picks against chance: what a selection covers, beside random draws of equal size.

Symbols: N prompts of the pool, d dimensions, b picks, M demand rows: prompts of the pool, over which
coverage is a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.draws import exponentials, keyed_words, keys_of, mixed, smallest, uniforms
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings
from edsel_assets.selection.geometry.figures import TWIN
from edsel_assets.selection.money.spending import fitting

if TYPE_CHECKING:
    import torch

DRAWS = 50
#: Demand rows at most; of a larger pool they are drawn by their keys.
DEMAND = 4_000
#: Products of the search for twins among picks, at most: picks looked at x picks x d, over all sets.
_PRODUCTS = 10**11
_FEWEST = 100
_BLOCK = 16 << 20  # products held at a time


class Standing(NamedTuple):
    """How a set of picks lies in its pool.

    Attributes:
        coverage: mean over demand rows of the cosine to the nearest pick or prompt known before, in [-1, 1].
        twins: share of the picks looked at that have another pick at a cosine above 0.99, in [0, 1].
    """

    coverage: float
    twins: float


def random_draws(
    keys: Sequence[object] | np.ndarray,
    size: int | float,
    *,
    known: Sequence[int] | np.ndarray = (),
    prices: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[np.ndarray]:
    """``draws`` random selections, each an array of rows: uniform, without replacement, none of them known.

    Args:
        keys: (N,) prompt ids; a prompt's place in each draw is a function of its key and the seed.
        size: picks of each; with ``prices`` the money of each, spent as by the strategy ``random``.
        known: rows asked for before.
        prices: (N,) at least 0.
    """
    count = len(keys)
    free = np.setdiff1d(np.arange(count), checks.selected_rows(known, count))
    words = keyed_words(seed, keys_of(np.asarray(keys), count), "against random")[free]
    found = []
    for number in range(draws):
        order = mixed(words, number)
        if prices is None:
            found.append(free[smallest(uniforms(order), int(size))])
        else:
            queue = free[np.argsort(exponentials(order), kind="stable")]
            found.append(np.sort(queue[fitting(prices[queue], float(size))]))
    return found


def standings(
    embeddings: np.ndarray | torch.Tensor,
    sets: Sequence[np.ndarray],
    *,
    known: Sequence[int] | np.ndarray = (),
    keys: Sequence[object] | np.ndarray | None = None,
    weights: np.ndarray | None = None,
    seed: int = 0,
    device: str = "auto",
) -> list[Standing]:
    """Coverage and twins of each set of picks, over the same demand rows.

    Args:
        embeddings: (N, d), scaled to unit length here.
        sets: of rows of the pool, none of them empty.
        known: rows asked for before; they cover the pool whatever is picked.
        weights: (N,) at least 0, how much each prompt counts in coverage; all alike without.
        keys: (N,) that the demand rows of a pool above 4,000 prompts are drawn by; row numbers without.

    Time O(M U d), U the different rows of all sets, and sum of b M; twins take O(b^2 d) a set, of large sets
    10^11 products in all, for which only some of their picks are looked at, 100 at least.
    """
    pool = as_embeddings(embeddings, device=device)
    demand = np.arange(pool.size)
    if pool.size > DEMAND:
        demand = smallest(uniforms(keyed_words(seed, keys_of(keys, pool.size), "demand rows")), DEMAND)
    counts = np.ones(pool.size) if weights is None else checks.at_least_zero("weights", weights, pool.size)
    covered = _coverages(pool, demand, counts[demand], sets, checks.selected_rows(known, pool.size))
    looked = _PRODUCTS // max(1, pool.dim * sum(len(rows) for rows in sets))
    return [
        Standing(coverage, _twins(pool.rows(rows), max(_FEWEST, looked)))
        for coverage, rows in zip(covered, sets, strict=True)
    ]


def _coverages(
    pool: Embeddings, demand: np.ndarray, weights: np.ndarray, sets: Sequence[np.ndarray], known: np.ndarray
) -> list[float]:
    import torch

    union, places = np.unique(np.concatenate([known, *sets]), return_inverse=True)
    ends = np.cumsum([len(known), *map(len, sets)])
    first, *columns = [torch.from_numpy(part).to(pool.device) for part in np.split(places, ends[:-1])]
    candidates = pool.rows(union)
    sums = torch.zeros(len(sets), dtype=torch.float64, device=pool.device)
    step = max(1, _BLOCK // len(union))
    counts = torch.from_numpy(weights).to(pool.device)
    for start in range(0, len(demand), step):
        # Transposed, so that the rows of a set are gathered whole.
        products = candidates @ pool.rows(demand[start : start + step]).T
        floor = products[first].amax(dim=0) if len(first) else None
        for i, rows in enumerate(columns):
            best = products[rows].amax(dim=0)
            nearest = (best if floor is None else torch.maximum(best, floor)).double()
            sums[i] += nearest @ counts[start : start + step]
    return [float(value) for value in (sums / weights.sum()).tolist()]


def _twins(picks: torch.Tensor, looked_at: int) -> float:
    """Share of the first ``looked_at`` picks that have a twin among all of them."""
    found, count = 0, min(len(picks), looked_at)
    step = max(1, _BLOCK // len(picks))
    for start in range(0, count, step):
        products = picks[start : min(start + step, count)] @ picks.T
        products.diagonal(start).fill_(-1.0)
        found += int((products.amax(dim=1) > TWIN).sum())
    return found / count
