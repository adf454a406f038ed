"""The job that an engine runs, and which engine it is, by memory and device.

Symbols: N prompts, d dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from edsel_assets.machine import free_memory
from edsel_assets.selection.core.ranking import Ranking
from edsel_assets.selection.facility.dense import CHUNK_BYTES
from edsel_assets.selection.facility.objective import Utility
from edsel_assets.selection.facility.similarity import UNIT, Kernel

EXACT = ("dense", "sparse", "blocked", "apricot")
LARGE = ("sampled", "partitioned")
ENGINES = ("auto", *EXACT, *LARGE)
MEMORY_SHARE = 0.8  # of the memory that is free, when no limit is given
PAIR_BYTES = 32  # of one pair at the most: as found, and in both rows
FEWEST_PAIRS = 32  # a prompt: with less the sparse engine would spend its run on products
MOST_OPERATIONS = {"cpu": 2e14, "cuda": 1e16}  # N^2 d of an exact run: about half an hour on two cores
SAMPLE = 50_000  # demand points of the engines for large pools
MANY = 20  # picks are many for a sample of fewer points than this for each


@dataclass(frozen=True)
class Start:
    """Picks of the same run at a smaller budget: (p,) rows in priority order, and their gains in units."""

    picks: list[int]
    gains: list[int]

    @classmethod
    def of(
        cls, begun: Ranking, priority: np.ndarray, budget: int, unit: int = UNIT, scale: float = 1.0
    ) -> Start:
        """The start that ``begun`` gives; its gains are ``scale`` times the run's, in 1 / ``unit``."""
        if len(begun) > budget:
            raise ValueError(
                f"begun must be of a smaller budget; it has {len(begun)} picks, the budget is {budget}."
            )
        # Gains are whole units; dividing gives them back but for the rounding of a double.
        units = np.rint(begun.gains / scale * unit).astype(np.int64)
        return cls(priority[begun.indices].tolist(), units.tolist())


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
        start: the first picks, where they are known.
        barred: (b,) int64 rows that must not be chosen.
    """

    kernel: Kernel
    utility: Utility
    selected: np.ndarray
    budget: int
    engine: str
    limit: int
    stochastic: tuple[float, np.ndarray] | None
    progress: Callable[[int, int], None] | None
    start: Start | None = None
    barred: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def closed(self) -> np.ndarray:
        """Rows that are no candidates: chosen already, or barred."""
        return np.concatenate([self.selected, self.barred])

    def report(self, picked: int, rows: int | None = None) -> None:
        size = self.kernel.size
        if self.progress is not None:
            self.progress((size if rows is None else rows) + picked, size + self.budget)


def memory_of(device: torch.device) -> int:
    """Bytes that may be used where no limit is given: four fifths of what is free now on the device."""
    return int(free_memory(device) * MEMORY_SHARE)


def base_bytes(size: int, dim: int) -> int:
    """What every engine holds: the points in float32, vectors of N, and a few blocks."""
    return 4 * size * dim + 64 * size + 4 * CHUNK_BYTES


def needs(size: int, dim: int) -> dict[str, int]:
    """Bytes that each engine takes at the least on a pool of (size, dim)."""
    base = base_bytes(size, dim)
    return {
        "dense": base + 4 * size * size,
        "sparse": base + PAIR_BYTES * FEWEST_PAIRS * size,
        "blocked": base,
        "apricot": base + 24 * size * size,
    }


def most_pairs(size: int, dim: int, limit: int) -> int:
    """How many pairs the sparse engine may hold within ``limit`` bytes."""
    return (limit - base_bytes(size, dim)) // PAIR_BYTES


def large_engine(engine: str, size: int, dim: int, budget: int, sample: int, device: torch.device) -> str:
    """One of LARGE where that was asked for, or where an exact run would take too long; else ``engine``.

    A sample cannot tell apart more picks than its points allow, so many picks are found in parts.
    """
    if engine != "auto" or float(size) ** 2 * dim <= MOST_OPERATIONS.get(device.type, 2e14):
        return engine
    return "partitioned" if budget * MANY > sample else "sampled"


def choose_engine(
    engine: str, size: int, dim: int, limit: int, device: torch.device, stochastic: bool
) -> str:
    """The engine to run within ``limit`` bytes; a ValueError where none or not the one asked for fits."""
    if engine == "sparse" and device.type != "cpu":
        raise ValueError(f"engine='sparse' runs on the CPU; got device {device}. Use dense or blocked there.")
    order = [engine]
    if engine == "auto":
        # Sparse is the fastest on a CPU at every size; it keeps no gains that a sample could be drawn from.
        order = ["dense", "blocked"] if stochastic or device.type != "cpu" else ["sparse", "blocked"]
    wanted = needs(size, dim)
    for name in order:
        if wanted[name] <= limit:
            return name
    listed = ", ".join(f"{name} {need / 2**30:.2f} GiB" for name, need in wanted.items())
    raise ValueError(
        f"memory_limit must hold the engine ({engine}); got {limit / 2**30:.2f} GiB, and on {size} prompts "
        f"of {dim} dimensions they need: {listed}. Raise memory_limit, choose another engine or pool."
    )


def choose_full_engine(engine: str, size: int, dim: int, limit: int, device: torch.device) -> str:
    """An engine that keeps every candidate's gain, which choosing for money needs: dense, else blocked.

    ``sparse`` and ``apricot`` do not, and stand for the one of the two that fits, as ``auto`` does.
    """
    if engine in ("dense", "blocked"):
        return choose_engine(engine, size, dim, limit, device, stochastic=True)
    return choose_engine("auto", size, dim, limit, device, stochastic=True)
