"""What the objective adds to coverage, in the fixed point of the similarity.

The utility term of Eq. 4, lambda log(1 + sum of u over S), or a bonus per prompt.
"""

from __future__ import annotations

import math

import numpy as np

from edsel_assets.selection.facility.similarity import UNIT

LARGEST_TERM = 1e9  # of a term: fixed-point gains of both parts together must fit int64


class Utility:
    """What the utility term adds to each candidate's gain, given what is chosen.

    Attributes:
        values: (N,) float64, lambda is ``weight`` and u the ``values``; None where there is no term.
        chosen: the sum of u over what is chosen.
        scale: units of a gain are 1 / (UNIT scale); the kernel's ``demand_unit``.
    """

    def __init__(
        self, values: np.ndarray | None, weight: float, selected: np.ndarray, scale: int = 1
    ) -> None:
        self.values = values if weight > 0 else None
        self.weight = weight
        self.scale = scale
        self.chosen = 0.0 if self.values is None else math.fsum(self.values[selected])

    @property
    def term(self) -> float:
        """lambda log(1 + sum of u) of what is chosen."""
        return self.weight * math.log1p(self.chosen) if self.values is not None else 0.0

    def gains(self, size: int) -> np.ndarray:
        """(N,) int64 marginal utility of every candidate, in units."""
        if self.values is None:
            return np.zeros(size, dtype=np.int64)
        parts = np.rint(self.weight * np.log1p(self.values / (1 + self.chosen)) * UNIT)
        return parts.astype(np.int64) * self.scale

    def tangent(self, before: float, size: int) -> tuple[float, np.ndarray]:
        """The log term of any choice T bounded by its tangent here: a constant, and int64 units per prompt.

        log(1 + before + sum of u over T) <= the constant + the sum of the parts over T, where
        ``before`` is the sum of u over what was chosen before the run.
        """
        if self.values is None:
            return 0.0, np.zeros(size, dtype=np.int64)
        constant = self.term - self.weight * (self.chosen - before) / (1 + self.chosen)
        parts = np.ceil(self.weight * self.values / (1 + self.chosen) * UNIT)
        return constant, parts.astype(np.int64) * self.scale

    def choose(self, row: int) -> None:
        if self.values is not None:
            self.chosen += float(self.values[row])

    def took(self, rows: np.ndarray, chosen: float) -> None:
        """Note ``rows``, picked over pairs, where the sum of u is kept up to ``chosen`` on the way."""
        self.chosen = chosen


class Bonus(Utility):
    """A modular term, the sum of a bonus over S: the same gain whatever is chosen.

    Attributes:
        chosen: the sum of the bonus over what is chosen.
    """

    def __init__(self, bonus: np.ndarray, selected: np.ndarray, scale: int = 1) -> None:
        super().__init__(None, 0.0, selected, scale)
        self.bonus = bonus
        self.units = np.rint(bonus * UNIT).astype(np.int64) * scale
        self.chosen = math.fsum(bonus[selected])

    @property
    def term(self) -> float:
        return self.chosen

    def gains(self, size: int) -> np.ndarray:
        return self.units.copy()

    def tangent(self, before: float, size: int) -> tuple[float, np.ndarray]:
        return before, self.units + self.scale  # its own tangent; a unit over what rounding took

    def choose(self, row: int) -> None:
        self.chosen += float(self.bonus[row])

    def took(self, rows: np.ndarray, chosen: float) -> None:
        self.chosen += math.fsum(self.bonus[rows])
