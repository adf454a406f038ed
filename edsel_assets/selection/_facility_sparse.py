"""Greedy facility location over the pairs that matter, every candidate's gain kept up to date.

Where the threshold of point i is at most its maximum m_i (or the least weight there is), the pairs
left out can never raise m_i, so nothing is lost. A narrow RBF kernel has few pairs to start with;
a wide one, or cosine, after some picks: about N / t candidates come nearer to a point than the
nearest of t picks. When a pick raises m_i, the gains of exactly the candidates in row i change, so
that a whole run costs about nnz * ln(budget) additions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from edsel_assets.selection._facility_blocks import HalfPairs, in_threads
from edsel_assets.selection._facility_kernel import UNIT
from edsel_assets.selection._facility_rows import State
from edsel_assets.selection._facility_utility import Utility

GROUP = 256  # candidates whose best key is remembered together
TAKEN = np.int64(-(1 << 62))


@dataclass(frozen=True)
class Pairs:
    """Weights as symmetric compressed sparse rows, each prompt's own weight 1 among them.

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
        _tally(rows, over)
        _tally(columns, under)
    starts = np.concatenate([[0], np.cumsum(1 + over + under)])
    others = np.empty(starts[-1], dtype=np.int32)
    weights = np.empty(starts[-1], dtype=np.int32)
    others[starts[:-1]] = np.arange(size, dtype=np.int32)
    weights[starts[:-1]] = UNIT

    def place(side: int) -> None:
        fill = starts[:-1] + 1 + (over if side else 0)
        for piece in half.pieces:
            _place(piece[side], piece[1 - side], piece[2], fill, others, weights)

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
        self.keys = _gains(pairs.starts, pairs.others, pairs.weights, self.maxima) + self.parts
        self.keys[state.taken] = TAKEN
        self.best = np.empty(-(-len(self.maxima) // GROUP), dtype=np.int64)
        self.dirty = np.ones(len(self.best), dtype=np.bool_)

    def pick(self, values: np.ndarray, weight: float, chosen: float, out: np.ndarray) -> float:
        """Fill ``out``, (count, 2) int64, with the next picks and their gains; returns the new sum of u.

        ``values`` is u, (N,) float64 (empty: no utility), ``weight`` lambda, ``chosen`` the sum of u so far.
        """
        pairs = self.pairs
        return _pick(
            pairs.starts, pairs.others, pairs.weights, self.maxima, self.owners, self.keys, self.parts,
            self.best, self.dirty, values, weight, chosen, out,
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


@numba.njit(cache=True, nogil=True)
def _tally(rows, counts):
    for row in rows:
        counts[row] += 1


@numba.njit(cache=True, nogil=True)
def _place(rows, columns, pair_weights, fill, others, weights):
    for p in range(rows.size):
        at = fill[rows[p]]
        others[at], weights[at] = columns[p], pair_weights[p]
        fill[rows[p]] = at + 1


@numba.njit(cache=True, nogil=True)
def _gains(starts, others, weights, maxima):
    gains = np.zeros(maxima.size, dtype=np.int64)
    for j in range(maxima.size):
        total = np.int64(0)
        for p in range(starts[j], starts[j + 1]):
            total += max(weights[p] - maxima[others[p]], 0)
        gains[j] = total
    return gains


@numba.njit(cache=True, nogil=True)
def _best(keys, best, dirty):
    """The lowest row of the highest key."""
    top = 0
    for g in range(best.size):
        if dirty[g]:
            best[g] = keys[g * GROUP : (g + 1) * GROUP].max()
            dirty[g] = False
        if best[g] > best[top]:
            top = g
    row = top * GROUP
    while keys[row] != best[top]:
        row += 1
    return row


@numba.njit(cache=True, nogil=True)
def _pick(starts, others, weights, maxima, owners, keys, parts, best, dirty, values, weight, chosen, out):
    for pick in range(out.shape[0]):
        row = _best(keys, best, dirty)
        while values.size:
            # Utility gains fall as more is chosen, so an old one is a bound: renew until the top is true.
            part = np.int64(np.rint(weight * np.log1p(values[row] / (1 + chosen)) * UNIT))
            if part == parts[row]:
                break
            keys[row] += part - parts[row]
            parts[row] = part
            dirty[row // GROUP] = True
            row = _best(keys, best, dirty)
        out[pick, 0], out[pick, 1] = row, keys[row]
        keys[row] = TAKEN
        dirty[row // GROUP] = True
        if values.size:
            chosen += values[row]
        for p in range(starts[row], starts[row + 1]):
            i, new = others[p], weights[p]
            old = maxima[i]
            if new > old:
                maxima[i], owners[i] = new, row
                for q in range(starts[i], starts[i + 1]):
                    if weights[q] > old:
                        keys[others[q]] -= min(weights[q], new) - old
                        dirty[others[q] // GROUP] = True
    return chosen
