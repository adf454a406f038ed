"""The paid loop without a model: what is ordered next, what is trained on, what the money brought."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets import annotation
from edsel_assets.desk import Asking, choosing, record_orders
from edsel_assets.desk.choosing import NothingToOrder, Offer
from edsel_assets.desk.freezing import Draft, freeze
from edsel_assets.desk.spending import advice, spend_by_order, spend_table
from edsel_assets.desk.tables import (
    ANSWERED,
    answered_table,
    bought_training_set,
    orders_table,
    purchases_table,
    validation_answers,
)
from edsel_assets.stages.rounds import ordered_round
from edsel_assets.store import Store
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

IDS = [f"{i:032x}" for i in range(20)]


def pool() -> pa.Table:
    return pa.table(
        {
            "prompt_id": IDS,
            "prompt": [f"Say {i}." for i in range(20)],
            "response": pa.array([None] * 19 + ["nineteen"], pa.large_string()),
            "task": ["a", "b"] * 10,
            "price": [float(i) for i in range(20)],
        }
    )


def ranking(ids: list[str]) -> pa.Table:
    rows = len(ids)
    return pa.table(
        {"rank": list(range(rows)), "prompt_id": ids, "gain": [float(rows - i) for i in range(rows)]}
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def order(
    store: Store,
    study: Study | None = None,
    ids: list[str] = IDS,
    budget: float = 4,
    *,
    unit: str = "prompts",
    cell: str = "rankings[fl_rbf]",
    whole: bool = False,
    replaces: list[str] | tuple[str, ...] = (),
    answered: list[str] | tuple[str, ...] = (),
) -> annotation.Order:
    asked = annotation.asked_prompts(store)
    study = study or tiny_study()
    sample = study.annotation.validation
    offer = Offer(study, pool(), cell, ranking(ids), asked, answered)
    if replaces:
        chosen = in_place_of(store, offer, replaces, unit)
    elif whole:
        chosen = choosing.whole_round(offer, sample)
    elif unit == "money":
        chosen = choosing.for_money(offer, budget, sample)
    else:
        chosen = choosing.by_number(offer, int(budget), sample)
    return freeze(store, Draft(offer, chosen, "fl_rbf", budget, unit), {"content": "x"})


def in_place_of(
    store: Store, offer: Offer, rejected: list[str] | tuple[str, ...], unit: str
) -> choosing.Chosen:
    state = annotation.Ledger(store).state()
    validating = {p for each in annotation.list_orders(store) for p in each.validation}
    gone = [p for p in rejected if p not in validating]
    money = sum(state[p].asked_price or 0.0 for p in gone) if unit == "money" else None
    return choosing.in_place_of(offer, gone, [p for p in rejected if p in validating], money)


def answer(store: Store, prompts: dict[str, str]) -> None:
    ledger = annotation.Ledger(store)
    state = ledger.state()
    ledger.append(
        annotation.Event("answered", state[key].order, key, response=text) for key, text in prompts.items()
    )


def test_an_order_is_the_next_picks_and_no_prompt_is_asked_for_twice(store) -> None:
    first, second = order(store), order(store)
    assert annotation.order_table(store, first.name)["prompt_id"].to_pylist() == IDS[:4]
    assert annotation.order_table(store, second.name)["prompt_id"].to_pylist() == IDS[4:8]
    assert len(annotation.asked_prompts(store)) == 8
    why = annotation.order_table(store, first.name)["why"].to_pylist()
    assert why[0] == "fl_rbf, pick 1, gain 20"


def test_the_money_of_each_order_is_added_up(store) -> None:
    order(store, by_column(), ids=[IDS[i] for i in (3, 5, 7)], budget=3)
    order(store, by_column(), ids=[IDS[i] for i in (1, 2)], budget=2)
    answer(store, {IDS[3]: "three"})
    ledger = annotation.Ledger(store)
    ledger.append(
        [
            annotation.Event("paid", "order-0001", IDS[3], price=4.0),
            annotation.Event("rejected", "order-0001", IDS[5]),
        ]
    )
    first, second = spend_by_order(orders_table(store), purchases_table(store))
    assert first == {
        "order": "order-0001",
        "taken from": "rankings[fl_rbf]",
        "asked": 3,
        "answered": 1,
        "rejected": 1,
        "open": 1,
        "expected": 4.0 + 5.0 + 7.0,
        "paid": 4.0,
    }
    assert (second["asked"], second["open"], second["expected"], second["paid"]) == (2, 2, 3.0, 0.0)


def by_column(**rule) -> Study:
    return tiny_study(
        pool={"columns": {"prompt": "prompt", "price": "price"}}, annotation={"price_by": "column", **rule}
    )


def test_an_order_for_money_takes_each_pick_in_order_that_can_still_be_paid(store) -> None:
    # Prompt i costs i. In the order 6, 5, 0, 2, 1, 3 with 9: 6, not 5, 0, 2, 1; 3 is too much.
    ranked = [IDS[i] for i in (6, 5, 0, 2, 1, 3)]
    placed = order(store, by_column(), ids=ranked, budget=9.0, unit="money")
    table = annotation.order_table(store, placed.name)
    assert table["prompt_id"].to_pylist() == [IDS[i] for i in (6, 0, 2, 1)]
    assert table["price"].to_pylist() == [6.0, 0.0, 2.0, 1.0]
    assert table["spend"].to_pylist() == [6.0, 6.0, 8.0, 9.0]
    assert (placed.budget, placed.unit) == (9.0, "money")
    assert annotation.read_order(store, placed.name) == placed
    with pytest.raises(NothingToOrder, match="can be paid from 2"):
        order(store, by_column(), ids=ranked, budget=2.0, unit="money")


def test_what_validates_is_paid_first(store) -> None:
    placed = order(store, by_column(validation=2), budget=40.0, unit="money")
    table = annotation.order_table(store, placed.name)
    assert len(placed.validation) == 2
    assert set(placed.validation) <= set(table["prompt_id"].to_pylist())
    assert table["spend"].to_pylist()[-1] == sum(table["price"].to_pylist()) <= 40.0
    assert len(set(table["prompt_id"].to_pylist())) == table.num_rows
    with pytest.raises(NothingToOrder, match="2 prompts to validate come first"):
        order(store, by_column(validation=2), budget=0.5, unit="money")


def test_when_all_picks_are_asked_for_nothing_is_ordered(store) -> None:
    order(store, ids=IDS[:3])
    with pytest.raises(NothingToOrder, match="All 3 picks of rankings"):
        order(store, ids=IDS[:3])


def test_the_studys_validation_takes_at_most_half_of_an_order() -> None:
    study = tiny_study(annotation={"validation": 3})
    assert [Asking("fl_rbf", budget=budget).sample(study) for budget in (1, 2, 5, 6, 60)] == [0, 1, 2, 3, 3]
    assert "1 of 2 prompts validate, not the 3" in str(Asking("fl_rbf", budget=2).fewer(study))
    assert Asking("fl_rbf", budget=6).fewer(study) is None
    assert Asking("fl_rbf", budget=2, validate=2).sample(study) == 2  # what was asked for is refused, not cut


def test_a_validation_sample_is_part_of_the_budget_and_never_trained_on(store) -> None:
    study = tiny_study(annotation={"validation": 3})
    placed = order(store, study, budget=7)
    with pytest.raises(NothingToOrder, match=r"no room for a pick beside 3 to validate\. Order at least 4"):
        order(store, study, budget=3)
    assert len(placed.validation) == 3
    assert not set(placed.validation) & set(IDS[:4])
    answer(store, {key: f"answer {key[-2:]}" for key in [*IDS[:4], *placed.validation]})
    orders, purchases = orders_table(store), purchases_table(store)
    answered = answered_table(ANSWERED.empty_table().drop_columns(["order"]), purchases)
    trained = bought_training_set(placed.name, pool(), answered, orders, aside())
    assert sorted(trained["prompt_id"].to_pylist()) == IDS[:4]
    later = bought_training_set(placed.name, pool(), answered, orders, aside(IDS[0]))
    assert sorted(later["prompt_id"].to_pylist()) == IDS[1:4], "what is held out later is not trained on"
    held = validation_answers(orders, purchases)
    assert sorted(held["prompt_id"].to_pylist()) == sorted(placed.validation)


def test_training_uses_the_answers_up_to_an_order_and_those_of_a_file(store) -> None:
    first, second = order(store), order(store)
    answer(store, {IDS[0]: "zero", IDS[5]: "five"})
    file = pa.table(
        {
            "prompt_id": [IDS[9], IDS[0]],
            "response": ["nine", "other"],
            "source": ["f", "f"],
            "cost": [1.0, 1.0],
        }
    )
    answered = answered_table(file, purchases_table(store))
    assert dict(zip(answered["prompt_id"].to_pylist(), answered["response"].to_pylist(), strict=True)) == {
        IDS[0]: "zero",  # what was bought counts before the file's
        IDS[5]: "five",
        IDS[9]: "nine",
    }
    orders = orders_table(store)
    assert bought_training_set(first.name, pool(), answered, orders, aside())["prompt_id"].to_pylist() == [
        IDS[0],
        IDS[9],
    ]
    assert bought_training_set(second.name, pool(), answered, orders, aside()).num_rows == 3


def test_what_is_rejected_is_replaced_by_the_next_best(store) -> None:
    first = order(store)
    ledger = annotation.Ledger(store)
    ledger.append([annotation.Event("rejected", first.name, IDS[1])])
    second = order(store, budget=1, replaces=[IDS[1]])
    state = ledger.state()
    assert state[IDS[1]].status == "replaced"
    assert annotation.order_table(store, second.name)["prompt_id"].to_pylist() == [IDS[4]]
    record_orders(store)
    assert ledger.state() == state, "recording again changes nothing"


def test_what_is_replaced_is_replaced_in_kind(store) -> None:
    study, ledger = tiny_study(annotation={"validation": 3}), annotation.Ledger(store)
    first = order(store, study, budget=7)
    rejected = [IDS[0], IDS[2], first.validation[1]]
    ledger.append(annotation.Event("rejected", first.name, key) for key in rejected)
    second = order(store, study, budget=3, replaces=rejected)
    table = annotation.order_table(store, second.name)
    assert table.num_rows == 3
    assert len(second.validation) == 1
    left = [key for key in IDS if key not in {*IDS[:4], *first.validation}]
    assert table["prompt_id"].to_pylist()[:2] == left[:2]
    ledger.append([annotation.Event("rejected", second.name, second.validation[0])])
    third = order(store, study, budget=1, replaces=second.validation)
    assert annotation.order_table(store, third.name)["prompt_id"].to_pylist() == list(third.validation)


ROUND = "round_1/selection[00010|iterative_kmq_perplexity.s0]"


def reject(store: Store, prompts: list[str], paid: float | None = None) -> None:
    """Reject prompts; each did cost ``paid``."""
    rows = [annotation.AnswerRow("a row", key, None, rejected=True) for key in prompts]
    annotation.enter_answers(store, rows, prices=None if paid is None else dict.fromkeys(prompts, paid))


def in_round(store: Store) -> list[str]:
    frozen = ordered_round(orders_table(store), ROUND)
    assert frozen is not None
    return frozen["prompt_id"].to_pylist()


def test_what_replaces_a_pick_of_a_round_takes_its_place_in_it_whoever_picked_it(store) -> None:
    study = tiny_study(annotation={"validation": 1})
    first = order(store, study, ids=IDS[:4], cell=ROUND, whole=True)
    reject(store, [IDS[1], IDS[2], *first.validation])
    assert in_round(store) == IDS[:4], "nobody was asked in their place yet"
    second = order(store, study, budget=3, ids=IDS[5:], replaces=[*first.validation, IDS[1], IDS[2]])
    picks = annotation.order_table(store, second.name)["prompt_id"].to_pylist()[:2]
    assert in_round(store) == [IDS[0], IDS[3], *picks]
    reject(store, [picks[0]])
    third = order(store, study, budget=1, ids=IDS[5:], replaces=[picks[0]], cell=ROUND)
    last = annotation.order_table(store, third.name)["prompt_id"].to_pylist()
    assert in_round(store) == [IDS[0], IDS[3], picks[1], *last]
    table = orders_table(store)
    assert set(table.filter(table["replaced"])["prompt_id"].to_pylist()) == {
        IDS[1],
        IDS[2],
        picks[0],
        *first.validation,
    }


def test_a_rejected_prompt_for_which_no_pick_is_left_stays_rejected(store) -> None:
    order(store, ids=IDS[:4])
    reject(store, IDS[:3])
    order(store, budget=3, ids=IDS[:6], replaces=IDS[:3])
    state = annotation.Ledger(store).state()
    assert [state[p].status for p in IDS[:3]] == ["replaced", "replaced", "rejected"]


def test_a_prompt_to_validate_alone_is_replaced_where_orders_are_for_money(store) -> None:
    study = by_column(validation=2)
    first = order(store, study, budget=60.0, unit="money")
    spoiled = first.validation[0]
    reject(store, [spoiled], paid=0.0)
    asked_at = annotation.Ledger(store).state()[spoiled].asked_price
    assert asked_at == IDS.index(spoiled)
    second = order(store, study, budget=asked_at, unit="money", replaces=[spoiled])
    assert annotation.order_table(store, second.name)["prompt_id"].to_pylist() == list(second.validation)
    assert len(second.validation) == 1
    assert annotation.Ledger(store).state()[spoiled].status == "replaced"


def test_a_pick_and_a_prompt_to_validate_are_replaced_each_from_its_own_money(store) -> None:
    study = by_column(validation=1)
    first = order(store, study, ids=[IDS[i] for i in (6, 1, 5, 4)], budget=60.0, unit="money")
    asked = set(annotation.order_table(store, first.name)["prompt_id"].to_pylist())
    reject(store, [IDS[5], *first.validation], paid=0.001)
    money = 5.0 + IDS.index(first.validation[0])
    left = [key for key in IDS if key not in asked]
    second = order(store, study, ids=left, budget=money, unit="money", replaces=[IDS[5], *first.validation])
    table = annotation.order_table(store, second.name)
    picks = [row for row in table.to_pylist() if row["prompt_id"] not in second.validation]
    assert len(second.validation) == 1
    assert 0 < sum(row["price"] for row in picks) <= 5.0


def test_no_prompt_that_has_an_answer_is_drawn_to_validate(store) -> None:
    study = tiny_study(annotation={"validation": 16})
    placed = order(store, study, answered=IDS[10:], budget=20)
    assert set(placed.validation) == set(IDS[4:10])


def test_a_round_is_ordered_whole(store) -> None:
    placed = order(store, by_column(validation=2), ids=IDS[:6], budget=3.0, unit="money", whole=True)
    table = annotation.order_table(store, placed.name)
    assert [p for p in table["prompt_id"].to_pylist() if p not in placed.validation] == IDS[:6]


def test_an_order_that_the_ledger_missed_is_entered_later(store) -> None:
    placed = order(store)
    # As if the process had ended before the first entry.
    for name in ("purchases.jsonl", "purchases.jsonl.lines", store.recorded(placed.name)):
        store.delete(name)
    record_orders(store)
    assert [p.order for p in annotation.Ledger(store).state().values()] == [placed.name] * 4


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"price": 0.5}, [0.5, 0.5]),
        ({"price_by": "column"}, [0.0, 1.0]),
        # 6 characters of a prompt at 1 per 1,000; 8 of the one answer, drawn to 200 by 5 such: (8 + 1000) / 6
        ({"price_by": "length", "per_thousand_prompt": 1.0, "per_thousand_response": 0.0}, [0.006, 0.006]),
        ({"price_by": "length", "per_thousand_response": 1.0}, [168 / 1000, None]),
    ],
)
def test_prices_follow_the_studys_rule(rule, expected) -> None:
    found = annotation.rule_prices(tiny_study(annotation=rule).annotation, pool().to_pylist()[:2], pool())
    for value, wanted in zip(found, expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted)


def aside(*ids: str) -> pa.Table:
    return pa.table({"prompt_id": pa.array(ids, pa.string())})


def scores(value: float, error: float = 0.01) -> pa.Table:
    return pa.table({"task": ["t"], "metric": ["acc"], "value": [value], "stderr": [error], "n": [10]})


def test_spend_adds_up_what_was_answered_by_each_order(store) -> None:
    study = tiny_study(annotation={"price": 2.0})
    first, second = order(store, study), order(store, study)
    answer(store, {IDS[0]: "a", IDS[1]: "b", IDS[4]: "c"})
    refused = [annotation.Event("rejected", second.name, key) for key in IDS[5:7]]
    paid = annotation.Event("paid", second.name, IDS[5], price=0.5)  # what a refusal did cost
    annotation.Ledger(store).append([*refused, paid])
    given = pa.table({"prompt_id": [IDS[9]], "response": ["f"], "source": ["f"], "cost": [0.0]})
    table = spend_table(
        answered_table(given, purchases_table(store)),
        orders_table(store),
        purchases_table(store),
        scores(0.1),
        {second.name: scores(0.3), first.name: scores(0.2)},
    )
    rows = [
        tuple(row[n] for n in ("order", "answered", "trained", "spent", "value")) for row in table.to_pylist()
    ]
    # The file's answer is trained on from the first order on.
    assert rows == [("", 0, 0, 0.0, 0.1), (first.name, 2, 3, 4.0, 0.2), (second.name, 3, 4, 6.5, 0.3)]


def spend(answered: list[int], values: list[float], error: float) -> pa.Table:
    return pa.table(
        {
            "trained": answered,
            "task": ["t"] * len(values),
            "metric": ["acc"] * len(values),
            "value": values,
            "stderr": [error] * len(values),
        }
    )


def test_advice_follows_the_line_through_the_points() -> None:
    answered = [0, 9, 99]
    values = [0.1 * math.log1p(n) for n in answered]
    text = advice(spend(answered, values, 1e-6), 100)
    gain = 0.1 * (math.log1p(199) - math.log1p(99))
    assert f"{gain:+.4f} (" in text
    assert "flattened" not in text
    assert "worth it up to about" in advice(spend(answered, values, 1e-3), 100)
    assert "stop here" in advice(spend(answered, values, 0.5), 100)
    assert "flattened" in advice(spend(answered, [0.5, 0.5, 0.5], 0.05), 100)
    assert "two orders with answers are needed" in advice(spend([0, 9], [0.1, 0.2], 0.1), 9)


def test_held_out_prompts_are_spread_over_tasks_and_keyed_by_prompt() -> None:
    from edsel_assets.stages.held_out import held_out_rows

    ids = [f"{i:032x}" for i in range(90)]
    table = pa.table({"prompt_id": ids, "task": ["a"] * 60 + ["b"] * 30, "response": ["x"] * 90})
    marked = held_out_rows(table, 9, seed=0)
    assert (marked[:60].sum(), marked[60:].sum()) == (6, 3)
    shuffled = np.random.default_rng(0).permutation(90)
    again = held_out_rows(table.take(pa.array(shuffled)), 9, seed=0)
    assert {ids[i] for i in np.flatnonzero(marked)} == {ids[shuffled[i]] for i in np.flatnonzero(again)}
    assert held_out_rows(table, 9, seed=1).tolist() != marked.tolist()
    with pytest.raises(ValueError, match="asks for 90 of 90 answered prompts"):
        held_out_rows(table, 90, seed=0)
    unanswered = table.set_column(2, "response", pa.array([None] * 90, pa.string()))
    assert not held_out_rows(unanswered, 9, seed=0).any()
