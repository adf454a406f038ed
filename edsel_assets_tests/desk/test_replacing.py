"""What is rejected is replaced: in a round of a paid study, for money, and once for each run of the job."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.annotation import AnswerRow, Ledger, enter_answers, list_orders, order_table, read_order
from edsel_assets.defs.build import build_definitions
from edsel_assets.desk import Asking, Desk, place
from edsel_assets.planning.cells import Scope
from edsel_assets.running.instance import open_instance
from edsel_assets.running.ordering import open_desk
from edsel_assets.store import Home
from edsel_assets_tests.defs.conftest import tiny_study

ROUNDS = "iterative_kmq_perplexity"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    with open_instance(Home.at(tmp_path / "home"), "tiny") as opened:
        yield opened


def desk(tmp_path: Path, instance: dg.DagsterInstance, strategy: str, **settings: Any) -> Desk:
    """Prompts that nobody has answered; prompt i costs 1 + i % 3."""
    path = tmp_path / "pool.parquet"
    prompts = [f"Say {i} and {i * i}." for i in range(40)]
    pq.write_table(pa.table({"prompt": prompts, "cost": [1.0 + i % 3 for i in range(40)]}), path)
    study = tiny_study(
        pool={"path": str(path), "limit": None, "columns": {"prompt": "prompt", "price": "cost"}},
        selection={"strategies": [strategy], "budgets": [8, 12], **settings},
        evaluation={"tasks": [], "held_out": 0},
        annotation={"price_by": "column", "validation": 1},
    )
    home = Home.at(tmp_path / "home")
    return open_desk(study, build_definitions(study, home=home), instance, home)


def picks(mine: Desk, order: str) -> list[str]:
    validation = read_order(mine.store, order).validation
    return [p for p in order_table(mine.store, order)["prompt_id"].to_pylist() if p not in validation]


def come_back(mine: Desk, answered: list[str], rejected: list[str], paid: float | None = None) -> None:
    rows = [AnswerRow("a row", key, f"to {key}") for key in answered]
    rows += [AnswerRow("a row", key, None, rejected=True) for key in rejected]
    enter_answers(mine.store, rows, prices=None if paid is None else dict.fromkeys(rejected, paid))


def chosen(mine: Desk, asset: str) -> list[str]:
    path = mine.store.folder / asset / "00008" / f"{ROUNDS}.s0.parquet"
    return pq.read_table(path)["prompt_id"].to_pylist()


def test_a_round_goes_on_once_what_was_rejected_of_it_is_replaced(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, ROUNDS)
    for part in (4, 7, 9, 20):
        with pytest.raises(ValueError, match=rf"ordered whole: --budget is .*, of 8, 12; got {part}"):
            place(mine, Asking(ROUNDS, part))
    assert not mine.store.exists(), "it is refused before anything is made"
    first = picks(mine, place(mine, Asking(ROUNDS, 8)).name)
    assert len(first) == 4
    come_back(mine, first[1:], first[:1])
    with pytest.raises(ValueError, match=r"waits for 1 answers.*1 prompts were rejected.*--replace"):
        place(mine, Asking(ROUNDS, 8))
    spoiled = read_order(mine.store, list_orders(mine.store)[0].name).validation
    come_back(mine, [], list(spoiled))
    placed = place(mine, Asking(ROUNDS, replace=True))
    assert (placed.prompts, placed.validation) == (2, 1)
    (instead,) = picks(mine, placed.name)
    assert instead not in first
    with pytest.raises(ValueError, match="No prompt was rejected that is not replaced already"):
        place(mine, Asking(ROUNDS, replace=True))
    come_back(mine, [instead], [])
    second = picks(mine, place(mine, Asking(ROUNDS, 8)).name)
    assert chosen(mine, "round_1/selection") == [*first[1:], instead]
    assert len(second) == 4
    mine.make(Scope(frozenset({"iterative_selections"}), frozenset({8})))
    assert sorted(chosen(mine, "iterative_selections")) == sorted([*first[1:], instead, *second])


def test_a_rejection_that_was_paid_is_replaced_for_what_it_was_asked_at(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, "random", by_price=True)
    first = place(mine, Asking("random", spend=8.0))
    lost = picks(mine, first.name)[0]
    come_back(mine, [], [lost, *read_order(mine.store, first.name).validation], paid=0.0)
    asked_at = Ledger(mine.store).state()[lost].asked_price
    placed = place(mine, Asking("random", replace=True))
    prices = dict(
        zip(
            *(order_table(mine.store, placed.name)[c].to_pylist() for c in ("prompt_id", "price")),
            strict=True,
        )
    )
    spent = sum(prices[key] for key in picks(mine, placed.name))
    assert 0 < spent <= asked_at
    assert placed.validation == 1


def test_a_run_of_the_job_that_is_executed_again_places_no_second_order(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, "random")
    definitions = build_definitions(mine.study, home=mine.home)
    job = definitions.resolve_job_def("order_prompts")
    form = {"ops": {"place_order": {"config": {"strategy": "random", "budget": 3}}}}
    run_id = "8b0f0f0e-0000-4000-8000-000000000001"
    for _ in range(2):
        assert job.execute_in_process(run_config=form, instance=instance, run_id=run_id).success
        instance.delete_run(run_id)
    assert [order.request for order in list_orders(mine.store)] == [run_id]
    assert job.execute_in_process(run_config=form, instance=instance).success
    assert len(list_orders(mine.store)) == 2
