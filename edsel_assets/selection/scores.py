"""Top-b selection by a score per prompt (Bhatt et al. 2024, Eq. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.ranking import Ranking

if TYPE_CHECKING:
    from edsel_assets.selection.core.inputs import Keys, Numbers, Rows


def top_scores(
    scores: Numbers,
    budget: int,
    *,
    exclude: Rows = (),
    tie_break: Keys | None = None,
) -> Ranking:
    """The ``budget`` prompts of highest score, best first.

    Args:
        scores: (N,) numbers, higher is chosen first.
        budget: how many to choose; at most N less the excluded.
        exclude: rows never chosen, such as prompts annotated already.
        tie_break: (N,) unique keys; equal scores go by the lower key. Row order without it.

    Returns:
        A ranking whose gains are the scores and whose objective is their sum, which is the
        optimum of this modular objective.

    Raises:
        ValueError: on a score that is not finite, a wrong shape, or a budget too large.

    Time O(N log N), memory O(N).
    """
    pool_size = len(scores)
    scores = checks.finite_vector("scores", scores, pool_size)
    excluded = checks.selected_rows(exclude, pool_size)
    budget = checks.budget_within(budget, pool_size, len(excluded))
    order = np.lexsort((checks.tie_order(tie_break, pool_size), -scores))
    allowed = np.ones(pool_size, dtype=bool)
    allowed[excluded] = False
    indices = order[allowed[order]][:budget]
    gains = scores[indices]
    return Ranking(indices.astype(np.int64), gains, float(gains.sum()), float(gains.sum()))


def random_subset(
    pool_size: int,
    budget: int,
    *,
    seed: int,
    exclude: Rows = (),
    tie_break: Keys | None = None,
    demand: Numbers | None = None,
) -> Ranking:
    """``budget`` prompts without replacement, uniformly or by demand: the control of every comparison.

    Each prompt draws a number keyed by (seed, its key in ``tie_break``), the row number without it; the
    ``budget`` smallest are chosen. So the ranking is nested, and a prompt more in the pool changes at
    most one pick. Gains are zero: a random choice has no objective. Time O(N log N), memory O(N).

    Args:
        demand: (N,) weights at least 0: successive draws with probability in proportion to them, by
            exponential keys -log(1 - u) / w (Efraimidis and Spirakis 2006). Prompts of weight 0 come last,
            uniformly. None: all alike.
    """
    pool_size = checks.whole_number("pool_size", pool_size, 0)
    excluded = checks.selected_rows(exclude, pool_size)
    budget = checks.budget_within(budget, pool_size, len(excluded))
    priority = checks.tie_order(tie_break, pool_size)
    drawn = draws.keyed_uniforms(seed, draws.keys_of(tie_break, pool_size), "random")
    order: tuple[np.ndarray, ...] = (priority, drawn)
    if demand is not None:
        weights = checks.at_least_zero("demand", demand, pool_size)
        with np.errstate(divide="ignore"):
            # In logarithms, so that no weight is too small.
            order = (*order, np.log(-np.log1p(-drawn)) - np.log(weights))
    order = (*order, np.isin(np.arange(pool_size), excluded))
    return Ranking(np.lexsort(order)[:budget].astype(np.int64), np.zeros(budget))
