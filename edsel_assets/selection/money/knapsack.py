"""Greedy facility location under a budget of money.

Maximise a monotone submodular F over sets of prompts that cost at most B. Greedy by gain alone, or by gain
per price alone, can be arbitrarily bad; the better of the two reaches at least (1 - 1/e) / 2 of the best
(Leskovec et al. 2007, Theorem 3 of "Cost-effective outbreak detection in networks"; Khuller, Moss, Naor
1999 for coverage; Krause and Guestrin 2005). The pick of highest gain that can be paid comes first in the
second run, which therefore is at least as good as the best single prompt.

Both runs keep the exact gain of every candidate, as ``dense`` does, and so pick what a lazy greedy picks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from edsel_assets.selection.core.embeddings import Embeddings
from edsel_assets.selection.facility.bounds import CHECKS, Certificate
from edsel_assets.selection.facility.dense import Rows, State, start_state
from edsel_assets.selection.facility.engines import Job, choose_full_engine, memory_of
from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.run import Outcome, bonus_job, exact_coverage, rows_of, unseen
from edsel_assets.selection.money.spending import fits, fractional_knapsack, per_price

SHARE = (1 - math.exp(-1)) / 2  # of the best gain: what the better of the two runs reaches
_POINTS = 200  # of a curve that is kept


@dataclass
class Purse:
    """Prices, what they may sum to, and the upper bound seen on the best objective for that money.

    Attributes:
        prices: (N,) float64, in priority order.
        curve: (spent, objective) after each pick of the run under way.
    """

    prices: np.ndarray
    money: float
    certificate: Certificate
    curve: list[tuple[float, float]] = field(default_factory=list)

    def offer(self, reached: float, keys: np.ndarray) -> None:
        """F(S*) <= F(S) + the gains at S of what S* holds, which a fractional knapsack bounds."""
        free = keys >= 0
        room = fractional_knapsack(keys[free].astype(np.float64), self.prices[free], self.money)
        self.certificate.take(reached + room / self.certificate.kernel.unit)


def run_for_money(job: Job, prices: np.ndarray, money: float) -> Outcome:
    """The better of greedy by gain per price and greedy by gain; ``job.budget`` is not read.

    Args:
        prices: (N,) float64 at least 0, in priority order.
        money: what the picks may cost.
    """
    rows, engine = rows_of(job)
    start = start_state(job.kernel, rows, job.selected)
    unit = job.kernel.unit
    base = start.coverage / unit + job.utility.term
    certificate = Certificate(job.kernel, 0)
    found = []
    for name in ("gain per price", "gain"):
        state, utility = _copied(start), copy.copy(job.utility)
        purse = Purse(prices, money, certificate)
        _greedy(job, rows, state, utility, purse, name == "gain per price")
        objective = exact_coverage(job.kernel, state.owners) + utility.term
        found.append((objective, name, state, purse.curve))
    objective, name, state, _ = max(found, key=lambda each: each[0])
    certificate.take(base + max(sum(s.pick_gains) for _, _, s, _ in found) / unit / SHARE)
    bound = max(certificate.certified, objective)
    picks = np.asarray(state.picks, dtype=np.int64)
    details: dict[str, object] = engine | {
        "greedy": name,
        "spent": math.fsum(prices[picks]),
        "curves": {run: _thinned([(0.0, base), *curve]) for _, run, _, curve in found},
        "float_error": certificate.certified - certificate.value,
    }
    gains = np.asarray(state.pick_gains, dtype=np.int64) / unit
    return Outcome(picks, gains, objective, bound, details, unseen(job.kernel, state))


def bonus_for_money(
    pool: Embeddings,
    bonus: np.ndarray,
    prices: np.ndarray,
    money: float,
    selected: np.ndarray,
    order: np.ndarray,
    engine: str,
    memory_limit: int | None,
    progress: Callable[[int, int], None] | None,
    demand: np.ndarray | None = None,
) -> tuple[Outcome, str]:
    """``facility.run.greedy_with_bonus`` for money; ``bonus`` and ``prices`` are (N,), by row."""
    limit = memory_of(pool.device) if memory_limit is None else memory_limit
    name = choose_full_engine(engine, pool.size, pool.dim, limit, pool.device)
    job = bonus_job(pool, bonus, 100, selected, order, name, limit, progress, demand)
    return run_for_money(job, prices[order], money), name


def _greedy(job: Job, rows: Rows, state: State, utility: Utility, purse: Purse, scaled: bool) -> None:
    """Pick by gain, or by gain per price where ``scaled``, until nothing more can be paid."""
    spent, next_check = 0.0, 0.0
    unit = job.kernel.unit
    value = state.coverage / unit + utility.term
    while True:
        keys = state.gains.cpu().numpy() + utility.gains(job.kernel.size)
        keys[state.taken] = -1
        open_ = (keys >= 0) & fits(purse.prices, spent, purse.money)
        if spent >= next_check or not open_.any():
            purse.offer(value, keys)
            next_check = spent + purse.money / CHECKS
        if not open_.any():
            return
        worth = per_price(keys, purse.prices) if scaled else keys
        row = int(np.argmax(np.where(open_, worth, -1)))
        _take(state, rows, row, int(keys[row]), utility)
        spent += float(purse.prices[row])
        value += int(keys[row]) / unit
        purse.curve.append((spent, value))
        share = spent / purse.money if purse.money else 1.0
        job.report(int(min(1.0, share) * job.budget))


def _take(state: State, rows: Rows, row: int, gain: int, utility: Utility) -> None:
    state.picks.append(row)
    state.pick_gains.append(gain)
    state.taken[row] = True
    utility.choose(row)
    before = state.maxima.clone()
    weights = rows.weights(torch.tensor([row], device=before.device))[0]
    raised = state.raise_to(row, weights)
    state.gains -= rows.fold(raised, before[raised], weights[raised])


def _copied(state: State) -> State:
    tensors = (state.maxima.clone(), state.owners.clone(), state.gains.clone())
    return State(*tensors, state.taken.copy(), [], [], state.demand)


def _thinned(curve: list[tuple[float, float]]) -> list[list[float]]:
    """At most 200 points of a curve, first and last among them."""
    rows = np.unique(np.linspace(0, len(curve) - 1, _POINTS).astype(int))
    return [[round(value, 9) for value in curve[i]] for i in rows]
