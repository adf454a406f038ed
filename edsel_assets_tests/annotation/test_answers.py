import json

import pytest

from edsel_assets.annotation import (
    AnnotationError,
    AnswerRow,
    Event,
    Ledger,
    check_answers,
    export_order,
    order_table,
    read_answers,
)
from edsel_assets_tests.annotation.conftest import placed
from edsel_assets_tests.annotation.test_formats import label_studio_annotation


def row(number: int, key, response="an answer", **more) -> AnswerRow:
    return AnswerRow(f"f.jsonl, row {number}", key, response, **more)


def test_answers_are_sorted_into_what_they_are(store):
    name, ids = placed(store, 8)
    ledger = Ledger(store)
    ledger.append(
        [
            Event("answered", name, ids[0], response="known"),
            Event("rejected", name, ids[1]),
            Event("replaced", name, ids[2]),
            Event("rejected", name, ids[7]),
        ]
    )
    rows = [
        row(1, ids[0], " known\r\n"),
        row(2, ids[1], "after all"),
        row(3, ids[2], "too late"),
        row(4, ids[3], " fresh ", who="ann", when="2026-01-01"),
        row(5, ids[4], "", rejected=True),
        row(6, ids[5], ""),
        row(7, ids[7], None, rejected=True),
    ]
    checked = check_answers(rows, ledger.state())
    assert [(a.prompt_id, a.response) for a in checked.answered] == [(ids[1], "after all"), (ids[3], "fresh")]
    assert [a.prompt_id for a in checked.rejected] == [ids[4]]
    assert [a.response for a in checked.late] == ["too late"]
    assert checked.open == tuple(sorted([ids[5], ids[6]]))
    assert (checked.already, checked.repeated, checked.unknown) == (2, 0, ())
    assert checked.counts == {
        "answered": 2,
        "rejected": 1,
        "late": 1,
        "open": 2,
        "recorded already": 2,
        "repeated rows": 0,
        "unknown rows": 0,
    }
    events = checked.events(ledger.state(), prices={ids[3]: 2.5})
    assert ledger.append(events) == 4
    assert ledger.append(events) == 0
    state = ledger.state()
    assert (state[ids[3]].response, state[ids[3]].price, state[ids[3]].who) == ("fresh", 2.5, "ann")
    assert state[ids[1]].price == 0.5
    again = check_answers(rows, state)
    assert (again.answered, again.rejected, again.late, again.already) == ((), (), (), 6)


def test_case_and_white_space_of_an_id_are_forgiven_where_one_prompt_is_meant():
    store_state = {key: _bought(key) for key in ("abc", "xy", "XY")}
    checked = check_answers([row(1, " ABC\n"), row(2, "XY")], store_state)
    assert [a.prompt_id for a in checked.answered] == ["abc", "XY"]
    with pytest.raises(AnnotationError, match=r"f\.jsonl, row 1: 'Xy'"):
        check_answers([row(1, "Xy")], store_state)


def _bought(key: str, order: str = "order-0001"):
    from edsel_assets.annotation import Purchase

    return Purchase(key, order, "asked")


def test_unknown_ids_are_named_or_left_out():
    state = {"a": _bought("a"), "b": _bought("b", "order-0002")}
    rows = [row(i, f"no {i}") for i in range(1, 6)] + [row(6, "a")]
    with pytest.raises(AnnotationError, match=r"row 1: 'no 1'; .*row 3: 'no 3' and 2 more.*--skip-unknown"):
        check_answers(rows, state)
    checked = check_answers(rows, state, skip_unknown=True)
    assert len(checked.answered) == 1
    assert checked.unknown == tuple(f"f.jsonl, row {i}" for i in range(1, 6))
    with pytest.raises(AnnotationError, match=r"not asked for in order-0001|Not asked for in order-0001"):
        check_answers([row(1, "b")], state, order="order-0001")
    with pytest.raises(AnnotationError, match="'b' is of order-0002"):
        check_answers([row(1, "b")], state, order="order-0001")
    assert check_answers([], state, order="order-0001").open == ("a",)


