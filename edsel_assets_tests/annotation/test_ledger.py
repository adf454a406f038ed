import contextlib
import itertools
import logging
import multiprocessing
import os
import random
import signal
import time

import pytest

from edsel_assets.annotation import (
    EVENT_SCHEMA,
    EVENTS,
    AnnotationError,
    AnswerRow,
    Event,
    Ledger,
    by_day,
    enter_answers,
)
from edsel_assets.store import Store, StoreError, lines_file
from edsel_assets_tests.annotation.conftest import placed
from edsel_assets_tests.store.damage import DAMAGES, spoil

ORDER = "order-0001"


def asked(*ids: str, order: str = ORDER) -> list[Event]:
    return [Event("asked", order, key, price=1.5, when="2026-01-01T00:00:00+00:00") for key in ids]


def test_the_state_is_the_fold_of_the_events(store):
    ledger = Ledger(store)
    assert ledger.state() == {}
    assert ledger.append(asked("a", "b", "c", "d", "e")) == 5
    ledger.append(
        [
            Event("answered", ORDER, "a", who="ann", when="2026-01-02", response="yes", price=2.0),
            Event("paid", ORDER, "a", price=2.0, who="boss"),
            Event("rejected", ORDER, "b", who="ann", status="no idea"),
            Event("replaced", ORDER, "b", status="order-0002"),
            Event("rejected", ORDER, "c"),
            Event("answered", ORDER, "c", response="after all"),
            Event("replaced", ORDER, "d", status="order-0002"),
            Event("late", ORDER, "d", response="too late"),
        ]
    )
    state = ledger.state()
    assert {key: each.status for key, each in state.items()} == {
        "a": "answered",
        "b": "replaced",
        "c": "answered",
        "d": "late",
        "e": "asked",
    }
    assert {key: each.response for key, each in state.items() if each.answered} == {
        "a": "yes",
        "c": "after all",
        "d": "too late",
    }
    assert (state["a"].price, state["a"].paid, state["a"].who) == (2.0, 2.0, "ann")
    assert (state["c"].price, state["c"].paid) == (1.5, None)
    assert [event.sequence for event in ledger.events()] == list(range(1, 14))
    table = ledger.table()
    assert table.schema == EVENT_SCHEMA
    assert table["event"].to_pylist()[5:7] == ["answered", "paid"]


def test_what_is_recorded_is_not_recorded_again(store):
    ledger = Ledger(store)
    events = [
        *asked("a", "b"),
        Event("answered", ORDER, "a", response="r"),
        Event("paid", ORDER, "a", price=1.0),
        Event("rejected", ORDER, "b"),
        Event("replaced", ORDER, "b"),
    ]
    assert ledger.append(events) == 6
    before = ledger.path.read_bytes()
    assert ledger.append(events) == 0
    assert ledger.append([Event("paid", ORDER, "a", price=9.0)]) == 0, "a prompt is paid once"
    assert ledger.path.read_bytes() == before


def cut_reply() -> AnswerRow:
    return AnswerRow("a model's reply", "a", None, rejected=True, reason="cut off")


def test_an_answer_after_a_rejection_that_was_paid_is_paid_once_beside_it(store):
    ledger = Ledger(store)
    ledger.append(Event("asked", ORDER, key, price=2.0) for key in "ab")
    for _ in range(2):
        enter_answers(store, [cut_reply()], prices={"a": 0.0003})
    refused = ledger.state()["a"]
    assert (refused.price, refused.paid, refused.asked_price) == (0.0003, 0.0003, 2.0)
    for _ in range(2):
        enter_answers(store, [AnswerRow("line 1", "a", "by a person")])
        enter_answers(store, [cut_reply()], prices={"a": 0.0003})
    bought = ledger.state()["a"]
    assert bought.paid == bought.price == pytest.approx(2.0003)
    assert [event.price for event in ledger.events() if event.event == "paid"] == [0.0003, 2.0]
    assert ledger.append([Event("paid", ORDER, "a", price=2.0)]) == 0


