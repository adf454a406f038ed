"""The control's curve against the logarithm of the budget, and where it reaches a score.

Symbols: L budgets of the control in ascending order, P places on the curve between them.

**Between budgets** the curve is the monotone cubic of Fritsch and Carlson (1980, "Monotone piecewise cubic
interpolation", SIAM J. Numer. Anal. 17), SciPy's ``PchipInterpolator``: it bends as the means
do, and rises nowhere beyond the two means around a place. Straight lines err more wherever a curve bends.

**Its error** is estimated by leaving out each budget but the ends in turn: how far the curve of the others
passes from the mean that was left out, over the gap H (in the logarithm) that is so made. In the middle of
the smaller gap h that is there it is taken to be (h / H)^2 times that, as errors of smooth curves fall with
the square at least, and 0 at both ends. Of the budgets at both ends of a gap the worse one counts. Two
budgets leave nothing to leave out, and the error is not known.

The base model, at budget 0, has no place on that axis: it is a point of its own at the left end, is not
pooled with the trained ones, and no budget is read off between it and the smallest one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

_STEPS = 24
#: How far budgets may be apart before anything is measured.
APART = 2.5


def isotonic(means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The non-decreasing values nearest ``means`` (L,) in weighted least squares, (L,).

    By the max-min formula (Barlow et al. 1972): the largest over a <= i of the smallest over
    b >= i of the weighted mean of a..b.
    """
    sums, total = (np.concatenate([[0.0], np.cumsum(values)]) for values in (means * weights, weights))
    result = np.full(len(means), -np.inf)
    for start in range(len(means)):
        blocks = (sums[start + 1 :] - sums[start]) / (total[start + 1 :] - total[start])
        lowest = np.minimum.accumulate(blocks[::-1])[::-1]
        result[start:] = np.maximum(result[start:], lowest)
    return result


@dataclass(frozen=True)
class Curve:
    """A curve through the means at its budgets, whatever their order.

    Attributes:
        where: (P,) budgets in ascending order, every measured one among them.
        values: (P,) the curve there.
        weights: (P, L) what it reads of each budget's mean: its derivatives.
        error: (P,) the interpolation's error, 0 at measured budgets.
    """

    where: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    error: np.ndarray


def read_curve(budgets: np.ndarray, means: np.ndarray) -> Curve:
    """The curve through ``means`` (L,) at ``budgets`` (L,), ascending."""
    if len(budgets) < 2:
        return Curve(budgets.astype(float), means, np.eye(len(means)), np.zeros(len(means)))
    logs = np.log(budgets)
    steps = np.arange(_STEPS) / _STEPS
    where = np.concatenate([*(low + steps * (high - low) for low, high in pairwise(logs)), logs[-1:]])
    small = 1e-6 * (np.ptp(means) or 1.0) * np.eye(len(means))
    above, below = (PchipInterpolator(logs, means[:, None] + sign * small)(where) for sign in (1, -1))
    weights = (above - below) / (2e-6 * (np.ptp(means) or 1.0))
    found = np.exp(where)
    found[::_STEPS] = budgets  # exactly
    error = np.outer(gap_errors(budgets, means), 4 * steps * (1 - steps)).ravel()
    return Curve(found, PchipInterpolator(logs, means)(where), weights, np.append(error, 0.0))


def wide_gaps(budgets: Iterable[float]) -> list[tuple[float, float]]:
    """Neighbouring budgets (L,), ascending, that are more than ``APART`` times apart."""
    return [(low, high) for low, high in pairwise(map(float, budgets)) if high > APART * low]


def budget_between(low: float, high: float) -> int:
    """The budget half-way in the logarithm, to two digits."""
    middle = (low * high) ** 0.5
    return int(round(middle, 1 - int(np.floor(np.log10(middle))))) if middle >= 10 else round(middle)


def gap_errors(budgets: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(L - 1,) the interpolation's error in the middle between two budgets; 0 where nothing tells it."""
    logs, inner = np.log(budgets), range(1, len(budgets) - 1)
    missed = np.zeros(len(budgets))
    for place in inner:
        rest = np.arange(len(budgets)) != place
        passed = PchipInterpolator(logs[rest], means[rest])(logs[place])
        missed[place] = abs(passed - means[place]) / (logs[place + 1] - logs[place - 1]) ** 2
    return np.maximum(missed[:-1], missed[1:]) * np.diff(logs) ** 2


def reached(budgets: np.ndarray, curve: np.ndarray, score: float) -> float:
    """The smallest budget at which the curve through non-decreasing means has ``score``.

    Returns:
        The budget; -inf where even the smallest one has more, inf where the largest has less.
    """
    if score < curve[0]:
        return -np.inf
    if score > curve[-1]:
        return np.inf
    after = int(np.argmax(curve >= score))
    if curve[after] == score:
        return float(budgets[after])
    logs = np.log(budgets)
    line = PchipInterpolator(logs, curve - score)
    return float(np.exp(brentq(line, logs[after - 1], logs[after])))