def test_several_rows_for_one_prompt():
    state = {"a": _bought("a")}
    same = check_answers([row(1, "a", "r"), row(2, "a", "r\n"), row(3, "A", "")], state)
    assert ([a.response for a in same.answered], same.repeated) == (["r"], 2)
    mixed = check_answers([row(1, "a", "", rejected=True), row(2, "a", "r")], state)
    assert ([a.response for a in mixed.answered], mixed.rejected) == (["r"], ())
    different = [row(1, "a", "r"), row(2, "a", "s"), row(3, "a", "t")]
    with pytest.raises(
        AnnotationError, match=r"row 2: prompt a has another answer in f\.jsonl, row 1.*--keep"
    ):
        check_answers(different, state)
    assert check_answers(different, state, keep="first").answered[0].response == "r"
    assert check_answers(different, state, keep="last").answered[0].response == "t"
    assert check_answers(different, state, keep="last").repeated == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (row(1, None), "row 1: prompt_id should be text, but is None"),
        (row(1, 3), "row 1: prompt_id should be text, but is 3"),
        (row(1, "  "), "row 1: prompt_id should be text"),
        (row(1, "a", 42), "row 1: response should be text, but is int 42"),
        (row(1, "a", ["x"]), "row 1: response should be text, but is list"),
        (row(1, "a", when="yesterday"), "row 1: a time is in ISO format, such as 2026.*'yesterday'"),
        (
            row(1, "done", "other"),
            "row 1: prompt done is answered already, with another answer.*--keep first",
        ),
    ],
)
def test_a_wrong_row_is_named_with_the_remedy(given, message):
    from dataclasses import replace

    state = {"a": _bought("a"), "done": replace(_bought("done"), status="answered", response="r")}
    with pytest.raises(AnnotationError, match=message) as caught:
        check_answers([given], state)
    assert "\n" not in str(caught.value)


def test_what_is_recorded_stays_with_keep_first():
    from dataclasses import replace

    state = {"done": replace(_bought("done"), status="answered", response="r")}
    assert check_answers([row(1, "done", "other")], state, keep="first").already == 1


@pytest.mark.parametrize("format", ["label-studio", "argilla"])
def test_a_round_trip_with_open_late_and_repeated_answers(store, tmp_path, format):
    """40 asked: 32 answered, two of them late and four twice; 4 skipped; 4 left open."""
    name, ids = placed(store, 40)
    ledger = Ledger(store)
    path = export_order(order_table(store, name), format, tmp_path / "tasks.json")[0]
    records = json.loads(path.read_text())
    for i, record in enumerate(records):
        answered, skipped, times = i < 32, 32 <= i < 36, 2 if i < 4 else 1
        if format == "label-studio":
            record["annotations"] = [label_studio_annotation(f"answer {i}")] * times if answered else []
            if skipped:
                record["annotations"] = [label_studio_annotation(cancelled=True)]
        else:
            one = {"values": {"response": {"value": f"answer {i}"}}, "status": "submitted", "user_id": "u"}
            record["responses"] = [one] * times if answered else []
            if skipped:
                record["responses"] = [{"values": {}, "status": "discarded", "user_id": "u"}]
    path.write_text(json.dumps(records))
    ledger.append(Event("replaced", name, ids[i], status="order-0002") for i in (5, 6))
    checked = check_answers(read_answers(path), ledger.state(), order=name)
    assert checked.counts == {
        "answered": 30,
        "rejected": 4,
        "late": 2,
        "open": 4,
        "recorded already": 0,
        "repeated rows": 4,
        "unknown rows": 0,
    }
    assert ledger.append(checked.events(ledger.state())) == 36
    responses = {key: each.response for key, each in ledger.state().items() if each.answered}
    assert responses == {ids[i]: f"answer {i}" for i in range(32)}
    assert ledger.append(check_answers(read_answers(path), ledger.state()).events(ledger.state())) == 0
