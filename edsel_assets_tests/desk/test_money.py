"""Orders for money, from the selection to the pool's own answers, on a small pool with a column of prices."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.annotation import order_table, read_order
from edsel_assets.defs.build import build_definitions
from edsel_assets.desk import Asking, Desk, answer, place
from edsel_assets.running.instance import open_instance
from edsel_assets.running.ordering import open_desk
from edsel_assets.stages.rankings import ranking_summaries
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

PRICES = [0.5 + (i * 7 % 10) / 4 for i in range(40)]


@pytest.fixture
def pool_file(tmp_path: Path) -> Path:
    path = tmp_path / "pool.parquet"
    names = {
        "prompt": [f"Say {i} and {i * i}." for i in range(40)],
        "response": [f"{i}" if i % 4 else None for i in range(40)],
        "cost": PRICES,
    }
    pq.write_table(pa.table(names), path)
    return path


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    with open_instance(Home.at(tmp_path / "home"), "tiny") as opened:
        yield opened


def study(pool_file: Path, by_price: bool, strategies: list[str]) -> Study:
    return tiny_study(
        pool={
            "path": str(pool_file),
            "limit": None,
            "columns": {"prompt": "prompt", "response": "response", "price": "cost"},
        },
        selection={
            "strategies": strategies,
            "budgets": [6, 12],
            "gammas": [1.0],
            "by_price": by_price,
        },
        clustering={"counts": [4], "count": 4},
        evaluation={"held_out": 0},
        annotation={"price_by": "column", "annotator": {"kind": "pool"}},
    )


def desk(settings: Study, instance: dg.DagsterInstance, home: Path) -> Desk:
    return open_desk(settings, build_definitions(settings, home=home), instance, Home.at(home))


def test_budgets_of_money_change_the_picks_and_are_kept_to(pool_file, instance, tmp_path) -> None:
    mine = desk(study(pool_file, True, ["fl_rbf", "random"]), instance, tmp_path / "home")
    with pytest.raises(ValueError, match=r"Order by --spend MONEY"):
        place(mine, Asking("fl_rbf", 3))
    placed = place(mine, Asking("fl_rbf", spend=6.0))
    table = order_table(mine.store, placed.name)
    assert table["spend"].to_pylist()[-1] == pytest.approx(placed.price)
    assert placed.price <= 6.0 + 1e-9
    assert read_order(mine.store, placed.name).unit == "money"
    ranking = pq.read_table(mine.store.folder / "rankings" / "fl_rbf.parquet")
    assert sorted(set(ranking["budget"].to_pylist())) == [6, 12]
    for summary in ranking_summaries(ranking):
        assert summary["details"]["spent"] <= summary["budget"] + 1e-9
        assert set(summary["details"]["curves"]) == {"gain", "gain per price"}
        assert summary["guarantee"] > 0.31
    picked = table["price"].to_numpy().mean()
    assert picked < np.mean(PRICES), "gain per price prefers what is cheap"
    with pytest.raises(ValueError, match="for 13 exceeds the largest budget, 12"):
        place(mine, Asking("fl_rbf", spend=13.0))

    found = answer(mine, placed.name)
    assert found.answered + found.open == placed.prompts
    assert found.paid == pytest.approx(placed.price - _price_of_open(mine))
    second = place(mine, Asking("random", spend=6.0))
    both = [
        set(order_table(mine.store, name)["prompt_id"].to_pylist()) for name in (placed.name, second.name)
    ]
    assert not both[0] & both[1]


def test_a_study_that_counts_prompts_can_order_for_money_too(pool_file, instance, tmp_path) -> None:
    mine = desk(study(pool_file, False, ["fl_rbf"]), instance, tmp_path / "home")
    placed = place(mine, Asking("fl_rbf", spend=4.0))
    ranked = pq.read_table(mine.store.folder / "rankings" / "fl_rbf.parquet").sort_by("rank")
    cost = dict(zip(*[_pool(mine)[name].to_pylist() for name in ("prompt_id", "price")], strict=True))
    wanted, spent = [], 0.0
    for prompt_id in ranked["prompt_id"].to_pylist():
        if spent + cost[prompt_id] <= 4.0:
            wanted.append(prompt_id)
            spent += cost[prompt_id]
    assert order_table(mine.store, placed.name)["prompt_id"].to_pylist() == wanted
    for given, reason in (({"spend": 0.0}, "more than 0 of money"), ({}, "one of them")):
        with pytest.raises(ValueError, match=reason):
            place(mine, Asking("fl_rbf", **given))


def test_a_round_for_money_keeps_to_its_share(pool_file, instance, tmp_path) -> None:
    mine = desk(study(pool_file, True, ["iterative_kmq_perplexity"]), instance, tmp_path / "home")
    placed = place(mine, Asking("iterative_kmq_perplexity", spend=12.0))
    assert 0 < placed.price <= 6.0 + 1e-9
    counted = desk(study(pool_file, False, ["iterative_kmq_perplexity"]), instance, tmp_path / "home")
    with pytest.raises(ValueError, match="is ordered whole"):
        place(counted, Asking("iterative_kmq_perplexity", spend=12.0))


def _pool(mine: Desk) -> pa.Table:
    return pq.read_table(mine.store.folder / "pool.parquet")


def _price_of_open(mine: Desk) -> float:
    from edsel_assets.annotation import Ledger

    return sum(p.price or 0.0 for p in Ledger(mine.store).state().values() if p.status == "asked")