def test_an_answer_that_was_left_unpaid_after_a_paid_rejection_is_paid_by_the_next_import(store):
    ledger = Ledger(store)
    ledger.append(Event("asked", ORDER, key, price=2.0) for key in "ab")
    ledger.append([Event("rejected", ORDER, "a"), Event("paid", ORDER, "a", price=0.5)])
    ledger.append([Event("answered", ORDER, "a", response="r", price=3.0)])
    assert (ledger.state()["a"].due, ledger.state()["a"].price) == (3.0, 3.5)
    for _ in range(2):
        enter_answers(store, [AnswerRow("line 1", "b", "another")])
    assert (ledger.state()["a"].paid, ledger.state()["b"].paid) == (3.5, 2.0)


def test_what_was_paid_in_advance_is_not_paid_again_after_the_answer(store):
    ledger, paid = Ledger(store), Event("paid", ORDER, "a", price=1.0)
    ledger.append([*asked("a"), paid, Event("answered", ORDER, "a", response="r", price=4.0)])
    assert ledger.append([paid]) == 0
    assert (ledger.state()["a"].paid, ledger.state()["a"].price, ledger.state()["a"].due) == (1.0, 1.0, None)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event("asked", "order-0002", "a"), "was asked for in order-0001 and cannot be asked for again"),
        (Event("answered", ORDER, "new", response="r"), "asked for in no order, not in order-0001"),
        (Event("answered", "order-0002", "a", response="r"), "asked for in order-0001, not in order-0002"),
        (Event("answered", ORDER, "done", response="other"), "answered already, with another answer"),
        (Event("rejected", ORDER, "done"), "is answered and cannot be rejected"),
        (Event("replaced", ORDER, "done"), "is answered and cannot be replaced"),
        (
            Event("cancelled", ORDER, "done"),
            "is answered and cannot be cancelled",
        ),
        (Event("cancelled", ORDER, "gone"), "is replaced already, so the order cannot be cancelled"),
        (Event("answered", ORDER, "gone", response="r"), "is late: the prompt is replaced"),
        (Event("late", ORDER, "a", response="r"), "is not late: the prompt is asked"),
        (Event("sold", ORDER, "a"), "An event is one of asked, answered"),
        (Event("paid", ORDER, "a"), "A payment needs its price"),
        (Event("paid", ORDER, "a", price=-1.0), "A price is a number of at least 0"),
        (Event("paid", ORDER, "a", price=float("nan")), "A price is a number of at least 0"),
        (Event("paid", ORDER, "a", price=True), "A price is a number of at least 0"),
        (Event("answered", ORDER, "a"), "An answer is text that is not empty"),
        (Event("answered", ORDER, "a", response=" \n"), "An answer is text that is not empty"),
        (Event("answered", ORDER, "a", response="\ud800"), "not valid Unicode"),
        (Event("rejected", ORDER, "a", response="r"), "Only an answer has a response"),
    ],
)
def test_an_event_that_contradicts_the_ledger_is_refused_with_its_whole_batch(store, event, message):
    ledger = Ledger(store)
    ledger.append(
        [
            *asked("a", "done", "gone"),
            Event("answered", ORDER, "done", response="r"),
            Event("replaced", ORDER, "gone"),
        ]
    )
    before = ledger.path.read_bytes()
    with pytest.raises(AnnotationError, match=message) as caught:
        ledger.append([*asked("fresh"), event])
    assert "\n" not in str(caught.value)
    assert ledger.path.read_bytes() == before


def test_a_clock_that_goes_back_changes_nothing(store):
    ledger = Ledger(store)
    ledger.append(asked("a"))
    ledger.append([Event("answered", ORDER, "a", response="r", when="1970-01-01T00:00:00+00:00")])
    assert ledger.state()["a"].status == "answered"


def test_times_become_utc_and_days_are_counted(store):
    ledger = Ledger(store)
    ledger.append(
        [
            *asked("a", "b"),
            Event("answered", ORDER, "a", response="r", when="2026-01-02T01:30:00+02:00"),
            Event("paid", ORDER, "a", price=2.5, when="2026-01-02T10:00:00.5Z"),
            Event("answered", ORDER, "b", response="s", when="2026-01-02"),
        ]
    )
    assert [event.when for event in ledger.events()[2:]] == [
        "2026-01-01T23:30:00+00:00",
        "2026-01-02T10:00:00+00:00",
        "2026-01-02T00:00:00+00:00",
    ]
    none = dict.fromkeys(EVENTS, 0)
    assert by_day(ledger.events()) == [
        {"day": "2026-01-01", **none, "asked": 2, "answered": 1, "spent": 0.0},
        {"day": "2026-01-02", **none, "answered": 1, "paid": 1, "spent": 2.5},
    ]
    with pytest.raises(AnnotationError, match=r"a time is in ISO format, such as 2026.*got 'yesterday'"):
        ledger.append([Event("rejected", ORDER, "b", when="yesterday")])


