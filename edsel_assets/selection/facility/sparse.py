"""The sparse engine: a head of picks by products where pairs are too many, the rest over pairs.

The head takes most of the time of a wide kernel. Where its picks are known from a smaller budget, they are
repeated without the gains of the others: what comes after it depends on the maxima alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from edsel_assets.selection.facility.blocked import CpuRows, HalfPairs, near_pairs, whole_thresholds
from edsel_assets.selection.facility.bounds import Certificate
from edsel_assets.selection.facility.dense import State, covered_state, repeat_picks, run_greedy, start_state
from edsel_assets.selection.facility.dual_bound import dual_bound
from edsel_assets.selection.facility.engines import Job, most_pairs
from edsel_assets.selection.facility.pairs import Pairs, SparseRun, both_ways, cover
from edsel_assets.selection.facility.similarity import Kernel

SAMPLE = 96  # rows of which the number of pairs is estimated
ALWAYS_PAIRS = 1 << 22  # held without asking whether fewer would do: 128 MiB
DENSEST = 16  # at most one pair in so many is held: more take longer than the picks they replace


def run_sparse(job: Job, certificate: Certificate) -> tuple[State, dict[str, object]]:
    """Choose ``job.budget`` prompts; returns the state reached and what is to be told about the run."""
    kernel = job.kernel
    allowed = most_pairs(kernel.size, int(kernel.points.shape[1]), job.limit)
    most = min(allowed, max(ALWAYS_PAIRS, kernel.size**2 // 2 // DENSEST))
    thresholds = _in_demand(kernel, whole_thresholds(kernel))
    before = job.utility.chosen
    state: State | None = None
    half = _pairs_if_few(job, thresholds, most, uniform=True)
    step = 1
    while half is None:
        rows = CpuRows(kernel)
        until = min(step, job.budget)
        if job.start is None:
            if state is None:
                state = start_state(kernel, rows, job.selected)
                state.taken[job.barred] = True
            run_greedy(kernel, rows, state, job.utility, certificate, until, progress=job.report)
        elif until <= len(job.start.picks) and until < job.budget:
            if state is None:
                state = covered_state(kernel, rows, job.selected)
                state.taken[job.barred] = True
            part = slice(len(state.picks), until)
            repeat_picks(rows, state, job.utility, job.start.picks[part], job.start.gains[part])
        else:  # the head is longer than what is known of it: all of it is found anew
            job.utility.chosen = before
            return run_sparse(replace(job, start=None), certificate)
        if until == job.budget:
            return state, {"pairs": 0, "picks_by_products": until}
        thresholds = _in_demand(kernel, kernel.threshold(state.maxima.numpy()))
        half = _pairs_if_few(job, thresholds, most, uniform=False)
        step *= 2
    head = 0 if state is None else len(state.picks)
    found = len(half)
    pairs = both_ways(kernel.size, half)
    if state is None:
        maxima, owners = cover(pairs, job.selected)
        taken = np.zeros(kernel.size, dtype=bool)
        taken[job.closed] = True
        nothing = torch.zeros(kernel.size, dtype=torch.int64)
        covered = torch.from_numpy(maxima), torch.from_numpy(owners)
        state = State(*covered, nothing, taken, [], [], kernel.demand)
    lowest = state.maxima.numpy().copy()
    _pick_over(job, SparseRun(pairs, state, job.utility), state, certificate)
    _tighten(job, pairs, state, lowest, before, certificate)
    return state, {"pairs": found, "picks_by_products": head}


def _in_demand(kernel: Kernel, thresholds: np.ndarray) -> np.ndarray:
    """The thresholds; what covers a point of no demand does not matter."""
    return np.where(kernel.demand.numpy() > 0, thresholds, np.float32(np.inf))


def _pairs_if_few(job: Job, thresholds: np.ndarray, most: int, *, uniform: bool) -> HalfPairs | None:
    """The near pairs under ``thresholds``, unless there are more than ``most``."""
    if _estimate(job.kernel, thresholds, uniform=uniform) > most:
        return None
    report = None if job.progress is None else lambda share: job.report(0, int(share * job.kernel.size))
    return near_pairs(job.kernel, thresholds, most, report)


def _estimate(kernel: Kernel, thresholds: np.ndarray, *, uniform: bool) -> float:
    """About how many pairs i < j exceed the threshold of i or of j, from evenly spread rows."""
    sample = torch.from_numpy(np.unique(np.linspace(0, kernel.size - 1, SAMPLE).astype(np.int64)))
    floors = torch.from_numpy(thresholds)[sample, None]
    near = int((kernel.affinity(sample) > floors).sum())
    # With one threshold for all, a pair is counted from both its ends.
    return near / len(sample) * kernel.size / (2 if uniform else 1)


def _pick_over(job: Job, run: SparseRun, state: State, certificate: Certificate) -> None:
    """The picks that are left, over pairs, stopping where the certificate looks."""
    utility = job.utility
    values = np.empty(0) if utility.values is None else utility.values
    stops = sorted({job.budget, *(stop for stop in certificate.checks if stop > len(state.picks))})
    for stop in stops:
        certificate.offer(len(state.picks), state.coverage, utility, run.keys)
        out = np.empty((stop - len(state.picks), 2), dtype=np.int64)
        chosen = run.pick(values, utility.weight, utility.chosen, out)
        utility.took(out[:, 0], chosen)
        state.picks.extend(out[:, 0].tolist())
        state.pick_gains.extend(out[:, 1].tolist())
        state.taken[out[:, 0]] = True
        job.report(stop)
    state.gains = torch.from_numpy(run.keys - run.parts)


def _tighten(
    job: Job, pairs: Pairs, state: State, lowest: np.ndarray, before: float, certificate: Certificate
) -> None:
    """Give the certificate the dual bound; ``before`` is the sum of u before the run."""
    if not job.budget:
        return
    constant, parts = job.utility.tangent(before, job.kernel.size)
    reached = state.coverage + int(parts[state.picks].sum())
    parts[job.closed] = -1
    picks = np.asarray(state.picks, dtype=np.int64)
    bound = dual_bound(pairs, state.demand.numpy(), picks, lowest, parts, reached, job.budget)
    certificate.take(constant + bound / job.kernel.unit)
