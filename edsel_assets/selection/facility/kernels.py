"""The compiled loops of facility location.

The cache of compiled code is renewed when this file changes and knows of no other. So a kernel reads
only its arguments and what stands in this file, never a name from another module of the package.
"""

from __future__ import annotations

import numba
import numpy as np

Array = np.ndarray

GROUP = 256  # candidates whose best key is remembered together
TAKEN = np.int64(-(1 << 62))


@numba.njit(cache=True, nogil=True)
def fold(
    affinity: Array,
    rbf: bool,
    unit: float,
    low: Array,
    high: Array,
    floors: Array,
    demand: Array,
    total: Array,
) -> None:
    """Add to ``total`` the sum over rows of demand (clamp(w, low, high) - low)."""
    for r in range(affinity.shape[0]):
        row, floor, lowest, highest, count = affinity[r], floors[r], low[r], high[r], demand[r]
        if count == 0:
            continue
        for c in range(row.size):
            if rbf:
                if row[c] > floor:
                    weight = np.int64(np.rint(np.exp(min(np.float64(row[c]), 0.0)) * unit))
                    total[c] += count * (min(max(weight, lowest), highest) - lowest)
            else:
                fixed = np.int32(row[c] * unit + np.float32(0.5))
                total[c] += count * (min(max(fixed, lowest), highest) - lowest)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def pair_affinity(points: Array, rows: Array, columns: Array, affinity: Array) -> None:
    """a_ij of an RBF kernel in float64 by differences, which products of near points blur."""
    for p in range(rows.size):
        left, right = points[rows[p]], points[columns[p]]
        total = 0.0
        for k in range(left.size):
            gap = np.float64(left[k]) - np.float64(right[k])
            total += gap * gap
        affinity[p] = -0.5 * total


@numba.njit(cache=True, nogil=True)
def gather(
    scores: Array,
    row_halves: Array,
    column_halves: Array,
    row_terms: Array,
    column_terms: Array,
    top: int,
    left: int,
    counts: Array,
    columns: Array,
    affinity: Array,
) -> int:
    """Pairs whose affinity, score - h_i - h_j, passes the threshold t of a side: score - h_j > t_i + h_i."""
    at = 0
    nearest, easiest = column_halves.min(), column_terms.min()
    likely = np.empty(scores.shape[1], dtype=np.int32)
    for r in range(scores.shape[0]):
        row, half, term = scores[r], row_halves[r], row_terms[r]
        least = min(term + nearest, half + easiest)  # under it no score of the row passes
        count = 0
        for c in range(max(0, top + r + 1 - left), row.size):
            likely[count] = c  # always written, kept by moving on: no branch to mispredict
            count += row[c] > least
        before = at
        for c in likely[:count]:
            if row[c] - column_halves[c] > term or row[c] - half > column_terms[c]:
                columns[at] = left + c
                affinity[at] = row[c] - half - column_halves[c]
                at += 1
        counts[r] = at - before
    return at


@numba.njit(cache=True, nogil=True)
def tally(rows: Array, counts: Array) -> None:
    for row in rows:
        counts[row] += 1


@numba.njit(cache=True, nogil=True)
def place(
    rows: Array, columns: Array, pair_weights: Array, fill: Array, others: Array, weights: Array
) -> None:
    for p in range(rows.size):
        at = fill[rows[p]]
        others[at], weights[at] = columns[p], pair_weights[p]
        fill[rows[p]] = at + 1


@numba.njit(cache=True, nogil=True)
def gains(starts: Array, others: Array, weights: Array, demand: Array, maxima: Array) -> Array:
    gains = np.zeros(maxima.size, dtype=np.int64)
    for j in range(maxima.size):
        total = np.int64(0)
        for p in range(starts[j], starts[j + 1]):
            total += demand[others[p]] * max(weights[p] - maxima[others[p]], 0)
        gains[j] = total
    return gains


@numba.njit(cache=True, nogil=True)
def _best(keys: Array, best: Array, dirty: Array) -> int:
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
def pick(
    starts: Array,
    others: Array,
    weights: Array,
    demand: Array,
    maxima: Array,
    owners: Array,
    keys: Array,
    parts: Array,
    best: Array,
    dirty: Array,
    values: Array,
    weight: float,
    unit: float,
    scale: int,
    chosen: float,
    out: Array,
) -> float:
    for turn in range(out.shape[0]):
        row = _best(keys, best, dirty)
        while values.size:
            # Utility gains fall as more is chosen, so an old one is a bound: renew until the top is true.
            part = np.int64(np.rint(weight * np.log1p(values[row] / (1 + chosen)) * unit)) * scale
            if part == parts[row]:
                break
            keys[row] += part - parts[row]
            parts[row] = part
            dirty[row // GROUP] = True
            row = _best(keys, best, dirty)
        out[turn, 0], out[turn, 1] = row, keys[row]
        keys[row] = TAKEN
        dirty[row // GROUP] = True
        if values.size:
            chosen += values[row]
        for p in range(starts[row], starts[row + 1]):
            i, new = others[p], weights[p]
            old = maxima[i]
            if new > old:
                maxima[i], owners[i] = new, row
                count = demand[i]
                if count == 0:
                    continue
                for q in range(starts[i], starts[i + 1]):
                    if weights[q] > old:
                        keys[others[q]] -= count * (min(weights[q], new) - old)
                        dirty[others[q] // GROUP] = True
    return chosen


@numba.njit(cache=True, nogil=True)
def two_best(
    starts: Array, others: Array, weights: Array, picks: Array, lowest: Array
) -> tuple[Array, Array]:
    first, second = lowest.copy(), lowest.copy()
    for j in picks:
        for p in range(starts[j], starts[j + 1]):
            i, w = others[p], weights[p]
            if w > first[i]:
                first[i], second[i] = w, first[i]
            elif w > second[i]:
                second[i] = w
    return first, second


@numba.njit(cache=True, nogil=True)
def excess(
    starts: Array, others: Array, weights: Array, demand: Array, v: Array, offset: int, gains: Array
) -> None:
    for j in range(gains.size):
        total = np.int64(0)
        for p in range(starts[offset + j], starts[offset + j + 1]):
            total += demand[others[p]] * max(weights[p] - v[others[p]], 0)
        gains[j] = total


@numba.njit(cache=True, nogil=True)
def covering(
    starts: Array, others: Array, weights: Array, v: Array, among: Array, offset: int, counts: Array
) -> None:
    for i in range(counts.size):
        count = 0
        for p in range(starts[offset + i], starts[offset + i + 1]):
            count += among[others[p]] and weights[p] > v[offset + i]
        counts[i] = count
