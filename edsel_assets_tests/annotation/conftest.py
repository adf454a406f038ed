"""Picks to order, small enough to read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from edsel_assets.annotation import Ledger, order_table, place_order
from edsel_assets.pools import prompt_id
from edsel_assets.store import Home, Store


def picks(count: int, start: int = 0) -> pa.Table:
    """``count`` prompts from number ``start``, best first."""
    prompts = [f'Prompt {i}:\nwhat, say "you"? é' for i in range(start, start + count)]
    return pa.table(
        {
            "prompt_id": [prompt_id(prompt) for prompt in prompts],
            "prompt": prompts,
            "task": pa.array(["qa" if i % 2 else None for i in range(count)], pa.string()),
            "gain": [1.0 / (i + 1) for i in range(count)],
            "why": ["covers the most"] * count,
            "price": [0.5] * count,
        }
    )


def placed(store: Store, count: int = 10, start: int = 0, **settings) -> tuple[str, list[str]]:
    """Place an order of that many picks and record it; return its name and ids by rank."""
    order = place_order(store, picks(count, start), study="s", strategy="k_center", budget=count, **settings)
    table = order_table(store, order.name)
    Ledger(store).ask(table)
    return order.name, table["prompt_id"].to_pylist()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Home.at(tmp_path).store("s")
