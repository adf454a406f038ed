"""An order looked at before it is placed, and one that is cancelled: recorded, its prompts free again."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from edsel_assets.annotation import (
    AnnotationError,
    AnswerRow,
    Event,
    Ledger,
    asked_prompts,
    enter_answers,
    list_orders,
    order_table,
)
from edsel_assets.desk import Asking, Desk, cancel, curve_needs, export, place, preview, record_orders
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.verifying import look
from edsel_assets_tests.desk.test_replacing import ROUNDS, come_back, desk, instance, picks

__all__ = ["instance"]


def ids(mine: Desk, order: str) -> list[str]:
    return order_table(mine.store, order)["prompt_id"].to_pylist()


def cells(mine: Desk) -> set[str]:
    return {str(cell) for cell in lineage_of(mine.study, mine.home).nodes["purchased_adapter"].cells()}


def test_a_preview_is_the_order_that_is_placed_next_and_asks_for_nothing(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, "random")
    draft = preview(mine, Asking("random", 5, validate=2))
    assert not list_orders(mine.store)
    assert not Ledger(mine.store).events()
    assert (draft.table().num_rows, len(draft.chosen.validation)) == (5, 2)
    placed = place(mine, Asking("random", 5, validate=2))
    assert ids(mine, placed.name) == draft.table()["prompt_id"].to_pylist()
    assert placed.words == draft.words


def test_a_cancelled_order_stays_on_record_and_its_prompts_are_ordered_again(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, "random")
    first = place(mine, Asking("random", 5)).name
    asked = ids(mine, first)
    assert cells(mine) == {f"purchased_adapter[{first}]"}
    assert cancel(mine, first) == 5
    assert not cells(mine), "the planner knows no cell of it"
    assert asked_prompts(mine.store) == {}
    assert {p.status for p in Ledger(mine.store).state().values()} == {"cancelled"}
    with pytest.raises(AnnotationError, match=f"{first} is cancelled already"):
        cancel(mine, first)
    with pytest.raises(ValueError, match="nobody waits for its answers"):
        export(mine, first, "csv", tmp_path / "out.csv")
    second = place(mine, Asking("random", 5)).name
    assert second == "order-0002"
    assert ids(mine, second) == asked, "the same picks, as nothing else has changed"
    record_orders(mine.store)
    state = Ledger(mine.store).state()
    assert {(state[key].order, state[key].status) for key in asked} == {(second, "asked")}
    assert [order.name for order in list_orders(mine.store)] == [first, second]
    assert pq.read_table(mine.store.table(Cell("orders"))).num_rows == 0
    looked = {one.name: one.wrong for one in look(mine.study, lineage_of(mine.study, mine.home), mine.home)}
    assert looked[f"orders/{first}"] == looked[f"orders/{second}"] == ""
    mine.store.order_table(first).write_bytes(b"")
    looked = {one.name: one.wrong for one in look(mine.study, lineage_of(mine.study, mine.home), mine.home)}
    assert "Restore it from a backup" in looked[f"orders/{first}"], "a cancelled order is guarded like any"


@pytest.mark.parametrize("rejected", [False, True])
def test_an_order_with_an_answer_is_not_cancelled(tmp_path, instance, rejected) -> None:
    mine = desk(tmp_path, instance, "random")
    name = place(mine, Asking("random", 3)).name
    first, *_ = ids(mine, name)
    come_back(mine, [] if rejected else [first], [first] if rejected else [])
    before = Ledger(mine.store).events()
    with pytest.raises(AnnotationError, match=r"(is answered|is rejected) .*cannot be cancelled"):
        cancel(mine, name)
    assert Ledger(mine.store).events() == before
    assert cells(mine) == {f"purchased_adapter[{name}]"}


def test_an_answer_after_the_cancelling_is_late_and_its_prompt_is_not_asked_again(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, "random")
    name = place(mine, Asking("random", 3)).name
    late, *others = ids(mine, name)
    cancel(mine, name)
    counts = enter_answers(mine.store, [AnswerRow("a row", late, "all the same")]).counts
    assert (counts["late"], counts["answered"]) == (1, 0)
    assert asked_prompts(mine.store) == {late: name}
    again = ids(mine, place(mine, Asking("random", 4)).name)
    assert late not in again
    assert set(others) & set(again)


def test_what_a_cancelled_order_had_replaced_is_replaced_again(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, ROUNDS)
    first = picks(mine, place(mine, Asking(ROUNDS, 8)).name)
    come_back(mine, first[1:], first[:1])
    instead = place(mine, Asking(ROUNDS, replace=True)).name
    assert Ledger(mine.store).state()[first[0]].status == "replaced"
    cancel(mine, instead)
    assert Ledger(mine.store).state()[first[0]].status == "rejected"
    again = place(mine, Asking(ROUNDS, replace=True)).name
    assert picks(mine, again) == picks(mine, instead)
    assert Ledger(mine.store).state()[first[0]].status == "replaced"


def test_a_round_that_was_cancelled_is_ordered_again(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, ROUNDS)
    first = place(mine, Asking(ROUNDS, 8)).name
    cancel(mine, first)
    second = place(mine, Asking(ROUNDS, 8)).name
    assert picks(mine, second) == picks(mine, first)


def test_a_cancelling_that_was_cut_short_is_completed(tmp_path, instance) -> None:
    mine = desk(tmp_path, instance, "random")
    name = place(mine, Asking("random", 3)).name
    Ledger(mine.store).append(Event("cancelled", name, key) for key in ids(mine, name))
    assert cells(mine) == {f"purchased_adapter[{name}]"}
    record_orders(mine.store)
    assert not cells(mine)


def test_what_the_curve_needs_is_said_until_it_is_there(tmp_path: Path, instance) -> None:
    mine = desk(tmp_path, instance, "random")
    nothing, curve = curve_needs(mine.study, mine.store)
    assert "Nothing can be scored: order prompts to validate" in nothing
    assert "needs 2 orders with answers, beside the base model; there are 0" in curve
    assert "answers to the 2 prompts to validate" in curve_needs(mine.study, mine.store, 2)[0]
    for orders in (1, 2):
        name = place(mine, Asking("random", 3)).name
        assert "prompts to validate" in curve_needs(mine.study, mine.store)[0] or orders == 2
        come_back(mine, ids(mine, name), [])
        left = curve_needs(mine.study, mine.store)
        assert [("there is 1" in need) for need in left] == [True] * (2 - orders)