def append_randomly(ledger: Ledger, kinds: tuple[str, ...], seed: int) -> list[Event]:
    """The events that were written of 400 random ones."""
    draw = random.Random(seed)
    for _ in range(400):
        kind, key = draw.choice(kinds), draw.choice("abcdef")
        event = Event(
            kind,
            draw.choice([ORDER, ORDER, ORDER, "order-0002"]),
            key,
            price=float(draw.randint(0, 3)) if kind == "paid" else None,
            response=draw.choice(["r", "r", "s"]) if kind in ("answered", "late") else None,
        )
        with contextlib.suppress(AnnotationError):
            ledger.append([event])
    return ledger.events()


def test_only_what_was_neither_paid_nor_answered_is_asked_again_once_it_is_cancelled(tmp_path):
    again = 0
    for seed in range(6):
        events = append_randomly(Ledger(Store(tmp_path / str(seed))), ("asked", "cancelled", *EVENTS), seed)
        for key in "abcdef":
            mine = [event for event in events if event.prompt_id == key]
            asked = [i for i, event in enumerate(mine) if event.event == "asked"]
            for start, end in itertools.pairwise(asked):
                kinds = {event.event for event in mine[start:end]}
                assert "cancelled" in kinds
                assert not kinds & {"answered", "late", "paid"}
                assert len({event.order for event in mine[start:end]}) == 1
                again += 1
    assert again > 5


def test_random_events_never_buy_twice(store):
    """Of random events each is written, left out or refused; a second, naive reading agrees."""
    ledger = Ledger(store)
    events = append_randomly(ledger, EVENTS[: EVENTS.index("cancelled")], 0)
    for key in "abcdef":
        mine = [event for event in events if event.prompt_id == key]
        kinds = [event.event for event in mine]
        assert kinds[0] == "asked"
        assert kinds.count("asked") == 1
        assert len({event.order for event in mine}) == 1
        given = next((i for i, kind in enumerate(kinds) if kind in ("answered", "late")), len(kinds))
        paid = [i for i, kind in enumerate(kinds) if kind == "paid"]
        refused = [i for i in paid if i < given and {"rejected", "replaced"} & set(kinds[:i])]
        assert len(paid) <= 1 or (len(paid) == 2 and paid[0] in refused and paid[1] > given)
        assert kinds.count("answered") + kinds.count("late") <= 1
        answers = [event.response for event in mine if event.response]
        assert ledger.state()[key].response == (answers[0] if answers else None)
        if "late" in kinds:
            assert kinds.index("replaced") < kinds.index("late")
    assert {"late", "answered", "paid", "rejected", "replaced"} <= {event.event for event in events}


def test_text_of_every_kind_survives(store):
    ledger, text = Ledger(store), 'é\n\r\u2028\x00\x85 "q" \' \\ 漢'
    ledger.append([*asked("a"), Event("answered", ORDER, "a", response=text)])
    assert Ledger(store).state()["a"].response == text
    assert len(ledger.path.read_bytes().split(b"\n")) == 3


def test_a_torn_last_line_is_named_left_out_and_cut_off(store, caplog):
    ledger = Ledger(store)
    ledger.append(asked("a", "b"))
    whole = ledger.path.read_bytes()
    assert ledger.torn() is None
    first = whole.index(b"\n") + 1
    lines_file(ledger.path).unlink()  # as when the writer was killed before it had told their number
    for cut in range(first + 1, len(whole)):
        ledger.path.write_bytes(whole[:cut])
        assert set(ledger.state()) == {"a"}
        assert "purchases.jsonl, line 2: the last line is not whole" in ledger.torn()
    with caplog.at_level(logging.WARNING):
        assert ledger.append(asked("a", "b")) == 1
    assert "line 2: the last line is not whole" in caplog.text
    assert ledger.path.read_bytes() == whole


