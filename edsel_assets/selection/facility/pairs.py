"""Greedy facility location over the pairs that matter, every candidate's gain kept up to date.

Where the threshold of point i is at most its maximum m_i (or the least weight there is), the pairs
left out can never raise m_i, so nothing is lost. A narrow RBF kernel has few pairs to start with;
a wide one, or cosine, after some picks: about N / t candidates come nearer to a point than the
nearest of t picks. When a pick raises m_i, the gains of exactly the candidates in row i change, so
that a whole run costs about nnz * ln(budget) additions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edsel_assets.selection.core.threads import in_threads
from edsel_assets.selection.facility import kernels
from edsel_assets.selection.facility.blocked import HalfPairs
from edsel_assets.selection.facility.dense import State
from edsel_assets.selection.facility.kernels import GROUP, TAKEN
from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.similarity import UNIT


@dataclass(frozen=True)
class Pairs:
    """Weights as symmetric compressed sparse rows, each prompt's own weight 1 among them.

    Demand is not in them.

    Attributes:
        starts: (N + 1,) int64, row i lies at ``starts[i]:starts[i + 1]``.
        others: (nnz,) int32 columns, in no order.
        weights: (nnz,) int32 in units of 1 / UNIT.
    """

    starts: np.ndarray
    others: np.ndarray
    weights: np.ndarray


def both_ways(size: int, half: HalfPairs) -> Pairs:
    """Every pair in both rows, and each prompt with itself: row i holds i, those over i, those under i."""
    over, under = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for rows, columns, _ in half.pieces:
        kernels.tally(rows, over)
        kernels.tally(columns, under)
    starts = np.concatenate([[0], np.cumsum(1 + over + under)])
    others = np.empty(starts[-1], dtype=np.int32)
    weights = np.empty(starts[-1], dtype=np.int32)
    others[starts[:-1]] = np.arange(size, dtype=np.int32)
    weights[starts[:-1]] = UNIT

    def place(side: int) -> None:
        fill = starts[:-1] + 1 + (over if side else 0)
        for piece in half.pieces:
            kernels.place(piece[side], piece[1 - side], piece[2], fill, others, weights)

    in_threads(place, (0, 1))
    return Pairs(starts, others, weights)


class SparseRun:
    """A greedy run over ``pairs``; arrays are (N,) in priority order.

    Attributes:
        maxima: int32, m_i in units.
        owners: int32, the pick that gives m_i, -1 where none does.
        keys: int64, each candidate's gain with the utility's part, or an upper bound on it;
            ``TAKEN`` at most where the candidate is taken.
        parts: int64, the utility's part in ``keys``.
    """

    def __init__(self, pairs: Pairs, state: State, utility: Utility) -> None:
        self.pairs = pairs
        self.maxima = state.maxima.numpy()  # shared: picks here move the state on
        self.owners = state.owners.numpy()
        self.parts = utility.gains(len(self.maxima))
        self.demand, self.scale = state.demand.numpy(), utility.scale
        matrix = (pairs.starts, pairs.others, pairs.weights, self.demand)
        self.keys = kernels.gains(*matrix, self.maxima) + self.parts
        self.keys[state.taken] = TAKEN
        self.best = np.empty(-(-len(self.maxima) // GROUP), dtype=np.int64)
        self.dirty = np.ones(len(self.best), dtype=np.bool_)

    def pick(self, values: np.ndarray, weight: float, chosen: float, out: np.ndarray) -> float:
        """Fill ``out``, (count, 2) int64, with the next picks and their gains; returns the new sum of u.

        ``values`` is u, (N,) float64 (empty: no utility), ``weight`` lambda, ``chosen`` the sum of u so far.
        """
        pairs = self.pairs
        return kernels.pick(
            pairs.starts, pairs.others, pairs.weights, self.demand, self.maxima, self.owners, self.keys,
            self.parts, self.best, self.dirty, values, weight, UNIT, self.scale, chosen, out,
        )  # fmt: skip


def cover(pairs: Pairs, selected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maxima and owners that ``selected`` alone give."""
    maxima = np.zeros(len(pairs.starts) - 1, dtype=np.int32)
    owners = np.full(len(maxima), -1, dtype=np.int32)
    for row in selected:
        part = slice(pairs.starts[row], pairs.starts[row + 1])
        raised = pairs.weights[part] > maxima[pairs.others[part]]
        maxima[pairs.others[part][raised]] = pairs.weights[part][raised]
        owners[pairs.others[part][raised]] = row
    return maxima, owners
