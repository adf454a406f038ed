"""Greedy facility location that keeps every candidate's gain up to date, on any torch device.

A pick c raises the maximum m_i of the points P it covers better than before. Only they change
gains: gain_j falls by sum over i in P of clamp(w_ij, old m_i, new m_i) - old m_i. The t-th pick
moves about N / t points, so k picks cost about N ln(k) rows of the similarity: in the dense
engine these are read, in the blocked engine they are products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from edsel_assets.selection._facility_bound import Certificate
from edsel_assets.selection._facility_kernel import Kernel
from edsel_assets.selection._facility_utility import Utility

CHUNK_BYTES = 64 << 20  # of one block of similarity rows
Rows = Callable[[torch.Tensor], torch.Tensor]  # (r,) int64 points -> (r, N) int32 weights
Choose = Callable[[np.ndarray], int]  # (N,) int64 keys, taken ones negative -> row


@dataclass
class State:
    """Where a greedy run stands. All arrays over the N prompts, in priority order.

    Attributes:
        maxima: (N,) int32 tensor, m_i, the best weight of point i to anything chosen.
        gains: (N,) int64 tensor, the exact facility-location gain of every candidate.
        taken: (N,) bool, chosen now or before.
        picks, pick_gains: what was chosen in this run, and its gain with the utility's part.
    """

    maxima: torch.Tensor
    gains: torch.Tensor
    taken: np.ndarray
    picks: list[int]
    pick_gains: list[int]

    @property
    def coverage(self) -> int:
        """Sum of the maxima: the facility-location part of the objective, in units."""
        return int(self.maxima.sum(dtype=torch.int64))


def dense_rows(kernel: Kernel) -> Rows:
    """Rows of the whole similarity, computed once and held: 4 N^2 bytes."""
    held = torch.empty((kernel.size, kernel.size), dtype=torch.int32, device=kernel.points.device)
    for part in row_chunks(np.arange(kernel.size), kernel):
        held[part] = kernel.weights(part)
    return lambda points: held[points]


def blocked_rows(kernel: Kernel) -> Rows:
    """Rows computed whenever they are asked for: nothing of size N x N."""
    return kernel.weights


def row_chunks(rows: np.ndarray, kernel: Kernel) -> Iterator[torch.Tensor]:
    """``rows`` in pieces whose similarity rows fill CHUNK_BYTES, on the kernel's device."""
    step = max(1, CHUNK_BYTES // (4 * kernel.size))
    on_device = torch.from_numpy(rows.astype(np.int64)).to(kernel.points.device)
    yield from on_device.split(step)


def start_state(kernel: Kernel, rows: Rows, selected: np.ndarray) -> State:
    """Maxima set by ``selected`` ((s,) int64) and the gains of every candidate given them."""
    device = kernel.points.device
    maxima = torch.zeros(kernel.size, dtype=torch.int32, device=device)
    for part in row_chunks(selected, kernel):
        maxima = torch.maximum(maxima, rows(part).amax(0))
    gains = torch.zeros(kernel.size, dtype=torch.int64, device=device)
    for part in row_chunks(np.arange(kernel.size), kernel):
        rise = rows(part).sub_(maxima[part, None]).clamp_(min=0)
        gains += rise.sum(0, dtype=torch.int64)
    taken = np.zeros(kernel.size, dtype=bool)
    taken[selected] = True
    return State(maxima, gains, taken, [], [])


def run_greedy(
    kernel: Kernel,
    rows: Rows,
    state: State,
    utility: Utility,
    certificate: Certificate,
    until: int,
    *,
    choose: Choose | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Pick until ``until`` picks are made, updating ``state``, ``utility`` and ``certificate``."""
    while len(state.picks) < until:
        keys = state.gains.cpu().numpy() + utility.gains(kernel.size)
        keys[state.taken] = -1
        certificate.offer(len(state.picks), state.coverage, utility, keys)
        row = int(np.argmax(keys)) if choose is None else choose(keys)
        state.picks.append(row)
        state.pick_gains.append(int(keys[row]))
        state.taken[row] = True
        utility.choose(row)
        _cover(kernel, rows, state, row)
        if progress is not None:
            progress(len(state.picks))


def _cover(kernel: Kernel, rows: Rows, state: State, row: int) -> None:
    """Raise the maxima that ``row`` raises, and lower the gains that live on them."""
    weights = rows(torch.tensor([row], device=kernel.points.device))[0]
    raised = torch.nonzero(weights > state.maxima).flatten()
    for part in row_chunks(raised.cpu().numpy(), kernel):
        old, new = state.maxima[part, None], weights[part, None]
        state.gains -= torch.clamp(rows(part), old, new).sub_(old).sum(0, dtype=torch.int64)
    state.maxima = torch.maximum(state.maxima, weights)
