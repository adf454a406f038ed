"""What the money brought: spend by order, the scores after each order, and what the next one is to bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.desk.tables import number_of, validation_ids

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
    validation = validation_ids(orders)
    trained = [row["order"] for row in answered.to_pylist() if row["prompt_id"] not in validation]
    bought = [row for row in purchases.to_pylist() if row["response"] is not None]
    refused = [row for row in purchases.to_pylist() if row["response"] is None]
    for order in sorted(scores, key=number_of):
        until = [row for row in bought if number_of(row["order"]) <= number_of(order)]
        spent = sum(row["paid"] if row["paid"] is not None else row["price"] or 0.0 for row in until)
        spent += sum(row["paid"] or 0.0 for row in refused if number_of(row["order"]) <= number_of(order))
        used = sum(each is None or number_of(each) <= number_of(order) for each in trained)
        rows += [
            {"order": order, "answered": len(until), "trained": used, "spent": spent, **row}
            for row in scores[order].to_pylist()
        ]
    return pa.Table.from_pylist(rows, schema=SPEND)


def last_batch(orders: pa.Table) -> int:
    """How many prompts the last order asked for, those to validate left out; 0 before the first order."""
    picks = orders.filter(pc.invert(orders["validation"]))["order"].to_pylist()
    return picks.count(max(picks, key=number_of)) if picks else 0


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
    parts = frame.groupby(["task", "metric"], sort=True)
    return "; ".join(f"{' '.join(name)}: {_expected(part, batch)}" for name, part in parts) + "."


def _expected(scores: Any, batch: int) -> str:
    """What ``advice`` says of one task and metric; ``scores`` is its rows as a DataFrame."""
    scores = scores.dropna(subset=["value"])
    if scores["trained"].nunique() < 3:
        return "two orders with answers are needed to say what the next one brings"
    x = np.log1p(scores["trained"].to_numpy(dtype=float))
    y, error = scores["value"].to_numpy(dtype=float), scores["stderr"].to_numpy(dtype=float)
    unknown = np.nanmax(error) if np.isfinite(error).any() else 1.0
    weights = 1 / np.maximum(np.nan_to_num(error, nan=unknown), 1e-9)
    design = np.stack([np.ones_like(x), x], axis=1) * weights[:, None]
    solution, *_ = np.linalg.lstsq(design, y * weights, rcond=None)
    covariance = np.linalg.pinv(design.T @ design)
    most = scores["trained"].max()
    step = np.log1p(most + batch) - np.log1p(most)
    gain, half = solution[1] * step, 1.96 * float(np.sqrt(covariance[1, 1])) * step
    word = "flattened, or too noisy to tell: " if gain - half <= 0 else ""
    return (
        f"{word}the next {batch} answers are expected to bring {gain:+.4f} "
        f"({gain - half:+.4f} to {gain + half:+.4f}){_stop(solution[1], most, batch, error[-1])}"
    )


def _stop(slope: float, trained: int, batch: int, error: float) -> str:
    """Up to how many answers batches bring what can be seen, or that this one does not; "" if not known."""
    least = 1.96 * 2**0.5 * error
    if not (batch > 0 and least > 0 and slope > 0):
        return ""
    last = batch / np.expm1(least / slope) - 1  # where slope * log((1 + last + batch) / (1 + last)) is least
    if last < trained:
        return f"; that is less than these items can show ({least:.4f}): stop here, or score on more of them"
    return f"; worth it up to about {last:,.0f} answers, where it brings {least:.4f}, the least that shows"
