"""What was asked, answered and bought, as tables: every re-selection excludes and conditions on them.

Training uses what was answered.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets import annotation
from edsel_assets.stages.training_sets import TRAINING_SET
from edsel_assets.store import Store

ORDERS = pa.schema(
    [
        *annotation.SHOWN_SCHEMA,
        ("validation", pa.bool_()),
        ("cell", pa.string()),
        ("counts_for", pa.string()),
        ("replaced", pa.bool_()),
    ]
)
PURCHASES = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("order", pa.string()),
        ("status", pa.string()),
        ("response", pa.large_string()),
        ("price", pa.float64()),
        ("paid", pa.float64()),
        ("who", pa.large_string()),
        ("asked", pa.string()),
        ("answered", pa.string()),
    ]
)
ANSWERED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("response", pa.large_string()),
        ("source", pa.large_string()),
        ("cost", pa.float64()),
        ("order", pa.string()),
    ]
)


def orders_table(store: Store) -> pa.Table:
    """Every prompt of every order that was not cancelled, oldest order first.

    ``cell`` is what its picks were taken from; ``counts_for`` the same, but for a pick in the place of a
    rejected one what that one counted for; ``replaced`` says that a later order has another in its place.
    """
    placed = annotation.standing_orders(store)
    replaced = pa.array([p for order in placed for p in order.manifest.get("replaces", ())], pa.string())
    counts_for: dict[str, str | None] = {}
    validating: set[str] = set()
    tables = []
    for order in placed:
        table = annotation.order_table(store, order.name)
        ids, own = table["prompt_id"].to_pylist(), order.manifest.get("cell")
        gone = [p for p in order.manifest.get("replaces", ()) if p in counts_for and p not in validating]
        validating |= set(order.validation)
        picks = [p for p in ids if p not in validating]
        counts_for |= dict.fromkeys(ids, own)
        if gone:  # the first pick for the first rejected one, and so on; those beyond for the last
            counts_for |= {p: counts_for[gone[min(i, len(gone) - 1)]] for i, p in enumerate(picks)}
        columns = {
            "validation": pc.is_in(table["prompt_id"], value_set=pa.array(order.validation, pa.string())),
            "cell": pa.array([own] * table.num_rows, pa.string()),
            "counts_for": pa.array([counts_for[p] for p in ids], pa.string()),
            "replaced": pc.is_in(table["prompt_id"], value_set=replaced),
        }
        for name, column in columns.items():
            table = table.append_column(name, column)
        tables.append(table.cast(ORDERS))
    return pa.concat_tables(tables) if tables else ORDERS.empty_table()


def purchases_table(store: Store) -> pa.Table:
    """What became of each prompt that was asked for, in the order of asking."""
    rows = [
        {
            "prompt_id": p.prompt_id,
            "order": p.order,
            "status": p.status,
            "response": p.response,
            "price": p.price,
            "paid": p.paid,
            "who": p.who,
            "asked": p.asked_when,
            "answered": p.answered_when,
        }
        for p in annotation.Ledger(store).state().values()
    ]
    return pa.Table.from_pylist(rows, schema=PURCHASES)


def answered_table(file: pa.Table, purchases: pa.Table) -> pa.Table:
    """Answers from a file and from orders, ascending by prompt_id; a bought answer counts before the file's.

    Args:
        file: as ``pools.read_annotations`` gives it.
    """
    bought = purchases.filter(purchases["response"].is_valid())
    mine = pa.table(
        [
            bought["prompt_id"],
            bought["response"],
            bought["who"],
            bought["price"],
            bought["order"],
        ],
        schema=ANSWERED,
    )
    left = file.filter(pc.invert(pc.is_in(file["prompt_id"], value_set=mine["prompt_id"].combine_chunks())))
    given = left.append_column("order", pa.nulls(left.num_rows, pa.string())).select(ANSWERED.names)
    return pa.concat_tables([mine, given.cast(ANSWERED)]).sort_by("prompt_id")


def bought_training_set(
    order: str, pool: pa.Table, answered: pa.Table, orders: pa.Table, held_out: pa.Table
) -> pa.Table:
    """All answers up to ``order`` but those that trials are scored on, in the format of ``training_sets``.

    Answers that a file gave count from the first order on. Text comes from the order, else from the pool.

    Args:
        held_out: with the ids that were held out, perhaps after they were bought.
    """
    prompts = dict(zip(pool["prompt_id"].to_pylist(), pool["prompt"].to_pylist(), strict=True))
    prompts |= dict(zip(orders["prompt_id"].to_pylist(), orders["prompt"].to_pylist(), strict=True))
    scored_on = validation_ids(orders) | set(held_out["prompt_id"].to_pylist())
    last = number_of(order)
    rows = [
        row
        for row in answered.to_pylist()
        if row["prompt_id"] in prompts
        and row["prompt_id"] not in scored_on
        and (row["order"] is None or number_of(row["order"]) <= last)
    ]
    return pa.table(
        {
            "replicate": pa.array(np.zeros(len(rows), dtype=np.int32)),
            "rank": pa.array(np.arange(len(rows))),
            "prompt_id": [row["prompt_id"] for row in rows],
            "prompt": pa.array([prompts[row["prompt_id"]] for row in rows], pa.large_string()),
            "response": pa.array([row["response"] for row in rows], pa.large_string()),
        },
        schema=TRAINING_SET,
    )


def validation_ids(orders: pa.Table) -> set[str]:
    """Prompts that were bought to validate."""
    return set(orders.filter(orders["validation"])["prompt_id"].to_pylist())


def validation_answers(orders: pa.Table, purchases: pa.Table) -> pa.Table:
    """``prompt_id, task, prompt, response`` of answered prompts that were bought to validate."""
    asked = {row["prompt_id"]: row for row in orders.filter(orders["validation"]).to_pylist()}
    rows = [
        {
            **{k: asked[row["prompt_id"]][k] for k in ("prompt_id", "task", "prompt")},
            "response": row["response"],
        }
        for row in purchases.to_pylist()
        if row["prompt_id"] in asked and row["response"] is not None
    ]
    names = ("prompt_id", "task", "prompt", "response")
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.large_string()) for name in names]))


def number_of(order: str) -> int:
    """Orders in the order of placing."""
    return int(order.rpartition("-")[2])
