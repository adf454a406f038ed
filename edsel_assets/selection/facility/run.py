"""A facility-location job run on the engine chosen for it."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from edsel_assets.machine import out_of_memory
from edsel_assets.selection.core import draws
from edsel_assets.selection.core.embeddings import Embeddings
from edsel_assets.selection.facility.bounds import Certificate
from edsel_assets.selection.facility.dense import Rows, State, TorchRows, run_apricot, run_greedy, start_state
from edsel_assets.selection.facility.engines import Job, Start, choose_engine, memory_of
from edsel_assets.selection.facility.objective import LARGEST_TERM, Bonus
from edsel_assets.selection.facility.similarity import Kernel, make_kernel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run chose, in priority order, and what it is worth.

    Attributes:
        picks, gains: (k,) int64 rows, and float64 gains.
        objective: F of selected and picks, from float64 weights.
        details: of the engine, plain JSON values.
        unseen: share of the prompts in demand that have weight 0 to all that is chosen.
    """

    picks: np.ndarray
    gains: np.ndarray
    objective: float
    upper_bound: float
    details: dict[str, object]
    unseen: float


def run(job: Job) -> Outcome:
    """Run ``job``; its utility is used up."""
    certificate = Certificate(job.kernel, job.budget)
    details: dict[str, object] = {}
    if job.engine == "sparse":
        # Imported here, as the compiled part is of no use to a GPU.
        from edsel_assets.selection.facility.sparse import run_sparse

        state, details = run_sparse(job, certificate)
    else:
        state, details = _run_rows(job, certificate)
    keys = state.gains.cpu().numpy() + job.utility.gains(job.kernel.size)
    keys[state.taken] = -1
    certificate.offer(job.budget, state.coverage, job.utility, keys)
    objective = exact_coverage(job.kernel, state.owners) + job.utility.term
    unit = job.kernel.unit
    if job.stochastic is None:
        certificate.greedy_bound(state.coverage / unit + job.utility.term, sum(state.pick_gains) / unit)
    return Outcome(
        np.asarray(state.picks, dtype=np.int64),
        np.asarray(state.pick_gains, dtype=np.int64) / unit,
        objective,
        max(certificate.certified, objective),
        details | {"float_error": certificate.certified - certificate.value},
        unseen(job.kernel, state),
    )


def _run_rows(job: Job, certificate: Certificate) -> tuple[State, dict[str, object]]:
    """The dense, blocked and apricot engines."""
    rows, details = rows_of(job)
    state = start_state(job.kernel, rows, job.selected)
    state.taken[job.barred] = True
    job.report(0)
    if job.engine == "apricot":
        run_apricot(job.kernel, state, job.selected, job.budget)
    else:
        run_greedy(
            job.kernel, rows, state, job.utility, certificate, job.budget,
            choose=_sampler(job), progress=job.report,
        )  # fmt: skip
    return state, details


def rows_of(job: Job) -> tuple[Rows, dict[str, object]]:
    """Rows as the engine has them; for ``dense`` without memory those of blocked, which is then named."""
    if job.engine == "dense":
        try:
            return TorchRows(job.kernel, held=True), {}
        except Exception as error:
            if not out_of_memory(error):
                raise
        logger.warning("no memory for the similarity of %d prompts; its rows are computed", job.kernel.size)
        return _computed(job.kernel), {"engine": "blocked"}
    return (_computed(job.kernel) if job.engine == "blocked" else TorchRows(job.kernel, held=False)), {}


def _computed(kernel: Kernel) -> Rows:
    if kernel.points.device.type != "cpu":
        return TorchRows(kernel, held=False)
    # Imported here, as the compiled part is of no use to a GPU.
    from edsel_assets.selection.facility.blocked import CpuRows

    return CpuRows(kernel)


def unseen(kernel: Kernel, state: State) -> float:
    """Share of the points in demand that nothing chosen covers at all."""
    counted = kernel.demand > 0
    return float((counted & (state.maxima == 0)).sum() / counted.sum())


def exact_coverage(kernel: Kernel, owners: torch.Tensor) -> float:
    """The coverage part of F, each point by its owner's weight in float64; order-independent."""
    covered = torch.nonzero((owners >= 0) & (kernel.demand > 0)).flatten()
    weights = kernel.exact_weights(covered, owners[covered].long())
    return math.fsum((weights * kernel.demand[covered] / kernel.demand_unit).tolist())


def _sampler(job: Job) -> Callable[[np.ndarray], int] | None:
    """The choice among a random sample of candidates, or None for the best of all."""
    if job.stochastic is None:
        return None
    epsilon, words = job.stochastic
    steps = itertools.count()
    count = math.ceil(job.kernel.size / job.budget * math.log(1 / epsilon)) if job.budget else 0

    def choose(keys: np.ndarray) -> int:
        free = np.flatnonzero(keys >= 0)
        sample = free[draws.smallest(draws.uniforms(draws.mixed(words[free], next(steps))), count)]
        return int(sample[np.argmax(keys[sample])])

    return choose


def greedy_with_bonus(
    pool: Embeddings,
    bonus: np.ndarray,
    budget: int,
    selected: np.ndarray,
    order: np.ndarray,
    engine: str,
    memory_limit: int | None,
    progress: Callable[[int, int], None] | None,
    start: Start | None = None,
    demand: np.ndarray | None = None,
) -> tuple[Outcome, str]:
    """Greedy on cosine facility location plus (N,) ``bonus`` >= 0; assumes checked input.

    Rows of the outcome are in ``order``, that of priority. Also returns the engine that ran.
    """
    limit = memory_of(pool.device) if memory_limit is None else memory_limit
    name = choose_engine(engine, pool.size, pool.dim, limit, pool.device, stochastic=False)
    job = bonus_job(pool, bonus, budget, selected, order, name, limit, progress, demand)
    return run(replace(job, start=start)), name


def bonus_job(
    pool: Embeddings,
    bonus: np.ndarray,
    budget: int,
    selected: np.ndarray,
    order: np.ndarray,
    engine: str,
    limit: int,
    progress: Callable[[int, int], None] | None,
    demand: np.ndarray | None = None,
) -> Job:
    """What ``greedy_with_bonus`` is to choose, on an engine that is chosen."""
    if not math.fsum(bonus) < LARGEST_TERM:
        raise ValueError(
            f"quality x alpha / (1 - alpha) must sum to less than {LARGEST_TERM:.0e}; got {bonus.sum():.3g}. "
            "Scale quality down."
        )
    kernel = make_kernel(pool, "cosine", 1.0, order, demand)
    term = Bonus(bonus[order], selected, kernel.demand_unit)
    return Job(kernel, term, selected, budget, engine, limit, None, progress)
