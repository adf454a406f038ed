"""Orders: the prompts that somebody was asked to answer, frozen when they were placed.

``STORE/orders/order-0001.parquet`` holds the prompts, ``order-0001.json`` beside it the rest. The
JSON file is written last, and an order is placed once that file is there. A parquet file alone is
what a killed writer left; the next placing removes it. The JSON file holds a checksum of all that it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.ledger import Ledger
from edsel_assets.store import (
    Store,
    StoreError,
    checked_json,
    content_hash,
    read_checked_json,
    read_table,
    sweep_temporaries,
    write_table,
)
from edsel_assets.store.locks import locked

ORDER_SCHEMA = pa.schema(
    [
        pa.field("order", pa.string(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("task", pa.large_string()),
        pa.field("gain", pa.float64()),
        pa.field("why", pa.large_string()),
        pa.field("price", pa.float64()),
    ]
)
#: As an order is shown: with what its prompts cost up to each of them. An unknown price adds nothing.
SHOWN_SCHEMA = ORDER_SCHEMA.append(pa.field("spend", pa.float64()))
_NAME = re.compile(r"^order-(\d{4,})$")


@dataclass(frozen=True)
class Order:
    """What an order says beside its prompts.

    Attributes:
        name: ``order-0001`` and so on; a later order has a higher number.
        study, strategy: whose picks these are.
        budget: as it was asked for, in ``unit``.
        created: UTC time in ISO format. Names, not times, say which order came first.
        content: the content hash of the order's table.
        manifest: what the caller wrote down of the selection.
        validation: ids of the order's prompts that are bought to validate, never to train on.
        request: the caller's name for this request. The same request is placed once.
        unit: ``prompts``, or ``money`` of the study.
    """

    name: str
    study: str
    strategy: str
    budget: float
    created: str
    content: str
    manifest: dict[str, Any] = field(default_factory=dict)
    validation: tuple[str, ...] = ()
    request: str | None = None
    unit: str = "prompts"

    @property
    def number(self) -> int:
        return int(self.name.removeprefix("order-"))


def place_order(
    store: Store,
    picks: pa.Table,
    *,
    study: str,
    strategy: str,
    budget: float,
    manifest: Mapping[str, Any] | None = None,
    validation: Sequence[str] = (),
    request: str | None = None,
    unit: str = "prompts",
) -> Order:
    """Place an order for ``picks``: it is there whole, or not at all, even if the process is killed.

    Args:
        store: the study's.
        picks: best first. Columns ``prompt_id`` and ``prompt``, and where known ``task``, ``gain``,
            ``why`` and ``price``. Ranks are counted from 0, as in ``selections``.
        manifest: JSON values.
        validation: ids among the picks that are bought for validation only.
        request: where an order of this request was placed before, that order is returned and nothing
            is placed. A run that is started again places its order once.

    Raises:
        AnnotationError: no picks, a prompt twice, a prompt that an earlier order asked for, a
            validation id that is not among the picks, or a manifest that is not JSON.
        StoreError: the disk is full or not writable.
    """
    with locked(store.orders_lock):
        placed = list_orders(store)
        if request is not None:
            for order in placed:
                if order.request == request:
                    return order
        sweep_temporaries(store.orders)
        _remove_halves(store, placed)
        _check_picks(picks, asked_prompts(store), validation)
        name = f"order-{(placed[-1].number if placed else 0) + 1:04d}"
        table = _order_table(name, picks)
        order = Order(
            name=name,
            study=study,
            strategy=strategy,
            budget=budget,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            content=content_hash(table),
            manifest=dict(manifest or {}),
            validation=tuple(validation),
            request=request,
            unit=unit,
        )
        data = _to_json(order)
        write_table(store.order_table(name), table)
        store.write(store.order(name), data)
    return order


def list_orders(store: Store) -> list[Order]:
    """Every order that was placed, also those that were cancelled, the first placed first.

    Raises:
        AnnotationError: one is damaged, or one that the ledger of purchases knows is gone.
    """
    known = {event.order for event in Ledger(store).events()}
    names = {name for name in store.placed_orders() if _NAME.match(name)}
    if lost := sorted(known - names):
        raise _gone(store, lost[0])
    return sorted((read_order(store, name) for name in names), key=lambda order: order.number)


def standing_orders(store: Store) -> list[Order]:
    """The orders that were not cancelled, the first placed first."""
    cancelled = Ledger(store).cancelled()
    return [order for order in list_orders(store) if order.name not in cancelled]


def read_order(store: Store, name: str) -> Order:
    """The order of this name.

    Raises:
        AnnotationError: there is none, or its file is damaged.
    """
    path = store.path(store.order(name))
    if not path.exists() and any(event.order == name for event in Ledger(store).events()):
        raise _gone(store, name)
    if not _NAME.match(name) or not path.exists():
        known = ", ".join(order.name for order in list_orders(store)) if _NAME.match(name) else ""
        raise AnnotationError(
            f"There is no order {name!r}. "
            + (f"Placed so far: {known}." if known else "An order is named like order-0001.")
        )
    try:
        content = read_checked_json(store.read(store.order(name)))
        order = Order(**{**content, "validation": tuple(content["validation"])})
    except (ValueError, TypeError, KeyError) as error:
        raise AnnotationError(f"{path} is damaged ({error}). Restore it from a backup.") from error
    if order.name != name:
        raise AnnotationError(f"{path} holds the order {order.name}. Give the file its own name again.")
    return order


def _gone(store: Store, name: str) -> AnnotationError:
    return AnnotationError(
        f"{store.path(store.order(name))} is gone, though purchases.jsonl says what was asked in it. Restore "
        f"it and {name}.parquet from a backup."
    )


def order_table(store: Store, name: str) -> pa.Table:
    """The prompts of an order, by rank, in ``SHOWN_SCHEMA``.

    Raises:
        AnnotationError: there is no such order, or its table is not the one that was placed.
    """
    order = read_order(store, name)
    path = store.order_table(name)
    try:
        table = read_table(path)
    except StoreError as error:
        what = "damaged" if path.exists() else "gone"
        raise AnnotationError(
            f"{path} is {what}. Restore it from a backup; an order is never made again."
        ) from error
    if content_hash(table) != order.content:
        raise AnnotationError(
            f"{path} is not the table that was placed as {name}. Restore it from a backup; an order never "
            "changes."
        )
    spend = pc.cumulative_sum(pc.fill_null(table["price"], 0.0))
    return table.append_column(SHOWN_SCHEMA.field("spend"), spend)


def asked_prompts(store: Store) -> dict[str, str]:
    """prompt_id to the name of the order that asked for it, over all orders that stand.

    Of a cancelled one, the prompts that were answered or paid all the same.
    """
    state = Ledger(store).state().values()
    asked = {p.prompt_id: p.order for p in state if p.answered or p.paid is not None}
    for order in standing_orders(store):
        asked.update(dict.fromkeys(order_table(store, order.name)["prompt_id"].to_pylist(), order.name))
    return asked


def _remove_halves(store: Store, placed: Sequence[Order]) -> None:
    """Remove tables without an order: what a writer left that was killed before it had placed it."""
    whole = {store.order_table(order.name) for order in placed}
    for path in store.order_tables():
        if path not in whole:
            path.unlink()


def _check_picks(picks: pa.Table, asked: Mapping[str, str], validation: Sequence[str]) -> None:
    absent = [name for name in ("prompt_id", "prompt") if name not in picks.column_names]
    if absent:
        raise AnnotationError(f"An order needs the column {absent[0]}; got {', '.join(picks.column_names)}.")
    ids = picks["prompt_id"].to_pylist()
    if not ids:
        raise AnnotationError(
            "An order needs at least one prompt. Raise the budget, or add prompts to the pool: all that "
            "were selected are asked for already."
        )
    repeated = (
        next((key for i, key in enumerate(ids) if key in ids[:i]), None) if len(set(ids)) < len(ids) else None
    )
    if repeated is not None:
        raise AnnotationError(f"Prompt {repeated} is in the picks twice. Leave one of them out.")
    for key in ids:
        if key in asked:
            raise AnnotationError(
                f"Prompt {key} was asked for in {asked[key]}. Select again without the prompts of earlier "
                "orders."
            )
    lost = set(validation).difference(ids)
    if lost:
        raise AnnotationError(f"Validation prompt {min(lost)} is not among the picks. Add it to them.")


def _order_table(name: str, picks: pa.Table) -> pa.Table:
    columns = []
    for kind in ORDER_SCHEMA:
        if kind.name == "order":
            columns.append(pa.array([name] * picks.num_rows, kind.type))
        elif kind.name == "rank":
            columns.append(pa.array(range(picks.num_rows), kind.type))
        elif kind.name in picks.column_names:
            columns.append(pc.cast(picks[kind.name], kind.type))
        else:
            columns.append(pa.nulls(picks.num_rows, kind.type))
    return pa.Table.from_arrays(columns, schema=ORDER_SCHEMA)


def _to_json(order: Order) -> bytes:
    try:
        return checked_json(asdict(order))
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"The manifest of an order is made of finite JSON values; {error}.") from error
