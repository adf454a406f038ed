"""Which prompts an order asks for: one function for each way of asking."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.annotation import rule_prices
from edsel_assets.selection.core.draws import keyed_uniforms
from edsel_assets.selection.money.spending import fitting
from edsel_assets.study import Study

Row = Mapping[str, Any]


class NothingToOrder(ValueError):
    """An order that would hold no prompt."""


@dataclass(frozen=True)
class Chosen:
    """The prompts of an order.

    Attributes:
        picks: ``prompt_id, gain`` of each, best first.
        validation: ids drawn at random, to validate.
        replaces: ids of the rejected prompts whose place these take.
    """

    picks: Sequence[Row]
    validation: Sequence[str]
    replaces: Sequence[str] = ()


class Offer:
    """What can be asked for now.

    Args:
        cell: what the picks are taken from.
        selection: ``rank, prompt_id, gain`` of one replicate.
        asked: prompts of earlier orders.
        answered: prompts with an answer from elsewhere; none of them is drawn to validate.
    """

    def __init__(
        self,
        study: Study,
        pool: pa.Table,
        cell: str,
        selection: pa.Table,
        asked: Collection[str],
        answered: Collection[str],
    ) -> None:
        self.study, self.cell, self._pool = study, cell, pool
        self.rows: dict[str, Row] = {row["prompt_id"]: row for row in pool.to_pylist()}
        self._left = [row for row in selection.sort_by("rank").to_pylist() if row["prompt_id"] not in asked]
        self._known = {*asked, *answered}
        self._picks = selection.num_rows

    @property
    def left(self) -> list[Row]:
        """The picks that nobody asked for yet, best first.

        Raises:
            NothingToOrder: there is none.
        """
        if not self._left:
            raise NothingToOrder(
                f"All {self._picks} picks of {self.cell} are asked for already. Add prompts to the pool, or "
                "raise selection.budgets."
            )
        return self._left

    def prices(self, ids: Sequence[str]) -> list[float]:
        return rule_prices(self.study.annotation, [self.rows[key] for key in ids], self._pool)

    def affordable(self, picks: Sequence[Row], money: float) -> list[Row]:
        """Each of ``picks``, in their order, that can be paid from what those before it left."""
        prices = np.asarray(self.prices([row["prompt_id"] for row in picks]), dtype=np.float64)
        return [row for row, taken in zip(picks, fitting(prices, money), strict=True) if taken]

    def to_validate(self, size: int, picks: Sequence[Row]) -> list[str]:
        """The ``size`` prompts with the lowest hash among those that are neither picked nor known."""
        taken = self._known | {row["prompt_id"] for row in picks}
        free = [key for key in self.rows if key not in taken]
        draws = keyed_uniforms(self.study.evaluation.held_out_seed, free, "validation")
        return [free[i] for i in np.argsort(draws, kind="stable")[:size]]


def by_number(offer: Offer, budget: int, validate: int) -> Chosen:
    """``budget`` prompts in all: ``validate`` of them random, the others the first picks.

    Raises:
        NothingToOrder: no room is left for a pick.
    """
    if validate >= budget:
        raise NothingToOrder(
            f"An order of {budget} prompts has no room for a pick beside {validate} to validate. Order at "
            f"least {validate + 1}, or validate with fewer: --validate, annotation.validation."
        )
    picks = offer.left[: budget - validate]
    return Chosen(picks, offer.to_validate(validate, picks))


def whole_round(offer: Offer, validate: int) -> Chosen:
    """All picks of a round, and beside them ``validate`` random prompts."""
    return Chosen(offer.left, offer.to_validate(validate, offer.left))


def for_money(offer: Offer, money: float, validate: int) -> Chosen:
    """``validate`` random prompts are paid first; then each pick, in order, that can still be paid.

    Raises:
        NothingToOrder: no pick can be paid.
    """
    picks = offer.affordable(offer.left, money)
    validation = offer.to_validate(validate, picks)
    if validation:
        others = [row for row in offer.left if row["prompt_id"] not in validation]
        rest = money - sum(offer.prices(validation))
        picks = offer.affordable(others, rest) if rest > 0 else []
    if not picks:
        first = f", of which {len(validation)} prompts to validate come first" if validation else ""
        raise _unaffordable(offer, money, first)
    return Chosen(picks, validation)


def in_place_of(offer: Offer, gone: Sequence[str], spoiled: Sequence[str], money: float | None) -> Chosen:
    """Picks for the rejected picks ``gone``, and for those to validate, ``spoiled``, others to validate.

    They are replaced one for one. Where the picks are too few, the last of ``gone`` stay rejected.

    Args:
        money: for the picks, where budgets are money: what ``gone`` were asked at.

    Raises:
        NothingToOrder: nothing is left to order, or it cannot be paid.
    """
    picks: list[Row] = []
    if gone:
        picks = offer.left[: len(gone)] if money is None else offer.affordable(offer.left, money)
    if gone and not picks:
        raise _unaffordable(offer, money or 0.0)
    validation = offer.to_validate(len(spoiled), picks)
    if not picks and not validation:
        raise NothingToOrder("No prompt of the pool that nobody asked for is left to validate with.")
    replaced = gone[: len(picks)] if money is None else gone
    return Chosen(picks, validation, [*replaced, *spoiled[: len(validation)]])


def _unaffordable(offer: Offer, money: float, first: str = "") -> NothingToOrder:
    return NothingToOrder(
        f"No pick of {offer.cell} that nobody asked for can be paid from {money:g}{first}. Order for more."
    )
