"""The paid loop without models: order, export, answer, import, replace, pay, order again."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest

from edsel_assets.annotation import (
    Event,
    Ledger,
    asked_prompts,
    by_day,
    check_answers,
    constant_prices,
    export_order,
    list_orders,
    order_table,
    place_order,
    read_answers,
)
from edsel_assets.pools import PoolSource, read_pool
from edsel_assets.store import Store

LAYOUTS = {
    "alpaca": lambda i: {"instruction": "Explain.", "input": f"topic {i}", "output": ""},
    "gsm8k": lambda i: {"question": f"{i} apples and {i} more?", "answer": ""},
}


def best(pool: pa.Table, count: int, asked: dict[str, str]) -> pa.Table:
    """The first prompts by id that nobody was asked for, at a price of 2 each."""
    free = pool.filter(pa.array([key not in asked for key in pool["prompt_id"].to_pylist()])).slice(0, count)
    prices = constant_prices(free["prompt"].to_pylist(), 2)
    return free.select(["prompt_id", "prompt", "task"]).append_column("price", pa.array(prices))


def order(store: Store, pool: pa.Table, count: int) -> str:
    picks = best(pool, count, asked_prompts(store))
    placed = place_order(store, picks, study="s", strategy="first", budget=count)
    Ledger(store).ask(order_table(store, placed.name))
    return placed.name


def fill(path: Path, answered: range, rejected: range) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for i in answered:
        rows[i].update(response=f"answer to {rows[i]['prompt_id']}", status="")
    for i in rejected:
        rows[i]["status"] = "rejected"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def take_back(store: Store, path: Path) -> dict[str, int]:
    ledger = Ledger(store)
    checked = check_answers(read_answers(path), ledger.state())
    ledger.append(checked.events(ledger.state()))
    return checked.counts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_asked_or_paid_twice(tmp_path, layout):
    source = tmp_path / "pool.jsonl"
    source.write_text("".join(json.dumps(LAYOUTS[layout](i)) + "\n" for i in range(100)))
    pool = read_pool(PoolSource(source)).table
    store = Store(tmp_path / "store")
    ledger = Ledger(store)

    first = order(store, pool, 40)
    path = tmp_path / "first.csv"
    export_order(order_table(store, first), "csv", path)
    fill(path, range(30), range(30, 40))
    assert take_back(store, path)["answered"] == 30
    assert take_back(store, path) == {
        "answered": 0,
        "rejected": 0,
        "late": 0,
        "open": 0,
        "recorded already": 40,
        "repeated rows": 0,
        "unknown rows": 0,
    }

    unwilling = [key for key, bought in ledger.state().items() if bought.rejected]
    second = order(store, pool, len(unwilling))
    ledger.append(Event("replaced", first, key, status=second) for key in unwilling)
    due = [key for key, bought in ledger.state().items() if bought.answered and bought.paid is None]
    for _ in range(2):
        ledger.append(Event("paid", first, key, price=2.0) for key in due)
    assert sum(day["spent"] for day in by_day(ledger.events())) == 60.0

    fill(path, range(32), range(0))  # two of those replaced are answered after all
    fresh = tmp_path / "second.csv"
    export_order(order_table(store, second), "csv", fresh)
    fill(fresh, range(10), range(0))
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(fresh.read_text(encoding="utf-8").splitlines(keepends=True)[1:]))
    counts = take_back(store, path)
    assert (counts["answered"], counts["late"], counts["open"]) == (10, 2, 0)

    third = order(store, pool, 40)
    assert [each.name for each in list_orders(store)] == [first, second, third]
    tables = [order_table(store, each.name)["prompt_id"].to_pylist() for each in list_orders(store)]
    everything = [key for table in tables for key in table]
    assert len(everything) == len(set(everything)) == len(ledger.state()) == 90
    answered = {key: bought.response for key, bought in ledger.state().items() if bought.answered}
    assert answered == {key: f"answer to {key}" for key in tables[0][:32] + tables[1]}
    events = ledger.table()["event"].to_pylist()
    assert {kind: events.count(kind) for kind in set(events)} == {
        "asked": 90,
        "answered": 40,
        "rejected": 10,
        "replaced": 10,
        "paid": 30,
        "late": 2,
    }
