"""Names of cells and partitions.

Budgets are zero-padded, a trial is ``STRATEGY.sSEED``, and "|" stands between the parts of a key.
"""

from dataclasses import dataclass
from typing import Self

BUDGET_WIDTH = 5


def budget_key(budget: int) -> str:
    """Zero-padded, so that the order of keys is the order of budgets."""
    return f"{budget:0{BUDGET_WIDTH}d}"


def trial_key(strategy: str, seed: int) -> str:
    return f"{strategy}.s{seed}"


def partition_key(*parts: str) -> str:
    """The key of a partition of these parts: ``00100|k_center``."""
    return "|".join(parts)


def key_parts(key: str | None) -> tuple[str, ...]:
    """The parts of the key of a partition; none without one."""
    return tuple(key.split("|")) if key else ()


def parse_trial(trial: str) -> tuple[str, int]:
    """(strategy, seed) of ``k_center.s0``.

    Raises:
        ValueError: it is no trial.
    """
    strategy, _, seed = trial.rpartition(".s")
    return strategy, int(seed)


def parse_budget_trial(key: str) -> tuple[int, str, int]:
    """(budget, strategy, seed) of ``00100|k_center.s0``."""
    budget, trial = key_parts(key)
    return int(budget), *parse_trial(trial)


@dataclass(frozen=True, order=True)
class CellKey:
    """One asset, or one partition of it; ``asset`` is its name in the UI, such as ``round_2/weights``."""

    asset: str
    partition: str | None = None

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]" if self.partition else self.asset

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cell that ``str`` wrote."""
        asset, bracket, rest = text.partition("[")
        return cls(asset, rest.removesuffix("]") if bracket else None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the key of its partition; none without one."""
        return key_parts(self.partition)
