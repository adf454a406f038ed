"""What a facility-location run is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.similarity import Kernel


@dataclass(frozen=True)
class Job:
    """What to choose, all rows in priority order so that equal gains go to the lower row.

    Attributes:
        selected: (s,) int64 rows chosen already.
        engine: one of the engines, not "auto".
        limit: bytes the engine may use.
        stochastic: epsilon and the (N,) uint64 random bits of the prompts, or None for the best of all
            candidates.
        progress: called with (done, total); the N rows of the similarity count beside the picks.
    """

    kernel: Kernel
    utility: Utility
    selected: np.ndarray
    budget: int
    engine: str
    limit: int
    stochastic: tuple[float, np.ndarray] | None
    progress: Callable[[int, int], None] | None

    def report(self, picked: int, rows: int | None = None) -> None:
        size = self.kernel.size
        if self.progress is not None:
            self.progress((size if rows is None else rows) + picked, size + self.budget)
