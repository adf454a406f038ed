"""Greedy facility location that keeps every candidate's gain up to date, on any torch device.

A pick c raises the maximum m_i of the points P it covers better than before. Only they change
gains: gain_j falls by sum over i in P of clamp(w_ij, old m_i, new m_i) - old m_i. The t-th pick
moves about N / t points, so k picks cost about N ln(k) rows of the similarity: in the dense
engine these are read, in the blocked engine they are products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from edsel_assets.selection.facility.bounds import Certificate
from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.similarity import UNIT, Kernel

CHUNK_BYTES = 64 << 20  # of one block of similarity rows
Choose = Callable[[np.ndarray], int]  # (N,) int64 keys, taken ones negative -> row


class Rows(Protocol):
    """Rows of the similarity, and sums over them."""

    def weights(self, points: torch.Tensor) -> torch.Tensor:
        """(r, N) int32 weights of the (r,) int64 ``points``."""

    def fold(self, points: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """(N,) int64 sum over ``points`` of demand (clamp(w, old, new) - old); old and new: (r,) int32."""


class TorchRows:
    """Rows on any device: held (4 N^2 bytes) or computed whenever they are asked for."""

    def __init__(self, kernel: Kernel, *, held: bool) -> None:
        self.kernel = kernel
        self.held = None
        if held:
            device = kernel.points.device
            self.held = torch.empty((kernel.size, kernel.size), dtype=torch.int32, device=device)
            for part in chunks(torch.arange(kernel.size, device=device), kernel.size):
                self.held[part] = kernel.weights(part)

    def weights(self, points: torch.Tensor) -> torch.Tensor:
        return self.kernel.weights(points) if self.held is None else self.held[points]

    def fold(self, points: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(self.kernel.size, dtype=torch.int64, device=points.device)
        size = self.kernel.size
        parts = zip(chunks(points, size), chunks(old, size), chunks(new, size), strict=True)
        for part, low, high in parts:
            rise = torch.clamp(self.weights(part), low[:, None], high[:, None]).sub_(low[:, None])
            if self.kernel.demand_unit == 1:
                total += rise.sum(0, dtype=torch.int64)
            else:
                total += (rise * self.kernel.demand[part, None]).sum(0)
        return total


def chunks(rows: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """``rows`` in pieces whose similarity rows, of ``size`` each, fill CHUNK_BYTES."""
    if len(rows):
        yield from rows.split(max(1, CHUNK_BYTES // (4 * size)))


@dataclass
class State:
    """Where a greedy run stands. All arrays over the N prompts, in priority order.

    Attributes:
        maxima: (N,) int32 tensor, m_i, the best weight of point i to anything chosen.
        owners: (N,) int32 tensor, the choice that gives m_i, -1 where none does.
        gains: (N,) int64 tensor, the facility-location gain of every candidate.
        taken: (N,) bool, chosen now or before.
        picks, pick_gains: what was chosen in this run, and its gain with the utility's part.
        demand: (N,) int64 tensor of the kernel.
    """

    maxima: torch.Tensor
    owners: torch.Tensor
    gains: torch.Tensor
    taken: np.ndarray
    picks: list[int]
    pick_gains: list[int]
    demand: torch.Tensor

    @property
    def coverage(self) -> int:
        """Sum of demand x maxima: the facility-location part of the objective, in units."""
        return int((self.demand * self.maxima).sum())

    def raise_to(self, row: int, weights: torch.Tensor) -> torch.Tensor:
        """Let ``row`` cover what it covers better, by its (N,) ``weights``; returns those points."""
        raised = torch.nonzero(weights > self.maxima).flatten()
        self.maxima[raised] = weights[raised]
        self.owners[raised] = row
        return raised


def start_state(kernel: Kernel, rows: Rows, selected: np.ndarray) -> State:
    """Maxima set by ``selected`` ((s,) int64) and the gains of every candidate given them."""
    state = covered_state(kernel, rows, selected)
    everything = torch.arange(kernel.size, device=state.maxima.device)
    highest = torch.full_like(state.maxima, torch.iinfo(torch.int32).max)
    state.gains = rows.fold(everything, state.maxima, highest)
    return state


def covered_state(kernel: Kernel, rows: Rows, selected: np.ndarray) -> State:
    """The same without gains, which take a product over all pairs."""
    device = kernel.points.device
    maxima = torch.zeros(kernel.size, dtype=torch.int32, device=device)
    owners = torch.full((kernel.size,), -1, dtype=torch.int32, device=device)
    taken = np.zeros(kernel.size, dtype=bool)
    taken[selected] = True
    state = State(maxima, owners, maxima.long(), taken, [], [], kernel.demand)
    for part in chunks(torch.from_numpy(selected).to(device), kernel.size):
        for row, weights in zip(part.tolist(), rows.weights(part), strict=True):
            state.raise_to(row, weights)
    return state


def repeat_picks(rows: Rows, state: State, utility: Utility, picks: list[int], gains: list[int]) -> None:
    """Take ``picks`` whose ``gains`` are known; the gains of the other candidates are not kept up to date."""
    for row in picks:
        state.raise_to(row, rows.weights(torch.tensor([row], device=state.maxima.device))[0])
        utility.choose(row)
    state.taken[picks] = True
    state.picks.extend(picks)
    state.pick_gains.extend(gains)


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
        if len(state.picks) in certificate.checks:
            certificate.offer(len(state.picks), state.coverage, utility, keys)
        row = int(np.argmax(keys)) if choose is None else choose(keys)
        state.picks.append(row)
        state.pick_gains.append(int(keys[row]))
        state.taken[row] = True
        utility.choose(row)
        before = state.maxima.clone()
        weights = rows.weights(torch.tensor([row], device=before.device))[0]
        raised = state.raise_to(row, weights)
        state.gains -= rows.fold(raised, before[raised], weights[raised])
        if progress is not None:
            progress(len(state.picks))


def run_apricot(kernel: Kernel, state: State, selected: np.ndarray, budget: int) -> None:
    """Let apricot choose ``budget`` prompts, into ``state``. Time O(N^2 budget), 16 N^2 bytes.

    Its lazy optimizer is not used: it departs from greedy on real data.
    """
    from apricot import FacilityLocationSelection

    device = kernel.points.device
    similarity = np.empty((kernel.size, kernel.size))
    for part in chunks(torch.arange(kernel.size, device=device), kernel.size):
        similarity[part.cpu().numpy()] = kernel.weights(part).cpu().numpy() / UNIT
    chooser = FacilityLocationSelection(
        budget,
        metric="precomputed",
        optimizer="naive",
        initial_subset=selected if selected.size else None,
    )
    chooser.fit(similarity)
    state.picks.extend(int(row) for row in chooser.ranking)
    state.pick_gains.extend(int(gain) for gain in np.rint(np.asarray(chooser.gains) * UNIT))
    state.taken[state.picks] = True
    everyone = np.concatenate([selected, state.picks]).astype(np.int64)
    best = similarity[everyone].argmax(axis=0)
    maxima = similarity[everyone[best], np.arange(kernel.size)]
    state.maxima = torch.from_numpy(np.rint(maxima * UNIT).astype(np.int32)).to(device)
    state.owners = torch.from_numpy(np.where(maxima > 0, everyone[best], -1).astype(np.int32)).to(device)
    gains = np.maximum(similarity - maxima, 0).sum(axis=1)
    state.gains = torch.from_numpy(np.rint(gains * UNIT).astype(np.int64)).to(device)
