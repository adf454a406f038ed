"""Top-b selection by a score per prompt (Bhatt et al. 2024, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edsel_assets.selection import _checks
from edsel_assets.selection.ranking import Ranking


def top_scores(
    scores: np.ndarray,
    budget: int,
    *,
    exclude: Sequence[int] | np.ndarray = (),
    tie_break: Sequence[object] | np.ndarray | None = None,
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
    scores = _checks.finite_vector("scores", scores, pool_size)
    excluded = _checks.selected_rows(exclude, pool_size)
    budget = _checks.budget_within(budget, pool_size, len(excluded))
    order = np.lexsort((_checks.tie_order(tie_break, pool_size), -scores))
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
    exclude: Sequence[int] | np.ndarray = (),
    tie_break: Sequence[object] | np.ndarray | None = None,
) -> Ranking:
    """``budget`` prompts uniformly without replacement: the control of every comparison.

    The draw is over the prompts in ``tie_break`` order, so that it does not depend on the
    order of rows. Gains are zero: a random choice has no objective.
    """
    pool_size = _checks.whole_number("pool_size", pool_size, 0)
    excluded = _checks.selected_rows(exclude, pool_size)
    budget = _checks.budget_within(budget, pool_size, len(excluded))
    priority = _checks.tie_order(tie_break, pool_size)
    draws = np.empty(pool_size)
    draws[np.argsort(priority)] = np.random.default_rng(seed).random(pool_size)
    draws[excluded] = np.inf
    return Ranking(np.argsort(draws, kind="stable")[:budget].astype(np.int64), np.zeros(budget))
