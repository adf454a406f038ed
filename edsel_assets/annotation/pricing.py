"""What each prompt of a pool costs, by one of three rules: one price, by length, or a column of the pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.annotation.prices import column_prices, constant_prices, expected_lengths, length_prices

#: Columns of the pool that a rule reads.
_COLUMNS = {
    "prompt": ["prompt_id"],
    "column": ["prompt_id", "price"],
    "length": ["prompt_id", "prompt", "task", "response"],
}


class PriceRule(Protocol):
    """The settings that a rule has; a study's section ``annotation`` has them."""

    @property
    def price_by(self) -> str: ...
    @property
    def price(self) -> float: ...
    @property
    def per_thousand_prompt(self) -> float: ...
    @property
    def per_thousand_response(self) -> float: ...
    @property
    def expected_response(self) -> float: ...


def rule_prices(rule: PriceRule, rows: Sequence[Mapping[str, Any]], pool: pa.Table) -> list[float]:
    """The expected price of each of ``rows``, prompts of the pool.

    Raises:
        AnnotationError: a price that is missing or below 0.
    """
    ids = [row["prompt_id"] for row in rows]
    if rule.price_by == "prompt":
        return constant_prices(ids, rule.price)
    if rule.price_by == "column":
        return column_prices(ids, {row["prompt_id"]: row.get("price") for row in rows})
    known = pool.filter(pool["response"].is_valid())
    lengths = pc.utf8_length(known["response"]).to_pylist()
    expected = expected_lengths(
        [row["task"] for row in rows],
        list(zip(known["task"].to_pylist(), lengths, strict=True)),
        prior=rule.expected_response,
    )
    return length_prices(
        [row["prompt"] for row in rows],
        expected,
        per_thousand_prompt=rule.per_thousand_prompt,
        per_thousand_response=rule.per_thousand_response,
    )


def pool_prices(rule: PriceRule, read: Callable[[list[str]], pa.Table]) -> np.ndarray:
    """(N,) float64 prices of the pool's prompts, in its order.

    Args:
        read: columns -> the pool's table; those that the rule needs are read.
    """
    table = read(_COLUMNS[rule.price_by])
    return np.asarray(rule_prices(rule, table.to_pylist(), table), dtype=np.float64)


def with_prices(rule: PriceRule, selection: pa.Table, pool: pa.Table) -> pa.Table:
    """A selection with ``price`` of each pick, and ``spend``, that of all picks so far of its replicate.

    A price that the pool's column does not give is null, and counts nothing.
    """
    names = [name for name in _COLUMNS[rule.price_by] if name in pool.column_names]
    found = pc.index_in(selection["prompt_id"].cast(pool["prompt_id"].type), value_set=pool["prompt_id"])
    rows = pool.select(names).take(found).to_pylist()
    by_column = rule.price_by == "column"
    price = [row.get("price") for row in rows] if by_column else rule_prices(rule, rows, pool)
    spend: list[float] = []
    so_far: dict[int, float] = {}
    for replicate, each in zip(selection["replicate"].to_pylist(), price, strict=True):
        so_far[replicate] = so_far.get(replicate, 0.0) + (each or 0.0)
        spend.append(so_far[replicate])
    priced = selection.append_column("price", pa.array(price, pa.float64()))
    return priced.append_column("spend", pa.array(spend, pa.float64()))
