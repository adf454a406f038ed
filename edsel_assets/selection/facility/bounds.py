"""Upper bounds on the best objective, from the state of a greedy run.

F is monotone and submodular, so for any set T and any S* of b prompts
F(S*) <= F(T) + the b largest marginal gains given T (Nemhauser et al. 1978; Minoux 1978).
"""

from __future__ import annotations

import math

import numpy as np

from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.similarity import UNIT, Kernel

CHECKS = 16  # prefixes at which the bound is taken; each costs O(N)


class Certificate:
    """The lowest upper bound seen so far on the objective of any ``budget`` prompts more."""

    def __init__(self, kernel: Kernel, budget: int) -> None:
        self.kernel = kernel
        self.budget = budget
        self.value = math.inf
        self.checks = {budget * step // CHECKS for step in range(CHECKS + 1)}

    def offer(self, picked: int, coverage: int, utility: Utility, keys: np.ndarray) -> None:
        """Take the bound at this prefix, if it is one to be checked.

        ``coverage`` is the sum of the maxima and ``keys`` ((N,) int64) are at least the gains given
        the prefix, in units; what is taken already is negative there.
        """
        if picked not in self.checks:
            return
        rest = len(keys) - self.budget
        top = np.partition(keys, rest)[rest:] if self.budget else keys[:0]
        room = sum(np.maximum(top, 0).tolist())  # Python's integers: many gains of weighted demand pass 2^63
        bound = (coverage + room) / self.kernel.unit + utility.term
        self.value = min(self.value, bound)

    def greedy_bound(self, reached: float, gained: float) -> None:
        """Take what (1 - 1/e) of the best gain promises of a greedy run that gained ``gained``."""
        self.value = min(self.value, reached - gained + gained / (1 - math.exp(-1)))

    def take(self, bound: float) -> None:
        """Take a bound that is known from elsewhere."""
        self.value = min(self.value, bound)

    @property
    def certified(self) -> float:
        """The bound raised by what rounding can hide: of the products, and of the fixed point."""
        size, error = self.kernel.mass, self.kernel.error
        rounding = size / UNIT
        if self.kernel.name == "cosine":
            return self.value + size * error + rounding
        if self.kernel.sharp:
            return self.value + rounding
        return (self.value + rounding) * math.exp(error)
