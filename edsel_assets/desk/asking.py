"""What an order can be asked for by, checked before anything is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edsel_assets.study import Study


@dataclass(frozen=True)
class Asking:
    """What is asked for: one of ``budget``, ``spend`` and ``replace``.

    Attributes:
        budget: prompts. In rounds, one of the study's budgets, which all rounds share; ``spend`` likewise.
        spend: money instead.
        replace: as many as were rejected and not replaced yet, in their place.
        validate: random prompts of the order that are bought to validate; by default what the study says.
        request: a name of this request; where an order was placed for it, that is the answer.
    """

    strategy: str
    budget: int | None = None
    spend: float | None = None
    replace: bool = False
    validate: int | None = None
    request: str | None = None

    def in_money(self, study: Study) -> bool:
        return self.spend is not None or study.selection.by_price

    def sample(self, study: Study) -> int:
        """How many prompts it buys to validate: of the study's number at most half of the order."""
        if self.validate is not None:
            return self.validate
        wanted = study.annotation.validation
        if self.budget is None or study.strategy(self.strategy).iterative:
            return wanted
        return min(wanted, self.budget // 2)

    def fewer(self, study: Study) -> str | None:
        """What is said where the order is too small for the study's number of prompts to validate."""
        wanted, found = study.annotation.validation, self.sample(study)
        if self.validate is not None or found == wanted:
            return None
        return (
            f"{found} of {self.budget} prompts validate, not the {wanted} of annotation.validation: at most "
            "half of an order does. --validate says another number."
        )

    def check(self, study: Study) -> None:
        """Raises ValueError: a strategy or budget that the study does not have."""
        if self.strategy not in study.selection.names:
            raise ValueError(
                f"The study has no strategy {self.strategy}; it has {', '.join(study.selection.names)}."
            )
        if (self.budget is not None) + (self.spend is not None) + self.replace != 1:
            raise ValueError(
                "Say how many prompts to order by --budget, for how much money by --spend, or --replace for "
                "those rejected: one of them."
            )
        self._check_amount(study)
        if study.strategy(self.strategy).iterative and not self.replace:
            self._check_round(study)

    def _check_amount(self, study: Study) -> None:
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"An order is of at least 1 prompt; got {self.budget}.")
        if self.validate is not None and (self.validate < 0 or self.replace):
            raise ValueError(
                "--validate is for at least 0 prompts, and not for --replace, which replaces each in kind."
            )
        if self.budget is not None and study.selection.by_price:
            raise ValueError("The study's budgets are money (selection.by_price). Order by --spend MONEY.")
        if self.spend is not None and not (math.isfinite(self.spend) and self.spend > 0):
            raise ValueError(f"An order is for more than 0 of money; got {self.spend!r}.")

    def _check_round(self, study: Study) -> None:
        if self.spend is not None and not study.selection.by_price:
            raise ValueError(
                f"A round of {self.strategy} is ordered whole. Order it by --budget, or set "
                "selection.by_price."
            )
        option, wanted = ("budget", self.budget) if self.spend is None else ("spend", self.spend)
        budgets = study.selection.budgets_for(self.strategy)
        if wanted not in budgets:
            raise ValueError(
                f"A round of {self.strategy} is ordered whole: --{option} is the budget that its rounds "
                f"share, of {', '.join(map(str, budgets))}; got {wanted:g}."
            )
