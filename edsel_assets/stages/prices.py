"""What prompts cost by the study's rule, for orders and for selections whose budget is money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets import annotation
from edsel_assets.study import Study

#: Columns of the pool that a rule reads.
_COLUMNS = {
    "prompt": ["prompt_id"],
    "column": ["prompt_id", "price"],
    "length": ["prompt_id", "prompt", "task", "response"],
}


def prices_of(study: Study, rows: Sequence[Mapping[str, Any]], pool: pa.Table) -> list[float]:
    """The expected price of each of ``rows``, prompts of the pool.

    Raises:
        AnnotationError: a price that is missing or below 0.
    """
    rule = study.annotation
    if rule.price_by == "prompt":
        return annotation.constant_prices([row["prompt_id"] for row in rows], rule.price)
    if rule.price_by == "column":
        return annotation.column_prices(
            [row["prompt_id"] for row in rows], {row["prompt_id"]: row.get("price") for row in rows}
        )
    known = pool.filter(pool["response"].is_valid())
    lengths = pc.utf8_length(known["response"]).to_pylist()
    expected = annotation.expected_lengths(
        [row["task"] for row in rows],
        list(zip(known["task"].to_pylist(), lengths, strict=True)),
        prior=rule.expected_response,
    )
    return annotation.length_prices(
        [row["prompt"] for row in rows],
        expected,
        per_thousand_prompt=rule.per_thousand_prompt,
        per_thousand_response=rule.per_thousand_response,
    )


def pool_prices(study: Study, read: Callable[[list[str]], pa.Table]) -> np.ndarray:
    """(N,) float64 prices of the pool's prompts, in its order.

    Args:
        read: columns -> the pool's table; those that the study's rule needs are read.
    """
    if study.annotation.price_by == "column" and "price" not in study.pool.columns:
        raise annotation.AnnotationError(
            "annotation.price_by is column, and no column of the pool is its price. Name it in "
            "pool.columns: {price: ...}, or price by another rule."
        )
    table = read(_rule_columns(study))
    return np.asarray(prices_of(study, table.to_pylist(), table), dtype=np.float64)


def money_prices(study: Study, read: Callable[[list[str]], pa.Table]) -> np.ndarray | None:
    """Prices where the study's budgets are money, else None."""
    return pool_prices(study, read) if study.selection.by_price else None


def with_prices(study: Study, selection: pa.Table, read: Callable[[list[str]], pa.Table]) -> pa.Table:
    """A selection with ``price`` of each pick, and ``spend``, that of all picks so far of its replicate.

    A price that the pool's column does not give is null, and counts nothing.

    Args:
        read: columns -> the pool's table.
    """
    by_column = study.annotation.price_by == "column"
    names = ["prompt_id"] if by_column and "price" not in study.pool.columns else _rule_columns(study)
    pool = read(names)
    found = pc.index_in(selection["prompt_id"].cast(pool["prompt_id"].type), value_set=pool["prompt_id"])
    rows = pool.take(found).to_pylist()
    price = [row.get("price") for row in rows] if by_column else prices_of(study, rows, pool)
    spend: list[float] = []
    so_far: dict[int, float] = {}
    for replicate, each in zip(selection["replicate"].to_pylist(), price, strict=True):
        so_far[replicate] = so_far.get(replicate, 0.0) + (each or 0.0)
        spend.append(so_far[replicate])
    columns = (("price", price), ("spend", spend))
    for name, values in columns:
        selection = selection.append_column(name, pa.array(values, pa.float64()))
    return selection


def _rule_columns(study: Study) -> list[str]:
    return _COLUMNS[study.annotation.price_by]
