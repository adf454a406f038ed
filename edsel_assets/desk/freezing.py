"""The chosen prompts frozen as an order, and entered into the ledger of purchases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from edsel_assets import annotation
from edsel_assets.desk.answers import record_orders
from edsel_assets.desk.choosing import Chosen, Offer
from edsel_assets.desk.desk import words
from edsel_assets.store import Store


@dataclass(frozen=True)
class Draft:
    """An order before it is placed.

    Attributes:
        strategy: whose picks these are.
        budget: as it was asked for, in ``unit``: ``prompts`` or ``money``.
        request: as ``annotation.place_order`` has it.
    """

    offer: Offer
    chosen: Chosen
    strategy: str
    budget: float
    unit: str = "prompts"
    request: str | None = None

    @property
    def words(self) -> str:
        table = self.table()
        price = sum(value or 0.0 for value in table["price"].to_pylist())
        return words(table.num_rows, len(self.chosen.validation), price)

    def table(self) -> pa.Table:
        """The prompts as ``annotation.place_order`` takes them: picks, then those to validate."""
        picks, validation, rows = self.chosen.picks, self.chosen.validation, self.offer.rows
        ids = [*(row["prompt_id"] for row in picks), *validation]
        gains = [*(row["gain"] for row in picks), *(None for _ in validation)]
        why = [*map(self._why, range(len(picks)), gains), *("random, to validate" for _ in validation)]
        return pa.table(
            {
                "prompt_id": ids,
                "prompt": [rows[key]["prompt"] for key in ids],
                "task": pa.array([rows[key]["task"] for key in ids], pa.large_string()),
                "gain": pa.array(gains, pa.float64()),
                "why": why,
                "price": self.offer.prices(ids),
            }
        )

    def _why(self, rank: int, gain: float | None) -> str:
        return f"{self.strategy}, pick {rank + 1}" + ("" if gain is None else f", gain {gain:.6g}")


def freeze(store: Store, draft: Draft, manifest: Mapping[str, Any]) -> annotation.Order:
    """Place the order.

    Args:
        manifest: ``ledger`` of the cell that the picks are from, and ``behind`` it those of all that it was
            made from.
    """
    order = annotation.place_order(
        store,
        draft.table(),
        study=draft.offer.study.name,
        strategy=draft.strategy,
        budget=draft.budget,
        unit=draft.unit,
        manifest={**manifest, "cell": draft.offer.cell, "replaces": list(draft.chosen.replaces)},
        validation=draft.chosen.validation,
        request=draft.request,
    )
    record_orders(store)
    return order
