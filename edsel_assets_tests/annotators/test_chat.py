"""A model behind a real server on 127.0.0.1 answers orders: limits, stop, refusals, nothing paid twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edsel_assets.annotation import (
    AnnotationError,
    AnswerRow,
    Ledger,
    enter_answers,
    order_table,
    place_order,
)
from edsel_assets.annotators import ChatAnnotator, answer
from edsel_assets.llm import JudgeError
from edsel_assets.store import Store
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets_tests.annotation.conftest import picks, placed
from edsel_assets_tests.annotators.conftest import events, states
from edsel_assets_tests.llm.judging.server import ChatServer, completion, serving

#: 10 tokens read and 5 written at 1 and 2 per 1,000: what the server bills for each reply.
PRICES = {"per_thousand_prompt_tokens": 1.0, "per_thousand_response_tokens": 2.0}
COST = (10 * 1 + 5 * 2) / 1000


def number(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"].split("\n")[0].removesuffix(":")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(lambda body: completion(f"Answer to {number(body)}")) as made:
        yield made


def asking(server: ChatServer, store: Store, **changes: Any) -> ChatAnnotator:
    settings = {"kind": "openai", "model": "m", "base_url": server.url, "max_tokens": 20, **changes}
    return ChatAnnotator(AnnotatorSettings.model_validate(settings), store.folder / "replies")


def test_every_prompt_is_asked_once_answered_and_paid_at_what_it_cost(server, store, order) -> None:
    name, ids = order
    found = answer(asking(server, store, **PRICES, system="Be brief.", temperature=0.5), store, name)
    assert (found.answered, found.rejected, found.open) == (10, 0, 0)
    assert found.paid == pytest.approx(10 * COST)
    state = Ledger(store).state()
    assert state[ids[3]].response == "Answer to Prompt 3"
    assert state[ids[3]].price == state[ids[3]].paid == pytest.approx(COST)
    assert {event.who for event in events(store, "answered") + events(store, "paid")} == {"m"}
    assert all(event.when for event in events(store, "answered"))
    assert len(server.asked) == 10
    assert server.asked[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (server.asked[0]["max_tokens"], server.asked[0]["temperature"]) == (20, 0.5)
    assert answer(asking(server, store, **PRICES), store, name).answered == 0
    assert len(server.asked) == 10


def test_without_prices_of_tokens_an_answer_costs_what_it_was_asked_at(server, store, order) -> None:
    assert answer(asking(server, store), store).paid == 10 * 0.5


def test_the_stop_leaves_the_order_partly_answered_and_a_second_run_goes_on(server, store, order) -> None:
    settings = {**PRICES, "concurrency": 1}
    # Nothing is sent that could cost more than is left: at most 0.1 for each prompt of this length.
    found = answer(asking(server, store, max_cost=0.19, **settings), store)
    assert 0 < found.answered < 10
    assert found.open == 10 - found.answered
    assert found.paid == pytest.approx(found.answered * COST)
    assert found.paid <= 0.19
    assert len(server.asked) == found.answered
    assert any("stay open; of the first: the next request may cost" in remark for remark in found.remarks)
    same = answer(asking(server, store, max_cost=0.19, **settings), store)
    assert (same.answered, len(server.asked)) == (0, found.answered)
    rest = answer(asking(server, store, max_cost=5.0, **settings), store)
    assert (rest.answered, rest.open) == (10 - found.answered, 0)
    assert len(server.asked) == 10
    assert sum(event.price for event in events(store, "paid")) == pytest.approx(10 * COST)


def test_empty_refused_and_cut_replies_are_rejections_and_are_not_paid_twice(server, store, order) -> None:
    refusal = json.loads(completion(""))
    refusal["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I will not."}
    cut = json.loads(completion("and so on and"))
    cut["choices"][0]["finish_reason"] = "length"
    held = json.loads(completion("half"))
    held["choices"][0]["finish_reason"] = "content_filter"
    bodies = [completion("  \n"), json.dumps(refusal), json.dumps(cut), json.dumps(held)]
    server.script = [*((200, {}, body) for body in bodies), (400, {}, '{"error": "too long"}')]
    found = answer(asking(server, store, concurrency=1, **PRICES), store)
    assert (found.answered, found.rejected, found.open) == (5, 5, 0)
    assert states(store) == ["rejected"] * 5 + ["answered"] * 5
    reasons = [event.status for event in events(store, "rejected")]
    assert reasons[0] == "the reply is empty"
    assert "I will not." in reasons[1]
    assert "cut off" in reasons[2]
    assert "filter" in reasons[3]
    assert "answers 400" in reasons[4]
    paid = [bought.paid for bought in Ledger(store).state().values()]
    assert paid == pytest.approx([COST] * 4 + [0.0] + [COST] * 5)  # the refused request was not billed
    assert answer(asking(server, store, concurrency=1, **PRICES), store).open == 0
    assert len(server.asked) == 10


def test_one_bad_reply_is_one_rejection_and_the_rest_of_its_batch_enters(server, store, order) -> None:
    refusal = completion("").replace('"content": ""', '"refusal": "no \\udfff\\n"')
    huge = completion("x" * 2**21)
    server.script = [(200, {}, body) for body in (completion("a\ud800b"), refusal, huge)]
    found = answer(asking(server, store, **PRICES), store)
    assert (found.answered, found.rejected, found.open) == (7, 3, 0)
    reasons = " ".join(event.status for event in events(store, "rejected"))
    assert "half a surrogate pair" in reasons
    assert "but a refusal: no" in reasons
    assert "longer than 1,130,496 bytes" in reasons  # 1 MiB, and 4 KiB for each of 20 tokens
    assert answer(asking(server, store, **PRICES), store).open == 0
    assert len(server.asked) == 10


def test_requests_that_may_have_been_billed_are_said(server, store, order) -> None:
    server.script = [(500, {"retry-after": "0"}, "no")]
    remarks = answer(asking(server, store, **PRICES, concurrency=1), store).remarks
    assert any("for 1 requests without an answer, which may have been billed" in r for r in remarks)


def test_requests_keep_to_the_rate(server, store, order) -> None:
    answer(asking(server, store, requests_per_minute=300), store)  # which imports the server's client
    placed(store, 10, start=10)
    del server.at[:]
    answer(asking(server, store, requests_per_minute=300), store)
    # One each 0.2 s; the first is late by what it takes to connect.
    assert server.at[-1] - server.at[0] >= 9 * 0.2 - 0.5


def test_a_server_that_fails_for_good_leaves_its_prompt_open(server, store, order) -> None:
    server.script = [(503, {"retry-after": "0"}, "busy")] * 2
    found = answer(asking(server, store, attempts=2, concurrency=1), store)
    assert (found.answered, found.open) == (9, 1)
    assert any("1 prompts stay open" in remark and "503" in remark for remark in found.remarks)
    assert answer(asking(server, store, attempts=2), store).open == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>a proxy speaks</html>"), (200, '{"error": "no"}'), (529, "busy"), (400, "no")],
)
def test_a_server_in_trouble_rejects_nothing(server, store, order, status, body) -> None:
    server.script = [(status, {"retry-after": "0"}, body)] * 10
    found = answer(asking(server, store, attempts=1), store)
    assert (found.answered, found.rejected, found.open) == (0, 0, 10)
    assert answer(asking(server, store), store).answered == 10


@pytest.mark.parametrize(("status", "body"), [(402, "no credit"), (400, "unsupported parameter: max_tokens")])
def test_wrong_settings_end_the_command_and_reject_nothing(server, store, order, status, body) -> None:
    server.script = [(status, {}, body)] * 10
    with pytest.raises(JudgeError, match=f"answers {status}"):
        answer(asking(server, store, concurrency=1), store)
    assert states(store) == ["asked"] * 10
    assert len(server.asked) <= 2


def test_what_people_answer_meanwhile_is_not_bought_and_stays(store) -> None:
    (_, ids) = placed(store, 10)
    by_people = [AnswerRow(f"row {i}", ids[i], f"by hand {i}", who="ann") for i in (1, 5, 6, 7, 8, 9)]
    given = threading.Lock()

    def answers(body: dict[str, Any]) -> str:
        with given:  # while the first batch of four is under way
            if by_people:
                enter_answers(store, by_people)
                by_people.clear()
        return completion(f"Answer to {number(body)}")

    with serving(answers) as server:
        found = answer(asking(server, store, concurrency=1, **PRICES), store)
        assert len(server.asked) == 5, "the batch of the first four, and the fifth prompt"
    assert (found.answered, found.rejected, found.open) == (4, 0, 0)
    state = Ledger(store).state()
    assert [state[key].response for key in ids] == [
        f"{'by hand' if i in (1, 5, 6, 7, 8, 9) else 'Answer to Prompt'} {i}" for i in range(10)
    ]
    assert [state[key].paid for key in ids] == pytest.approx(
        [0.5 if i in (1, 5, 6, 7, 8, 9) else COST for i in range(10)]
    )


def test_what_was_spent_beside_an_answer_without_a_price_is_recorded(store) -> None:
    unpriced = picks(2).drop_columns("price")
    table = order_table(store, place_order(store, unpriced, study="s", strategy="kmq", budget=2).name)
    Ledger(store).ask(table)
    ids = table["prompt_id"].to_pylist()

    def answers(body: dict[str, Any]) -> str:
        enter_answers(store, [AnswerRow("row", ids[0], "by hand", who="ann")])
        return completion(f"Answer to {number(body)}")

    with serving(answers) as server:
        answer(asking(server, store, concurrency=1, **PRICES), store)
    state = Ledger(store).state()
    assert [state[key].response for key in ids] == ["by hand", "Answer to Prompt 1"]
    assert [state[key].paid for key in ids] == pytest.approx([COST, COST])


def test_a_missing_key_is_named_before_anything_is_sent(server, store, order, monkeypatch) -> None:
    with pytest.raises(AnnotationError, match="needs a key in the environment: set MY_KEY"):
        answer(asking(server, store, key_variable="MY_KEY"), store)
    assert not server.asked
    own = AnnotatorSettings(kind="openai", model="m", max_cost=1.0, **PRICES)
    assert "set OPENAI_API_KEY" in ChatAnnotator(own, store).problems()[0]
    monkeypatch.setenv("MY_KEY", "secret-value")
    assert answer(asking(server, store, key_variable="MY_KEY"), store).answered == 10
    assert set(server.keys) == {"Bearer secret-value"}
    for path in store.folder.rglob("*"):
        assert not path.is_file() or b"secret-value" not in path.read_bytes()


RUN = """
import sys
from pathlib import Path
from edsel_assets.annotators import ChatAnnotator, answer
from edsel_assets.store import Store
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets.store import Store
settings = AnnotatorSettings(kind="openai", model="m", base_url=sys.argv[2], max_tokens=20, concurrency=2,
    per_thousand_prompt_tokens=1.0, per_thousand_response_tokens=2.0)
