"""Facility location on pools too large for all pairs: a sample stands for the demand, some prompts for all.

F is a mean over the points in demand, so M points drawn by demand stand for all (first sample). The
candidates are drawn at random (engine "sampled"), or what greedy chooses in random parts of the pool
(engine "partitioned": Mirzasoleiman et al. 2013; Barbosa et al. 2015). Greedy chooses among them for the
sample, by the exact engines. Two figures tell how good that is, whatever the candidates were:

- F of the choice, estimated on a second, independent sample.
- A bound on the best F over *all* prompts: the dual bound of the first sample (Cornuejols, Fisher,
  Nemhauser 1977), for which every prompt of the pool is read once, plus what the sample can deviate
  (Hoeffding 1963: the best choice does not depend on the sample, and a point adds 0 to 1).

Symbols: N prompts, d dimensions, M points of a sample, k the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from edsel_assets.selection.core.embeddings import Embeddings
from edsel_assets.selection.core.ranking import Ranking
from edsel_assets.selection.facility.bounds import Certificate
from edsel_assets.selection.facility.dense import Rows, TorchRows, chunks, covered_state
from edsel_assets.selection.facility.engines import Job, choose_engine
from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.run import Outcome, run
from edsel_assets.selection.facility.similarity import DEMAND_UNIT, UNIT, Kernel, make_kernel

SPARE = 2  # candidates that the parts choose together at the least, by the budget
CONFIDENCE = 0.99  # of the bound and of the least objective, together
BLOCK = 4  # prompts read at once for the bound, by the points of the sample


@dataclass(frozen=True)
class Task:
    """What to choose from ``pool``. Arrays over the N prompts are by row.

    Attributes:
        order: (N,) int64 rows by priority: equal gains go to the first.
        demand: (N,) int64 demand weights in units of 1 / DEMAND_UNIT; None where all count alike.
        values, weight: u (None: no utility) and lambda of Eq. 4.
        selected: (s,) int64 rows chosen already.
        sample: M, the points of each sample, and the prompts of a part.
        limit: bytes that an engine may use.
        progress: called with (picked, budget).
    """

    pool: Embeddings
    kernel: str
    gamma: float
    order: np.ndarray
    demand: np.ndarray | None
    values: np.ndarray | None
    weight: float
    selected: np.ndarray
    budget: int
    sample: int
    seed: int
    limit: int
    progress: Callable[[int, int], None] | None


def choose_large(task: Task, engine: str) -> Ranking:
    """The ranking by ``engine``, "sampled" or "partitioned"; see :func:`facility_location`."""
    size = task.pool.size
    rng = np.random.default_rng(task.seed)
    points, counts = _sample(task, rng)
    candidates = _drawn(task, rng) if engine == "sampled" else _of_parts(task, rng)
    share = size / task.sample  # what a point of the sample stands for
    outcome, rows = _greedy(task, points, counts * DEMAND_UNIT, candidates, task.budget, 1 / share)
    picks = rows[outcome.picks]
    term = Utility(task.values, task.weight, task.selected)
    constant = term.term
    for row in picks.tolist():
        term.choose(row)
    mean, error = _covered(task, *_sample(task, rng), picks)
    bound = _bound(task, points, counts, picks, share)
    deviation = math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * task.sample))
    objective = mean * size + term.term
    least = max(mean - deviation, 0.0) * size + term.term
    highest = max(min(bound + deviation * size, size + _most_utility(task, constant)), objective)
    details = {
        "engine": engine,
        "kernel": task.kernel,
        "device": str(task.pool.device),
        "greedy": engine,
        "sample": task.sample,
        "candidates": len(candidates),
        "seed": task.seed,
        "objective_error": error * size,
        "confidence": CONFIDENCE,
        "certified": round(least / highest, 6) if highest else 1.0,
        **({"gamma": task.gamma} if task.kernel == "rbf" else {}),
    }
    return Ranking(picks, outcome.gains * share, objective, highest, details)


def _sample(task: Task, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """M draws with replacement by demand: the different rows, and how often each was drawn."""
    size = task.pool.size
    if task.demand is None:
        places = rng.integers(0, size, task.sample)
    else:
        ends = np.cumsum(task.demand[task.order])
        places = np.searchsorted(ends, rng.integers(0, ends[-1], task.sample), side="right")
    return np.unique(task.order[places], return_counts=True)


def _drawn(task: Task, rng: np.random.Generator) -> np.ndarray:
    """Candidates drawn at random; where there is demand, half of them by demand."""
    wanted = max(task.sample, SPARE * task.budget)
    drawn = _free(task)[rng.permutation(task.pool.size - len(task.selected))[:wanted]]
    if task.demand is None:
        return drawn
    by_demand = np.setdiff1d(_sample(task, rng)[0], task.selected)
    return np.union1d(drawn[: max(wanted // 2, task.budget)], by_demand)


def _free(task: Task) -> np.ndarray:
    """Rows that may be chosen, by priority."""
    taken = np.zeros(task.pool.size, dtype=np.bool_)
    taken[task.selected] = True
    return task.order[~taken[task.order]]


def _of_parts(task: Task, rng: np.random.Generator) -> np.ndarray:
    """What greedy chooses in each random part of the pool, each for its own part's demand."""
    free = _free(task)
    parts = np.array_split(free[rng.permutation(len(free))], max(1, -(-len(free) // task.sample)))
    room = task.sample // len(parts)  # candidates of a part, so that all are no more than the sample
    found = []
    for number, part in enumerate(parts):
        wanted = min(len(part), task.budget, max(-(-SPARE * task.budget // len(parts)), room))
        demand = None if task.demand is None else task.demand[part]
        if demand is None or demand.any():
            counts = np.full(len(part), DEMAND_UNIT) if demand is None else demand
            mass = counts.sum() / DEMAND_UNIT / task.pool.size
            outcome, rows = _greedy(task, part, counts, part, wanted, mass)
            found.append(rows[outcome.picks])
        if task.progress is not None:
            task.progress(task.budget * (number + 1) // (len(parts) + 1), task.budget)
    chosen = np.concatenate(found)
    rest = np.setdiff1d(free, chosen, assume_unique=True)
    return np.concatenate([chosen, rest[: max(0, task.budget - len(chosen))]])


def _greedy(
    task: Task, points: np.ndarray, demand: np.ndarray, candidates: np.ndarray, budget: int, scale: float
) -> tuple[Outcome, np.ndarray]:
    """Greedy among ``candidates`` for ``points`` in ``demand``: the outcome, and the rows that it counts in.

    ``scale`` is the coverage of these points by that of the whole pool: the utility is scaled by it too.
    """
    kernel, rows = _kernel_of(task, points, demand, np.concatenate([candidates, task.selected]))
    selected = np.flatnonzero(np.isin(rows, task.selected))
    open_rows = np.isin(rows, candidates, assume_unique=True)
    open_rows[selected] = False
    values = None if task.values is None else task.values[rows]
    term = Utility(values, task.weight * scale, selected, kernel.demand_unit)
    place = (kernel.size, task.pool.dim, task.limit, task.pool.device)
    engine = choose_engine("auto", *place, stochastic=False)
    barred = np.flatnonzero(~open_rows)
    return run(Job(kernel, term, selected, budget, engine, task.limit, None, None, barred=barred)), rows


def _kernel_of(
    task: Task, points: np.ndarray, demand: np.ndarray, others: np.ndarray
) -> tuple[Kernel, np.ndarray]:
    """A kernel over ``points`` in ``demand`` and ``others`` in none, and its rows, by priority."""
    rows = np.union1d(points, others)
    places = np.empty(task.pool.size, dtype=np.int64)
    places[task.order] = np.arange(task.pool.size)
    rows = rows[np.argsort(places[rows], kind="stable")]
    units = np.zeros(task.pool.size, dtype=np.int64)
    units[points] = demand
    return _kernel(task, rows, units[rows]), rows


def _kernel(task: Task, rows: np.ndarray, units: np.ndarray) -> Kernel:
    """A kernel over the pool's ``rows`` as given."""
    scale = torch.ones(len(rows), device=task.pool.device)
    some = Embeddings(task.pool.rows(rows), scale, task.pool.device, normalised=False)
    return make_kernel(some, task.kernel, task.gamma, None, units)


def _rows_of(kernel: Kernel) -> Rows:
    """Similarity rows as they are needed, nothing held."""
    if kernel.points.device.type == "cpu":
        from edsel_assets.selection.facility.blocked import CpuRows

        return CpuRows(kernel)
    return TorchRows(kernel, held=False)


def _covered(task: Task, points: np.ndarray, counts: np.ndarray, picks: np.ndarray) -> tuple[float, float]:
    """Mean coverage of the points by all that is chosen, and its standard error."""
    chosen = np.concatenate([task.selected, picks])
    kernel, rows = _kernel_of(task, points, counts * DEMAND_UNIT, chosen)
    state = covered_state(kernel, _rows_of(kernel), np.flatnonzero(np.isin(rows, chosen)))
    weights, times = state.maxima.double() / UNIT, kernel.demand.double() / DEMAND_UNIT
    mean = float((weights * times).sum() / times.sum())
    variance = float((times * (weights - mean) ** 2).sum() / times.sum())
    return mean, math.sqrt(variance / task.sample)


def _bound(task: Task, points: np.ndarray, counts: np.ndarray, picks: np.ndarray, share: float) -> float:
    """An upper bound on coverage of the first sample, times ``share``, and utility of any choice."""
    values = _dual(task, points, counts, picks)
    term = Utility(task.values, task.weight / share, task.selected, DEMAND_UNIT)
    before = term.chosen
    for row in picks.tolist():
        term.choose(row)
    constant, parts = term.tangent(before, task.pool.size)
    units = counts * DEMAND_UNIT
    excess = np.empty(task.pool.size, dtype=np.int64)
    widest: Kernel | None = None
    step = max(BLOCK * len(points), 1)
    for start in range(0, task.pool.size, step):
        block = np.arange(start, min(start + step, task.pool.size))
        kernel = _kernel(task, np.concatenate([points, block]), np.append(units, np.zeros_like(block)))
        first = torch.arange(len(points), device=kernel.points.device)
        excess[block] = (
            _rows_of(kernel).fold(first, values, torch.full_like(values, 2 * UNIT))[len(points) :].cpu()
        )
        widest = kernel if widest is None or kernel.error > widest.error else widest
    excess += parts
    excess[task.selected] = -1
    top = np.maximum(_highest(excess, task.budget), 0)
    total = int(units @ values.cpu().numpy().astype(np.int64)) + sum(top.tolist())
    assert widest is not None  # the pool has a row
    certificate = Certificate(widest, task.budget)
    certificate.take(total / widest.unit)
    return certificate.certified * share + constant * share


def _dual(task: Task, points: np.ndarray, counts: np.ndarray, picks: np.ndarray) -> torch.Tensor:
    """v of the bound, (points,) int32: between the best and the second best weight of what is chosen."""
    chosen = np.concatenate([task.selected, picks])
    kernel = _kernel(task, np.concatenate([points, chosen]), np.append(counts, np.zeros_like(chosen)))
    size = len(points)
    rows = _rows_of(kernel)
    best = torch.zeros((2, size), dtype=torch.int32, device=kernel.points.device)
    lowest = best[0].clone()
    done = 0
    for part in chunks(torch.arange(size, kernel.size, device=best.device), kernel.size):
        weights = rows.weights(part)[:, :size]
        asked = weights[: max(0, len(task.selected) - done)]
        if len(asked):
            lowest = torch.maximum(lowest, asked.max(0).values)
        best = torch.cat([best, weights]).topk(2, dim=0).values
        done += len(part)
    return torch.maximum(best[0] // 2 + best[1] // 2, lowest)


def _most_utility(task: Task, before: float) -> float:
    """The utility term of the k prompts of the highest u."""
    if task.values is None:
        return 0.0
    top = _highest(np.delete(task.values, task.selected), task.budget)
    return task.weight * math.log1p(math.fsum(task.values[task.selected]) + math.fsum(top))


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` highest of the values, in no order."""
    return np.partition(values, len(values) - count)[len(values) - count :] if count else values[:0]
