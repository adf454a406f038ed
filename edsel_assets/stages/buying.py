"""The paid loop: the next picks as an order, answers as training data, and what the money brought.

Joins ``annotation`` with the study: every re-selection excludes and conditions on what was asked;
training uses what was answered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets import annotation
from edsel_assets.selection.core.draws import keyed_uniforms
from edsel_assets.selection.money.spending import fitting
from edsel_assets.stages.training_sets import TRAINING_SET
from edsel_assets.store import Store
from edsel_assets.study import Study

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


SPEND = pa.schema(
    [
        ("order", pa.string()),
        ("answered", pa.int64()),
        ("trained", pa.int64()),
        ("spent", pa.float64()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("stderr", pa.float64()),
        ("n", pa.int64()),
    ]
)


class NothingToOrder(ValueError):
    """An order that would hold no prompt."""


# -- tables of what was bought


def orders_table(store: Store) -> pa.Table:
    """Every prompt of every order, oldest order first.

    ``cell`` is what its picks were taken from; ``counts_for`` the same, but for a pick in the place of a
    rejected one what that one counted for; ``replaced`` says that a later order has another in its place.
    """
    placed = annotation.list_orders(store)
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


def spend_by_order(orders: pa.Table, purchases: pa.Table) -> list[dict[str, Any]]:
    """One row per order, oldest first: the cell it was taken from, prompts by state, and money.

    ``expected`` is the price of all that was asked, as it is known now; ``paid`` what was paid by now.
    """
    cells = dict(zip(orders["order"].to_pylist(), orders["cell"].to_pylist(), strict=True))
    rows = purchases.to_pylist()
    found = []
    for order, cell in cells.items():
        mine = [row for row in rows if row["order"] == order]
        states = [row["status"] for row in mine]
        found.append(
            {
                "order": order,
                "taken from": cell,
                "asked": len(mine),
                "answered": sum(row["response"] is not None for row in mine),
                "rejected": states.count("rejected") + states.count("replaced"),
                "open": states.count("asked"),
                "expected": float(sum(row["price"] or 0.0 for row in mine)),
                "paid": float(sum(row["paid"] or 0.0 for row in mine)),
            }
        )
    return found


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
    scored_on = _validation_ids(orders) | set(held_out["prompt_id"].to_pylist())
    last = _number(order)
    rows = [
        row
        for row in answered.to_pylist()
        if row["prompt_id"] in prompts
        and row["prompt_id"] not in scored_on
        and (row["order"] is None or _number(row["order"]) <= last)
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


def _validation_ids(orders: pa.Table) -> set[str]:
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


def _number(order: str) -> int:
    return int(order.rpartition("-")[2])


# -- the next order


def next_order(
    study: Study,
    store: Store,
    selection: pa.Table,
    pool: pa.Table,
    *,
    strategy: str,
    budget: float,
    cell: str,
    manifest: Mapping[str, Any],
    replaces: Sequence[str] = (),
    unit: str = "prompts",
    whole: bool = False,
    answered: Collection[str] = (),
    request: str | None = None,
) -> annotation.Order:
    """Place an order for the first ``budget`` prompts of ``selection`` that nobody asked for yet.

    Where ``budget`` is money, for each of them in their order that can still be paid from it; the prompts
    bought to validate are paid from it first.

    Args:
        budget: prompts, or money, as ``unit`` says.
        selection: ``rank, prompt_id, gain`` of one replicate.
        cell: what the picks are taken from.
        manifest: ``ledger`` of that cell, and ``behind`` it those of all that it was made from.
        replaces: rejected prompts that these take the place of: picks of picks, and prompts to validate of
            those, one for one. Nothing else is bought to validate then. Money is for the picks: what the
            rejected prompts were asked at, less those that were to validate. Where the picks are too few,
            the last of ``replaces`` stay rejected.
        whole: order all of ``selection``, a round; ``budget`` is noted alone, and what validates is bought
            beside it.
        answered: prompts with an answer from elsewhere; none of them is drawn to validate.
        request: as ``annotation.place_order`` has it.

    Raises:
        NothingToOrder, annotation.AnnotationError: nothing is left, or an earlier order has a pick.
    """
    asked = annotation.asked_prompts(store)
    rows = {row["prompt_id"]: row for row in pool.to_pylist()}
    to_validate = {p for order in annotation.list_orders(store) for p in order.validation}
    spoiled = [p for p in replaces if p in to_validate]
    gone = [p for p in replaces if p not in to_validate]
    wants_picks = bool(gone) or not replaces
    left = [row for row in selection.sort_by("rank").to_pylist() if row["prompt_id"] not in asked]
    money = budget - _asked_at(store, spoiled) if unit == "money" else 0.0
    if not wants_picks:
        chosen = []
    elif whole:
        chosen = left
    elif unit == "prompts":
        chosen = left[: int(budget) - len(spoiled)]
    else:
        chosen = _affordable(study, left, rows, pool, money)
    if not left and wants_picks:
        raise NothingToOrder(
            f"All {selection.num_rows} picks of {cell} are asked for already. Add prompts to the pool, or "
            "raise selection.budgets."
        )
    taken = {row["prompt_id"] for row in chosen} | set(asked) | set(answered)
    size = len(spoiled) if replaces else study.annotation.validation
    validation = _validation_sample(study, [p for p in rows if p not in taken], size)
    if unit == "money" and validation and not replaces and not whole:
        money -= sum(prices_of(study, [rows[p] for p in validation], pool))
        others = [row for row in left if row["prompt_id"] not in validation]
        chosen = _affordable(study, others, rows, pool, money) if money > 0 else []
    if not chosen and not validation:
        what = f"can be paid from {budget:g}. Order for more" if wants_picks else "is left to validate with"
        raise NothingToOrder(f"No pick of {cell} that nobody asked for {what}.")
    if not chosen and unit == "money" and wants_picks:
        first = f", of which {len(validation)} prompts to validate come first" if not replaces else ""
        raise NothingToOrder(f"No pick of {cell} can be paid from {budget:g}{first}. Order for more.")
    replaces = [*(gone[: len(chosen)] if unit == "prompts" else gone), *spoiled[: len(validation)]]
    every = [*chosen, *({"prompt_id": p, "gain": None} for p in validation)]
    prices = prices_of(study, [rows[row["prompt_id"]] for row in every], pool)
    picks = pa.table(
        {
            "prompt_id": [row["prompt_id"] for row in every],
            "prompt": [rows[row["prompt_id"]]["prompt"] for row in every],
            "task": pa.array([rows[row["prompt_id"]]["task"] for row in every], pa.large_string()),
            "gain": pa.array([row["gain"] for row in every], pa.float64()),
            "why": [
                _why(strategy, rank, row, row["prompt_id"] in validation) for rank, row in enumerate(every)
            ],
            "price": prices,
        }
    )
    order = annotation.place_order(
        store,
        picks,
        study=study.name,
        strategy=strategy,
        budget=budget,
        unit=unit,
        manifest={**manifest, "cell": cell, "replaces": replaces},
        validation=validation,
        request=request,
    )
    record_orders(store)
    return order


def record_orders(store: Store) -> None:
    """Enter every order into the ledger, with what it replaces; again is nothing.

    It also completes what a process that was killed between an order and the ledger left undone.
    """
    ledger = annotation.Ledger(store)
    for order in annotation.list_orders(store):
        ledger.ask(annotation.order_table(store, order.name))
        state = ledger.state()
        ledger.append(
            annotation.Event("replaced", state[key].order, key, status=order.name)
            for key in order.manifest.get("replaces", ())
            if state[key].rejected
        )


def prices_of(study: Study, rows: Sequence[Mapping[str, Any]], pool: pa.Table) -> list[float]:
    """The expected price of each prompt, by the study's rule."""
    return annotation.rule_prices(study.annotation, rows, pool)


