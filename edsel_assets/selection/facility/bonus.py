"""Facility location with a fixed bonus per prompt, on the engines of facility location."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edsel_assets.selection.core.embeddings import Embeddings
from edsel_assets.selection.facility.engines import choose_engine, memory_of
from edsel_assets.selection.facility.greedy import LARGEST_TERM
from edsel_assets.selection.facility.job import Job
from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.run import Outcome, run
from edsel_assets.selection.facility.similarity import UNIT, make_kernel


class Bonus(Utility):
    """A modular term, the sum of a bonus over S: the same gain whatever is chosen.

    Attributes:
        chosen: the sum of the bonus over what is chosen.
    """

    def __init__(self, bonus: np.ndarray, selected: np.ndarray) -> None:
        super().__init__(None, 0.0, selected)
        self.bonus = bonus
        self.units = np.rint(bonus * UNIT).astype(np.int64)
        self.chosen = math.fsum(bonus[selected])

    @property
    def term(self) -> float:
        return self.chosen

    def gains(self, size: int) -> np.ndarray:
        return self.units.copy()

    def tangent(self, before: float, size: int) -> tuple[float, np.ndarray]:
        return before, self.units + 1  # its own tangent; a unit over what rounding took

    def choose(self, row: int) -> None:
        self.chosen += float(self.bonus[row])

    def took(self, rows: np.ndarray, chosen: float) -> None:
        self.chosen += math.fsum(self.bonus[rows])


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
    name = choose_engine(engine, pool.size, pool.dim, limit, pool.device, stochastic=False)
    kernel = make_kernel(pool, "cosine", 1.0, order)
    term = Bonus(bonus[order], selected)
    return run(Job(kernel, term, selected, budget, name, limit, None, progress)), name
