"""Choosing for money: prompts have prices, and the budget is what all of them together may cost.

Symbols: N prompts, c_j the price of prompt j, B the money. One rule everywhere: prompts are taken in order,
and one that costs more than what is left is passed over. What all picks cost exceeds B by rounding at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.ranking import Ranking

ROUNDING = 1e-9  # of the money: sums of prices are not exact
FREE = 1e-9  # of the mean price: what a prompt that costs nothing, or less than this, is divided by

Choose = Callable[[int], Ranking]


def checked(prices: Any, money: object, size: int) -> tuple[np.ndarray, float]:
    """(N,) float64 prices of at least 0, and money of at least 0; a ValueError otherwise."""
    vector = checks.finite_vector("prices", prices, size)
    negative = np.flatnonzero(vector < 0)
    if negative.size:
        raise ValueError(
            f"prices must be at least 0; rows {negative[:5].tolist()} are negative ({negative.size} in all). "
            "Repair them."
        )
    if isinstance(money, bool) or not isinstance(money, (int, float, np.integer, np.floating)):
        raise ValueError(f"with prices, budget is money, a number; got {money!r}.")
    if not (math.isfinite(money) and money >= 0):
        raise ValueError(f"with prices, budget is money, a finite number of at least 0; got {money!r}.")
    return vector, float(money)


def per_price(values: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """(N,) values by unit of money; what is free counts at a billionth of the mean price."""
    least = FREE * float(prices.mean()) if prices.size and prices.any() else 1.0
    return values / np.maximum(prices, least)


def fits(prices: Any, spent: float, money: float) -> Any:
    """Whether each price, or one, can be paid from what is left."""
    return spent + prices <= money * (1 + ROUNDING)


def fitting(prices: np.ndarray, money: float) -> np.ndarray:
    """(k,) bool, which of prompts in an order are bought: each that can be paid from what is left."""
    taken, spent = np.zeros(len(prices), dtype=bool), 0.0
    for i, price in enumerate(prices.tolist()):
        if fits(price, spent, money):
            taken[i] = True
            spent += price
    return taken


def typical_count(prices: np.ndarray, money: float, free: int) -> int:
    """How many of ``free`` prompts the money buys at the mean price; at least 1 where there is one."""
    mean = float(prices.mean()) if prices.size else 0.0
    return free if mean == 0 else min(free, max(1, int(money / mean)))


def fractional_knapsack(values: np.ndarray, prices: np.ndarray, money: float) -> float:
    """The most that ``values`` >= 0 can sum to at prices of ``money`` in all, one prompt being divisible.

    A bound on every choice at that money (Dantzig 1957). Time O(N log N).
    """
    within = fits(prices, 0.0, money)
    values, prices = values[within], prices[within]
    order = np.argsort(-per_price(values, prices), kind="stable")
    cost = np.cumsum(prices[order])
    whole = int(np.searchsorted(cost, money * (1 + ROUNDING), side="right"))
    total = float(values[order[:whole]].sum())
    if whole < len(order):
        left = max(0.0, money - (float(cost[whole - 1]) if whole else 0.0))
        total += float(values[order[whole]]) * left / float(prices[order[whole]])
    return total


def top_worth(
    scores: np.ndarray,
    prices: np.ndarray,
    money: float,
    *,
    exclude: Sequence[int] | np.ndarray = (),
    tie_break: Sequence[object] | np.ndarray | None = None,
) -> Ranking:
    """Prompts of the highest score per price until the money is spent.

    A score below 0 has no meaning per price, so that all are counted from the pool's lowest where that is
    below 0. The better of two fills is taken: by worth per price, and by worth; it is worth at least half
    of the best (the classic bound of the knapsack problem, Dantzig 1957).

    Args:
        scores: (N,) numbers, higher is chosen first.
        prices, money: (N,) at least 0, and what they may sum to.
        exclude, tie_break: as in :func:`top_scores`.

    Returns:
        A ranking whose gains are the scores; the objective is the sum of their worth, with a bound.
    """
    size = len(scores)
    scores = checks.finite_vector("scores", scores, size)
    prices, money = checked(prices, money, size)
    free = np.setdiff1d(np.arange(size), checks.selected_rows(exclude, size))
    priority = checks.tie_order(tie_break, size)
    worth = scores - min(0.0, float(scores.min())) if size else scores
    best: tuple[float, np.ndarray, str] | None = None
    for name, keys in (("worth per price", per_price(worth, prices)), ("worth", worth)):
        order = free[np.lexsort((priority[free], -keys[free]))]
        rows = order[fitting(prices[order], money)]
        total = math.fsum(worth[rows])
        if best is None or total > best[0]:
            best = total, rows, name
    assert best is not None
    total, rows, name = best
    bound = max(total, fractional_knapsack(worth[free], prices[free], money))
    details = {"spent": math.fsum(prices[rows]), "greedy": name}
    return Ranking(rows.astype(np.int64), scores[rows], total, bound, dict(details))


def scaled(curves: Any, scale: float) -> dict[str, list[list[float]]]:
    """Curves of (spent, objective) with the objective times ``scale``."""
    return {name: [[spent, value * scale] for spent, value in curve] for name, curve in curves.items()}


def in_order(choose: Choose, prices: np.ndarray, money: float, free: int) -> Ranking:
    """The picks of a nested ``choose`` in their order until the money is spent.

    Args:
        choose: how many prompts -> ranking, a prefix of that of any larger number.
        free: how many prompts it can choose from.
    """
    count = typical_count(prices, money, free)
    while True:
        ranking = choose(count)
        taken = fitting(prices[ranking.indices], money)
        spent = math.fsum(prices[ranking.indices[taken]])
        rest = np.delete(prices, ranking.indices)
        if count == free or not (rest.size and fits(rest, spent, money).any()):
            return _part(ranking, taken, prices)
        count = min(free, 2 * count)


def by_bisection(choose: Choose, prices: np.ndarray, money: float, free: int) -> Ranking:
    """The picks of ``choose`` at a number of prompts that the money buys, where one more costs too much.

    For rules that share a number of prompts out, so that a larger number is another choice. The number is
    found by bisection, so that the same pool and prices give the same one.
    """

    def cost(ranking: Ranking) -> float:
        return math.fsum(prices[ranking.indices])

    whole = choose(free)
    if fits(cost(whole), 0.0, money):
        return _part(whole, np.ones(len(whole), dtype=bool), prices)
    low, high = 0, free
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(cost(choose(middle)), 0.0, money) else (low, middle)
    ranking = choose(low)
    return _part(ranking, np.ones(len(ranking), dtype=bool), prices)


def _part(ranking: Ranking, taken: np.ndarray, prices: np.ndarray) -> Ranking:
    rows = ranking.indices[taken]
    return Ranking(rows, ranking.gains[taken], details={"spent": math.fsum(prices[rows])})
