"""A tighter upper bound on the best facility location, by its Lagrangian dual over sparse pairs.

For any v with v_i at least what point i has already, and any set T of b prompts,
max over T of w_ij <= v_i + sum over T of (w_ij - v_i)+, so that with demand weights a the best F is at most
sum of a_i v_i + the b largest of sum_i a_i (w_ij - v_i)+ (Cornuejols, Fisher, Nemhauser 1977). The bound
of submodularity is the case v = m; steps down the subgradient a_i (1 - #{j among the b : w_ij > v_i}),
in units of a_i so that light and heavy points move alike, find much better v. Every v gives a valid bound,
in exact integers, however the steps go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edsel_assets.selection.core.threads import in_threads
from edsel_assets.selection.facility import kernels
from edsel_assets.selection.facility.pairs import Pairs
from edsel_assets.selection.facility.similarity import UNIT

ROUNDS = 12  # over all pairs' worth of reading: with fewer kept, as many more rounds
MOST_ROUNDS = 30
LOSS = 1000  # v is kept over a floor that costs the bound at most one part in so many
CLOSE = 0.995  # certified share of the optimum at which to stop
THREADS_FROM = 1 << 22  # pairs under which starting threads costs more than they save
STRIPES = 16  # of rows, shared out among threads


def dual_bound(
    pairs: Pairs,
    demand: np.ndarray,
    picks: np.ndarray,
    lowest: np.ndarray,
    parts: np.ndarray,
    reached: int,
    budget: int,
) -> int:
    """An upper bound in units on coverage + sum of parts over any ``budget`` prompts.

    Args:
        demand: (N,) int64, the weight of each point in the kernel's units.
        picks: (k,) int64, a good choice: where the search starts.
        lowest: (N,) int32, the coverage before the choice, at least every weight left out of ``pairs``.
        parts: (N,) int64, what each prompt adds beside its coverage; under 0 where it must not be chosen.
        reached: what a known choice reaches, which scales the steps.
    """
    size = len(lowest)
    # No v under a small floor is tried, so that the many pairs of less weight need not be read again.
    floor = reached // (LOSS * max(1, int(demand.sum())))
    lowest = np.maximum(lowest, floor).astype(np.int32)
    everything = len(pairs.weights)
    pairs = _over(pairs, floor)
    # The best v of a choice lies between the second and the first of the weights that cover a point.
    first, second = kernels.two_best(pairs.starts, pairs.others, pairs.weights, picks, lowest)
    v = first // 2 + second // 2
    gains, counts = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    best, pace, idle = int(np.iinfo(np.int64).max), 1.0, 0
    for _ in range(min(MOST_ROUNDS, ROUNDS * everything // len(pairs.weights))):
        _by_rows(kernels.excess, pairs, gains, demand, v)
        gains += parts
        gains[parts < 0] = -1
        top = np.argpartition(gains, size - budget)[size - budget :]
        bound = int(demand @ v.astype(np.int64)) + sum(gains[top].tolist())  # may pass 2^63
        idle = 0 if bound < best - best // 10**5 else idle + 1
        pace = pace / 2 if idle == 2 else pace
        idle %= 2
        best = min(best, bound)
        if reached >= CLOSE * best:
            break
        among = np.zeros(size, dtype=np.bool_)
        among[top] = True
        _by_rows(kernels.covering, pairs, counts, v, among)
        slope = 1.0 - counts
        slope[(v <= lowest) & (slope > 0)] = 0
        if not slope.any():
            break
        length = float(demand @ slope**2)
        if not length:
            break
        step = pace * (bound - reached) / length
        v = np.clip(np.rint(v - step * slope), lowest, UNIT).astype(np.int32)
    return best


def _over(pairs: Pairs, floor: int) -> Pairs:
    """Those of ``pairs`` whose weight is over ``floor``."""
    kept = pairs.weights > floor
    counts = np.add.reduceat(kept, pairs.starts[:-1], dtype=np.int64)  # no row is empty
    return Pairs(np.concatenate([[0], np.cumsum(counts)]), pairs.others[kept], pairs.weights[kept])


def _by_rows(work: Callable[..., None], pairs: Pairs, out: np.ndarray, *arrays: np.ndarray) -> None:
    """``work`` over stripes of rows in threads, each filling its part of ``out``."""
    ends = [len(out) * stripe // STRIPES for stripe in range(STRIPES + 1)]

    def stripe(number: int) -> None:
        start, stop = ends[number], ends[number + 1]
        work(pairs.starts, pairs.others, pairs.weights, *arrays, start, out[start:stop])

    if len(pairs.weights) < THREADS_FROM:
        for number in range(STRIPES):
            stripe(number)
    else:
        in_threads(stripe, range(STRIPES))