def _asked_at(store: Store, prompts: Sequence[str]) -> float:
    """What these prompts were expected to cost when they were asked for."""
    state = annotation.Ledger(store).state()
    return sum(state[p].asked_price or 0.0 for p in prompts)


def _affordable(
    study: Study,
    picks: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    pool: pa.Table,
    money: float,
) -> list[Mapping[str, Any]]:
    """Each of ``picks``, in their order, that can be paid from what those before it left."""
    prices = np.asarray(prices_of(study, [rows[row["prompt_id"]] for row in picks], pool), dtype=np.float64)
    return [row for row, taken in zip(picks, fitting(prices, money), strict=True) if taken]


def _validation_sample(study: Study, free: Sequence[str], size: int) -> list[str]:
    """The ``size`` prompts with the lowest hash among those that nobody asked for."""
    draws = keyed_uniforms(study.evaluation.held_out_seed, free, "validation")
    return [free[i] for i in np.argsort(draws, kind="stable")[:size]]


def _why(strategy: str, rank: int, row: Mapping[str, Any], validates: bool) -> str:
    if validates:
        return "random, to validate"
    gain = "" if row["gain"] is None else f", gain {row['gain']:.6g}"
    return f"{strategy}, pick {rank + 1}{gain}"


# -- what the money brought


