"""Facility location with a fixed bonus per prompt, on the engines of facility location."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edsel_assets.selection._embeddings import Embeddings
from edsel_assets.selection._facility_kernel import UNIT, make_kernel
from edsel_assets.selection._facility_plan import choose_engine, memory_of
from edsel_assets.selection._facility_run import Job, Outcome, run
from edsel_assets.selection._facility_utility import Utility
from edsel_assets.selection.facility_location import LARGEST_TERM


class Bonus(Utility):
    """A modular term, sum of ``values`` over S: the same gain whatever is chosen."""

    def __init__(self, values: np.ndarray, selected: np.ndarray) -> None:
        super().__init__(values, 1.0, selected)
        self.bonus = values
        self.units = np.rint(values * UNIT).astype(np.int64)

    @property
    def term(self) -> float:
        return self.chosen

    def gains(self, size: int) -> np.ndarray:
        return self.units


def greedy_with_bonus(
    pool: Embeddings,
    bonus: np.ndarray,
    budget: int,
    selected: np.ndarray,
    order: np.ndarray,
    engine: str,
    memory_limit: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Outcome, str]:
    """Greedy on cosine facility location plus (N,) ``bonus`` >= 0; assumes checked input.

    Rows of the outcome are in ``order``, that of priority. Also returns the engine that ran.
    """
    if not math.fsum(bonus) < LARGEST_TERM:
        raise ValueError(
            f"quality x alpha / (1 - alpha) must sum to less than {LARGEST_TERM:.0e}; got {bonus.sum():.3g}. "
            "Scale quality down."
        )
    limit = memory_of(pool.device) if memory_limit is None else memory_limit
    # The sparse engine works out the term of Eq. 4 itself, which a bonus is not; as "stochastic"
    # the choice is among the others.
    name = choose_engine(engine, pool.size, pool.dim, limit, pool.device, stochastic=True)
    kernel = make_kernel(pool, "cosine", 1.0, order)
    term = Bonus(bonus[order], selected)
    return run(Job(kernel, term, selected, budget, name, limit, None, progress)), name
