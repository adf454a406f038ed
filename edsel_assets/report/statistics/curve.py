"""The control's curve: monotone in the logarithm of the budget, and where it reaches a score.

Symbols: L budgets of the control in ascending order, P places on the curve between them.

The curve joins the control's measured budgets by straight lines in log(budget). The base model, at
budget 0, has no place on that axis: it is a point of its own at the left end, is not pooled
with the trained ones, and no budget is read off between it and the smallest one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

_STEPS = 24


def isotonic(means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The non-decreasing values nearest ``means`` in weighted least squares.

    By the max-min formula (Barlow et al. 1972): the largest over a <= i of the smallest over
    b >= i of the weighted mean of a..b. Time O(D L^3), L is about ten.

    Args:
        means: (..., L).
        weights: (L,), positive.

    Returns:
        (..., L).
    """
    zero = np.zeros((*means.shape[:-1], 1))
    sums = np.concatenate([zero, np.cumsum(means * weights, axis=-1)], axis=-1)
    total = np.concatenate([[0.0], np.cumsum(weights)])
    result = np.full(means.shape, -np.inf)
    for start in range(means.shape[-1]):
        blocks = (sums[..., start + 1 :] - sums[..., [start]]) / (total[start + 1 :] - total[start])
        lowest = np.minimum.accumulate(blocks[..., ::-1], axis=-1)[..., ::-1]
        result[..., start:] = np.maximum(result[..., start:], lowest)
    return result


def places(budgets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places between the first and the last budget, and what they read of each budget's mean.

    Returns:
        (P,) budgets in ascending order, every measured one among them, and (P, L) weights with
        curve at place p = weights[p] @ means.
    """
    logs = np.log(budgets)
    parts = [np.linspace(a, b, _STEPS, endpoint=False) for a, b in pairwise(logs)]
    where = np.concatenate([*parts, logs[-1:]])
    weights = np.stack([np.interp(where, logs, unit) for unit in np.eye(len(logs))], axis=1)
    found = np.exp(where)
    found[::_STEPS] = budgets  # exactly
    return found, weights


def reached(budgets: np.ndarray, curve: np.ndarray, score: float) -> float:
    """The smallest budget at which a non-decreasing curve has ``score``.

    Returns:
        The budget; -inf where even the smallest one has more, inf where the largest has less.
    """
    if score < curve[0]:
        return -np.inf
    if score > curve[-1]:
        return np.inf
    after = int(np.argmax(curve >= score))
    if after == 0:
        return float(budgets[0])
    part = (score - curve[after - 1]) / (curve[after] - curve[after - 1])
    low, high = np.log(budgets[after - 1]), np.log(budgets[after])
    return float(np.exp(low + part * (high - low)))
