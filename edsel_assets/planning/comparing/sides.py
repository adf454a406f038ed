"""What a person names to compare, opened: a cell of a study, or an order, which keeps its own manifest."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edsel_assets.annotation import AnnotationError, list_orders, order_table, read_order
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.comparing.causes import Cause, Ledgers, causes, kept_ledgers
from edsel_assets.planning.ledger import Ledger, damage, read_ledger
from edsel_assets.planning.reasons import Reason, What
from edsel_assets.store import Store

_ORDER = re.compile(r"order-\d{4,}")


@dataclass(frozen=True)
class Side:
    """One of two things that are compared.

    Attributes:
        name: for people, such as ``order-0001 of mine``.
        ledger: of the cell, or of the cell that the order's picks were taken from.
        ledgers: those that it was made from.
        lists: by group, prompt ids by rank; None where it is no list of prompts.
        note: what else there is to say of it, in words; "" for nothing.
    """

    name: str
    ledger: Ledger
    ledgers: Ledgers
    lists: Mapping[str, list[str]] | None
    note: str = ""

    def texts(self, prompt_ids: Iterable[str]) -> dict[str, str]:
        """prompt_id to prompt, of those that the pool or an order still has."""
        return _texts(self.ledgers.store, set(prompt_ids))


def is_order(name: str) -> bool:
    return _ORDER.fullmatch(name) is not None


def open_side(store: Store, name: str) -> Side:
    """The order or the cell of that name in the store of a study.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    return _order(store, name) if is_order(name) else _cell(store, name)


def explained(a: Side, b: Side) -> list[Cause]:
    """Why they differ, as their ledgers have it; the causes nearest to them first.

    Where one is what the other was cut from, such as an order from a ranking and a selection, the same cell
    is compared.
    """
    one, other = a.ledger, b.ledger
    if _kind(one) != _kind(other):
        for letter, upper, lower, ledgers in (("A", one, other, a.ledgers), ("B", other, one, b.ledgers)):
            name = next((n for n in upper.inputs if Cell.parse(n).asset == lower.asset), None)
            if name is None:
                continue
            found = ledgers.of(name, upper.inputs[name])
            if found is None:
                return [Cause(name, Reason(What.OVERWRITTEN, after=letter))]
            one, other = (found, other) if letter == "A" else (one, found)
    return causes(one, other, a.ledgers, b.ledgers)


def _kind(ledger: Ledger) -> str:
    return Cell(ledger.asset).kind


def _cell(store: Store, name: str) -> Side:
    cell = Cell.parse(name)
    ledger = read_ledger(store, cell)
    if ledger is None:
        raise ValueError(
            f"{name} is not in {store}. Make it first by edsel run, or name a cell as edsel plan --all does, "
            "such as selections[00100|fl_rbf]."
        )
    wrong = damage(store, ledger)
    if wrong:
        raise ValueError(f"{name} in {store} is damaged: {'; '.join(wrong)}. edsel run makes it again.")
    made = f"made {ledger.made:%Y-%m-%d %H:%M}"
    return Side(f"{name} of {store.name}", ledger, _ledgers(store), _lists(store, cell), made)


def _order(store: Store, name: str) -> Side:
    order = read_order(store, name)
    kept, cell = order.manifest.get("ledger"), order.manifest.get("cell")
    if not isinstance(kept, dict):
        raise AnnotationError(
            f"{name} of {store.name} has no manifest of its selection, so nobody can say what it was made "
            "from. Compare orders that edsel order placed."
        )
    validation = set(order.validation)
    ids = [p for p in order_table(store, name)["prompt_id"].to_pylist() if p not in validation]
    note = f"placed {order.created[:16].replace('T', ' ')} from {cell}"
    if validation:
        note += f"; its {len(validation)} prompts to validate are left out"
    ledger = Ledger.model_validate(kept)
    return Side(f"{name} of {store.name}", ledger, _ledgers(store), {"": ids}, note)


def _ledgers(store: Store) -> Ledgers:
    """The store's ledgers, and those that its orders kept."""
    manifests = [order.manifest for order in list_orders(store)]
    kept = [m["ledger"] for m in manifests if isinstance(m.get("ledger"), dict)]
    kept += [value for m in manifests for value in m.get("behind", {}).values()]
    return Ledgers(store, kept_ledgers(map(Ledger.model_validate, kept)))


def _lists(store: Store, cell: Cell) -> dict[str, list[str]] | None:
    """Prompt ids by rank, a list for each budget and replicate that the table has."""
    import pyarrow.parquet as pq

    from edsel_assets.store import read_table

    path = store.table(cell)
    there = pq.read_schema(path).names if path.exists() else []
    if "prompt_id" not in there:
        return None
    kinds = [name for name in ("budget", "replicate") if name in there]
    keys = [*kinds, *(["rank"] if "rank" in there else [])]
    table: Any = read_table(path, [*keys, "prompt_id"])
    if keys:
        table = table.sort_by([(name, "ascending") for name in keys])
    found: dict[tuple[Any, ...], list[str]] = {}
    for row in table.to_pylist():
        found.setdefault(tuple(row[kind] for kind in kinds), []).append(row["prompt_id"])
    return {_group(kinds, key): ids for key, ids in found.items()}


def _group(kinds: list[str], key: tuple[Any, ...]) -> str:
    """ "" for the first replicate of all budgets, so that it can be held against an order."""
    named = [(k, v) for k, v in zip(kinds, key, strict=True) if v is not None and (k, v) != ("replicate", 0)]
    return ", ".join(f"{kind} {value}" for kind, value in named)


def _texts(store: Store, wanted: set[str]) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from edsel_assets.store import read_table

    found: dict[str, str] = {}
    pool = store.table(Cell("pool"))
    tables: list[Any] = [read_table(pool, ["prompt_id", "prompt"])] if pool.exists() else []
    tables += [order_table(store, order.name) for order in list_orders(store)]
    for table in tables:
        rows = table.filter(pc.is_in(table["prompt_id"], value_set=pa.array(sorted(wanted), pa.string())))
        found |= dict(zip(rows["prompt_id"].to_pylist(), rows["prompt"].to_pylist(), strict=True))
    return found