def test_a_damaged_line_is_named(store):
    ledger = Ledger(store)
    ledger.append([*asked("a", "b"), Event("answered", ORDER, "a", response="good")])
    whole = ledger.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged, line in [
        (whole.replace(b"good", b"food"), 3),
        (lines[0] + lines[2], 2),
        (lines[0] + b"\x00" * 10 + b"\n" + lines[2], 2),
        (lines[0] + b"[]\n", 2),
        (b'{"check": "00000000"}\n', 1),
    ]:
        ledger.path.write_bytes(damaged)
        with pytest.raises(AnnotationError, match=f"line {line} is damaged .*Restore the file from a backup"):
            ledger.state()
        with pytest.raises(AnnotationError, match=f"line {line} is damaged"):
            ledger.append(asked("c"))
        assert ledger.path.read_bytes() == damaged


@pytest.mark.parametrize("damage", DAMAGES[1:])
def test_a_ledger_that_lost_lines_is_refused_and_left_as_it_is(store, damage):
    ledger = Ledger(store)
    ledger.append([*asked("a", "b"), Event("answered", ORDER, "a", response="good")])
    whole = spoil(ledger.path, damage)
    left = ledger.path.read_bytes() if ledger.path.exists() else b""
    for _ in range(2):
        with pytest.raises(StoreError, match=r"purchases\.jsonl has \d whole lines and had 3: .*backup"):
            ledger.state()
        with pytest.raises(StoreError, match=r"had 3"):
            ledger.append(asked("a", "b"))
    assert (ledger.path.read_bytes() if ledger.path.exists() else b"") == left
    ledger.path.write_bytes(whole)
    assert ledger.append(asked("c")) == 1


def test_the_number_of_lines_may_be_lost_and_is_never_ahead_of_them(store):
    ledger = Ledger(store)
    for keys in ("a", "b"):
        ledger.append(asked(keys))
        for content in (b"", b"\xff" * 20, None):
            if content is None:
                lines_file(ledger.path).unlink()
            else:
                lines_file(ledger.path).write_bytes(content)
            assert list(ledger.state()) == list("ab")[: len(ledger.events())]
    ledger.append(asked("b"))
    assert int(lines_file(ledger.path).read_bytes()) == 2


def test_asking_for_an_order_is_recorded_once(store):
    name, ids = placed(store, 4)
    state = Ledger(store).state()
    assert list(state) == ids
    assert {(each.order, each.price) for each in state.values()} == {(name, 0.5)}
    placed(store, 4, start=4)
    assert len(Ledger(store).events()) == 8


def _append(store: Store, worker: int) -> None:
    for i in range(20):
        Ledger(store).append(asked(f"shared {i}", f"own {worker} {i}"))


def test_writers_at_once_lose_and_repeat_nothing(store):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(store, i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    state = Ledger(store).state()
    assert len(state) == len(Ledger(store).events()) == 20 + 80


def _answer_for_ever(store: Store, connection) -> None:
    i = 0
    while True:
        keys = [f"{i} {j}" for j in range(50)]
        Ledger(store).append(
            [*asked(*keys), *(Event("answered", ORDER, key, response="r" * 2000) for key in keys)]
        )
        connection.send(i)
        i += 1


def test_an_append_killed_at_any_moment_keeps_what_was_reported(store):
    """Ten times kill -9; the ledger reads, holds every batch that was reported, and goes on."""
    context = multiprocessing.get_context("fork")
    for attempt in range(10):
        home = Store(store.folder / str(attempt))
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_answer_for_ever, args=(home, sender))
        child.start()
        receiver.recv()
        time.sleep(0.003 * attempt)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        reported = 0
        while receiver.poll():
            reported = receiver.recv()
        ledger = Ledger(home)
        state = ledger.state()
        for i in range(reported + 1):
            assert all(state[f"{i} {j}"].answered for j in range(50))
        ledger.append(asked("next"))
        assert ledger.torn() is None
        assert "next" in ledger.state()
