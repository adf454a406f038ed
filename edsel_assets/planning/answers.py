"""Which cells wait for answers: what was selected and nobody has answered yet cannot be trained on."""

import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.annotation import AnnotationError, rule_prices
from edsel_assets.annotation.pricing import PriceRule
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.store import Store, StoreError, read_table


class Answers:
    """The answered prompts of a store, and what each training set lacks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered: set[str] | None = None
        self._pool: Any = None
        self._waits: dict[Cell, str | None] = {}

    def lacking(self, cell: Cell, parents: tuple[Cell, ...]) -> int:
        """How many prompts of a training set have no answer; 0 for other cells, and where it cannot be told.

        A training set of what was bought waits for the first answer to its order, an experiment's for all.

        Args:
            parents: cells that it is made from; its selections are among them.
        """
        if cell.row.waits == "order":
            return self._unanswered_order(cell.partition or "")
        return len(self._unanswered(cell, parents))

    def waits(self, cell: Cell, lineage: Lineage) -> str | None:
        """In words, the answers that a cell waits for: its own, or those of a cell that it needs."""
        if cell not in self._waits:
            self._waits[cell] = self._told(cell, lineage)
        return self._waits[cell]

    def _told(self, cell: Cell, lineage: Lineage) -> str | None:
        lacking = self.lacking(cell, lineage.parents(cell))
        if lacking:
            return f"{cell} waits for {lacking} answers"
        absent = (p for p in lineage.required(cell) if not self._store.exists(self._store.ledger(p)))
        return next(filter(None, (self.waits(parent, lineage) for parent in absent)), None)

    def cost(self, cell: Cell, parents: tuple[Cell, ...], rule: PriceRule) -> float | None:
        """What those answers are expected to cost; None where nothing is lacking or a price is not known.

        Prompts that are in an order already count too, as they are not paid before they are answered.
        """
        ids = set() if cell.row.waits == "order" else self._unanswered(cell, parents)
        if not ids:
            return None
        if self._pool is None:
            self._pool = read_table(self._store.table(Cell("pool")))
        rows = self._pool.filter(pc.is_in(self._pool["prompt_id"], value_set=pa.array(sorted(ids))))
        try:
            return math.fsum(rule_prices(rule, rows.to_pylist(), self._pool))
        except AnnotationError:
            return None  # a price that the pool does not give; an order names the prompt

    def _unanswered(self, cell: Cell, parents: tuple[Cell, ...]) -> set[str]:
        """Ids that a training set of an experiment wants and nobody answered."""
        if cell.row.waits != "selected":
            return set()
        chosen = [parent for parent in parents if parent.row.selects]
        tables = [self._column(p, "prompt_id") for p in chosen]
        answered = self._known()
        if answered is None or any(ids is None for ids in tables):
            return set()
        return {p for ids in tables for p in ids or ()} - answered

    def _unanswered_order(self, order: str) -> int:
        """Prompts of an order of which none is answered; 0 once one is."""
        asked = self._column(Cell("purchases"), "order")
        answered = self._column(Cell("purchases"), "order", "response")
        return 0 if asked is None or answered is None or order in answered else asked.count(order)

    def _known(self) -> set[str] | None:
        if self._answered is None:
            pool, given = (self._column(Cell(a), "prompt_id", "response") for a in ("pool", "annotations"))
            if pool is None or given is None:
                return None
            self._answered = {*pool, *given}
        return self._answered

    def _column(self, cell: Cell, name: str, present: str | None = None) -> list[str] | None:
        """Values of a column, of rows whose column ``present`` is not null; None where nothing is stored."""
        path = self._store.table(cell)
        try:
            table: Any = read_table(path, [name, present] if present else [name])
        except StoreError:
            return None  # it is missing or damaged, and made first
        if present:
            table = table.filter(table[present].is_valid())
        return table[name].to_pylist()
