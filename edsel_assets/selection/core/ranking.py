"""What every selection strategy returns: an ordered choice of prompts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Prompts in the order in which a strategy chose them.

    Attributes:
        indices: (k,) int64, rows of the pool in the order chosen; unique.
        gains: (k,) float64, the marginal objective of each pick, in the objective's own
            unit. Non-increasing where the objective is submodular.
        objective: the objective of the whole choice (higher is better), computed over the
            untruncated kernel; None where a strategy has no set objective.
        upper_bound: a certified upper bound on the best objective that any choice of
            k prompts can reach; ``objective / upper_bound`` is a guaranteed fraction of it.
        details: what a reader of the result wants to know and what no other field holds,
            such as the engine used or a truncation's error bound. Plain JSON values only.
    """

    indices: np.ndarray
    gains: np.ndarray
    objective: float | None = None
    upper_bound: float | None = None
    details: dict[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def guarantee(self) -> float | None:
        """The certified fraction of the optimum, in [0, 1]; None without a bound.

        An objective below zero is minus a cost, and the fraction that of the least possible cost in
        the cost reached: 0.5 says at most twice the optimum.
        """
        if self.objective is None or self.upper_bound is None:
            return None
        if self.objective >= self.upper_bound:
            return 1.0
        if self.objective < 0:
            return max(0.0, self.upper_bound / self.objective)
        return self.objective / self.upper_bound