def spend_table(
    answered: pa.Table,
    orders: pa.Table,
    purchases: pa.Table,
    base: pa.Table,
    scores: Mapping[str, pa.Table],
) -> pa.Table:
    """``order, answered, trained, spent, task, metric, value, stderr`` after each order.

    Order "" is the base model. Answered counts what was bought; trained, what could be trained on: without
    what was bought to validate, and with the answers of a file. Spent is the price of what was answered by
    then, paid or due, and what was paid for rejections.
    """
    rows: list[dict[str, Any]] = [
        {"order": "", "answered": 0, "trained": 0, "spent": 0.0, **row} for row in base.to_pylist()
    ]
    validation = _validation_ids(orders)
    trained = [row["order"] for row in answered.to_pylist() if row["prompt_id"] not in validation]
    bought = [row for row in purchases.to_pylist() if row["response"] is not None]
    refused = [row for row in purchases.to_pylist() if row["response"] is None]
    for order in sorted(scores, key=_number):
        until = [row for row in bought if _number(row["order"]) <= _number(order)]
        spent = sum(row["paid"] if row["paid"] is not None else row["price"] or 0.0 for row in until)
        spent += sum(row["paid"] or 0.0 for row in refused if _number(row["order"]) <= _number(order))
        used = sum(each is None or _number(each) <= _number(order) for each in trained)
        rows += [
            {"order": order, "answered": len(until), "trained": used, "spent": spent, **row}
            for row in scores[order].to_pylist()
        ]
    return pa.Table.from_pylist(rows, schema=SPEND)


def last_batch(orders: pa.Table) -> int:
    """How many prompts the last order asked for, those to validate left out; 0 before the first order."""
    picks = orders.filter(pc.invert(orders["validation"]))["order"].to_pylist()
    return picks.count(max(picks, key=_number)) if picks else 0


def advice(table: pa.Table, batch: int) -> str:
    """What the next ``batch`` answers are expected to bring, in one sentence.

    A straight line of the score against log(1 + answers trained on) by weighted least squares, over the base
    model and all orders; it needs three points. The interval is that of the slope. It also says when to stop:
    where a batch of this size is expected to bring less than the benchmark's items can show, 1.96 standard
    errors of the difference of two scores.
    """
    if not table.num_rows:
        return "Nothing is scored: name evaluation.tasks, or set evaluation.held_out, annotation.validation."
    frame = table.to_pandas()
    sentences = []
    for (task, metric), part in frame.groupby(["task", "metric"], sort=True):
        part = part.dropna(subset=["value"])
        if part["trained"].nunique() < 3:
            sentences.append(
                f"{task} {metric}: two orders with answers are needed to say what the next one brings"
            )
            continue
        x = np.log1p(part["trained"].to_numpy(dtype=float))
        y, error = part["value"].to_numpy(dtype=float), part["stderr"].to_numpy(dtype=float)
        weights = 1 / np.maximum(
            np.nan_to_num(error, nan=np.nanmax(error) if np.isfinite(error).any() else 1.0), 1e-9
        )
        design = np.stack([np.ones_like(x), x], axis=1) * weights[:, None]
        solution, *_ = np.linalg.lstsq(design, y * weights, rcond=None)
        covariance = np.linalg.pinv(design.T @ design)
        most = part["trained"].max()
        step = np.log1p(most + batch) - np.log1p(most)
        gain, half = solution[1] * step, 1.96 * float(np.sqrt(covariance[1, 1])) * step
        word = "flattened, or too noisy to tell: " if gain - half <= 0 else ""
        sentences.append(
            f"{task} {metric}: {word}the next {batch} answers are expected to bring {gain:+.4f} "
            f"({gain - half:+.4f} to {gain + half:+.4f}){_stop(solution[1], most, batch, error[-1])}"
        )
    return "; ".join(sentences) + "."


def _stop(slope: float, trained: int, batch: int, error: float) -> str:
    """Up to how many answers batches bring what can be seen, or that this one does not; "" if not known."""
    least = 1.96 * 2**0.5 * error
    if not (batch > 0 and least > 0 and slope > 0):
        return ""
    last = batch / np.expm1(least / slope) - 1  # where slope * log((1 + last + batch) / (1 + last)) is least
    if last < trained:
        return f"; that is less than these items can show ({least:.4f}): stop here, or score on more of them"
    return f"; worth it up to about {last:,.0f} answers, where it brings {least:.4f}, the least that shows"