store = Store(Path(sys.argv[1]))
answer(ChatAnnotator(settings, store.folder / "replies"), store)
"""


def start(server: ChatServer, store: Store) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", RUN, str(store), server.url], stderr=subprocess.PIPE)


def test_killed_in_the_middle_every_reply_that_came_is_used_and_none_is_paid_twice(
    store, monkeypatch
) -> None:
    placed(store, 40)

    def slowly(body: dict[str, Any]) -> str:
        time.sleep(0.1)
        return completion(f"Answer to {number(body)}")

    with serving(slowly) as server:
        process = start(server, store)
        while len(server.asked) < 23:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        under_way = 2
        first = [number(body) for body in server.asked]
        entered = len(events(store, "answered"))
        assert 0 < entered < 40
        assert start(server, store).wait() == 0
        second = [number(body) for body in server.asked[len(first) :]]
        assert states(store) == ["answered"] * 40
        assert len(set(first + second)) == 40
        # What came back before the kill is never asked again; what was under way may have to be.
        assert len(set(first) & set(second)) <= under_way
        assert len(events(store, "answered")) == len(events(store, "paid")) == 40


def test_two_at_once_pay_each_prompt_once(server, store, order) -> None:
    both = [start(server, store) for _ in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert len(server.asked) == 10
    assert len(events(store, "paid")) == 10
    assert os.path.exists(store.folder / "answering.lock")
