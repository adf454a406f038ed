"""The client against a real server on 127.0.0.1: what it pays for is kept, and it stops in time."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edsel_assets.llm.judging.client import ChatClient
from edsel_assets.llm.judging.ledger import FILE, CostStop, Ledger, Prices
from edsel_assets.llm.judging.refusals import JudgeError
from edsel_assets.llm.judging.replies import Reply
from edsel_assets.store import StoreError
from edsel_assets_tests.llm.judging.server import ChatServer, completion, serving
from edsel_assets_tests.store.damage import spoil

KEY = "sk-very-secret-of-mine"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(lambda body: completion(f"re: {body['messages'][-1]['content']}")) as made:
        yield made


def client(server: ChatServer, folder: Path, **changes: Any) -> ChatClient:
    settings: dict[str, Any] = {"base_url": server.url, "concurrency": 2, "attempts": 3, "timeout": 10.0}
    return ChatClient("judge", folder, **{**settings, "sleep": lambda seconds: None, **changes})


def text(reply: Reply) -> str:
    if "rubbish" in reply.text:
        raise ValueError("the reply is rubbish")
    return reply.text


def asking(count: int, start: int = 0) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": f"question {start + i}"}] for i in range(count)]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def test_outcomes_come_in_order_and_equal_requests_are_sent_once(server: ChatServer, tmp_path: Path) -> None:
    made = client(server, tmp_path)
    found = made.ask(asking(5) + asking(5), text, max_tokens=7, parameters={"temperature": 0.5})
    assert [each.value for each in found] == [f"re: question {i}" for i in range(5)] * 2
    assert len(server.asked) == 5
    assert {each["path"] for each in server.asked} == {"/v1/chat/completions"}
    assert {(e["model"], e["max_tokens"], e["temperature"]) for e in server.asked} == {("judge", 7, 0.5)}
    assert set(server.keys) == {None}


def test_nothing_is_paid_twice_and_another_request_is_another(server: ChatServer, tmp_path: Path) -> None:
    prices = Prices(prompt=1.0, completion=2.0)
    client(server, tmp_path, prices=prices).ask(asking(3), text, max_tokens=7)
    again = client(server, tmp_path, prices=prices)
    assert again.spent == pytest.approx(3 * (10 * 1.0 + 5 * 2.0) / 1000)
    assert [each.value for each in again.ask(asking(3), text, max_tokens=7)] == [
        f"re: question {i}" for i in range(3)
    ]
    assert len(server.asked) == 3
    assert again.spent == pytest.approx(0.06)
    again.ask(asking(3), text, max_tokens=8)
    again.ask(asking(3), text, max_tokens=7, parameters={"temperature": 1.0})
    assert len(server.asked) == 9


def test_rubbish_is_paid_for_kept_counted_and_not_asked_again(server: ChatServer, tmp_path: Path) -> None:
    wordless = json.loads(completion(""))
    wordless["choices"][0]["message"]["content"] = None
    rubbish = [completion("rubbish"), json.dumps(wordless)]
    server.script = [(200, {}, body) for body in rubbish]
    for _ in range(2):
        found = client(server, tmp_path, concurrency=1).ask(asking(3), text, max_tokens=7)
        assert [each.invalid for each in found] == [True] * 2 + [False]
        assert found[2].value == "re: question 2"
        assert found[0].failure == "the reply is rubbish"
    assert len(server.asked) == 3
    assert [line["reply"] for line in lines(tmp_path) if "reply" in line][:2] == rubbish


@pytest.mark.parametrize(
    ("body", "tokens"),
    [("<html>busy</html>", 146), ("", 146), ('{"choices": []}', 146), ('{"error": {"code": 502}}', 0)],
)
def test_what_is_no_chat_completion_is_a_failed_request_and_is_not_kept(
    server: ChatServer, tmp_path: Path, body: str, tokens: int
) -> None:
    server.script = [(200, {}, body)] * 2
    made = client(server, tmp_path, attempts=2, prices=Prices(1.0, 1.0), on_failure="skip")
    (found,) = made.ask(asking(1), text, max_tokens=100)
    assert (found.value, found.invalid, found.refused, found.may_pass) == (None, False, False, True)
    assert "answers no chat completion but" in found.failure
    assert "given up after 2 tries" in found.failure
    assert not any("reply" in line for line in lines(tmp_path))
    assert made.spent == pytest.approx(2 * tokens / 1000)  # at its most, unless the server says it failed
    assert made.ask(asking(1), text, max_tokens=100)[0].value == "re: question 0"


@pytest.mark.parametrize("status", [501, 520, 522, 524, 529, 599])
def test_every_fault_of_the_server_is_tried_again(server: ChatServer, tmp_path: Path, status: int) -> None:
    server.script = [(status, {}, "busy")]
    assert client(server, tmp_path).ask(asking(1), text, max_tokens=7)[0].value == "re: question 0"
    assert len(server.asked) == 2


def test_rubbish_ends_the_run_if_asked_to(server: ChatServer, tmp_path: Path) -> None:
    server.script = [(200, {}, completion("rubbish"))]
    made = client(server, tmp_path, on_invalid="raise", concurrency=1)
    with pytest.raises(JudgeError, match=r"the reply is rubbish. What was paid for is kept"):
        made.ask(asking(4), text, max_tokens=7)
    assert sum("reply" in line for line in lines(tmp_path)) == len(server.asked)


def test_a_second_reply_is_bought_if_allowed(server: ChatServer, tmp_path: Path) -> None:
    server.script = [(200, {}, completion("rubbish"))]
    found = client(server, tmp_path, replies=2).ask(asking(1), text, max_tokens=7)
    assert found[0].value == "re: question 0"
    assert len(server.asked) == 2
    assert client(server, tmp_path, replies=2).ask(asking(1), text, max_tokens=7) == found
    assert len(server.asked) == 2


def test_passing_failures_are_retried_with_growing_pauses(server: ChatServer, tmp_path: Path) -> None:
    server.script = [(503, {}, "busy"), (429, {"Retry-After": "7"}, "slow down"), (500, {}, "oh")]
    pauses: list[float] = []
    made = client(server, tmp_path, attempts=4, sleep=pauses.append)
    assert made.ask(asking(1), text, max_tokens=7)[0].value == "re: question 0"
    assert 0.5 <= pauses[0] <= 1.0
    assert pauses[1] == 7.0  # as the server asks
    assert 2.0 <= pauses[2] <= 2.5


def test_a_server_that_is_silent_is_given_up_and_counted_at_its_most(
    server: ChatServer, tmp_path: Path
) -> None:
    server.script = [0.6, 0.6]
    prices = Prices(prompt=1.0, completion=1.0)
    made = client(server, tmp_path, attempts=2, timeout=0.2, prices=prices, on_failure="skip")
    found = made.ask(asking(1), text, max_tokens=100)
    assert "gives no whole answer within 0.2 s" in found[0].failure
    assert "given up after 2 tries" in found[0].failure
    assert not found[0].invalid
    # "user" and "question 0" are 14 bytes; 2 x 16 for the format; twice asked.
    assert made.spent == pytest.approx(2 * (14 + 32 + 100) / 1000)
    assert made.ask(asking(1), text, max_tokens=100)[0].value == "re: question 0"


def test_a_server_that_is_not_there_costs_nothing(server: ChatServer, tmp_path: Path) -> None:
    made = client(server, tmp_path, base_url="http://127.0.0.1:9/v1", prices=Prices(prompt=1.0))
    with pytest.raises(
        JudgeError, match=r"127.0.0.1:9/v1 cannot be reached \(ClientConnectorError\); given up"
    ):
        made.ask(asking(1), text, max_tokens=7)
    assert made.spent == 0.0


def test_a_refused_request_ends_the_run_or_is_left_out(server: ChatServer, tmp_path: Path) -> None:
    refusal = (400, {}, '{"error": {"message": "content filter"}}')
    server.script = [(200, {}, completion("first")), refusal]
    with pytest.raises(JudgeError, match=r"answers 400.*content filter.*What was paid for is kept"):
        client(server, tmp_path, concurrency=1).ask(asking(6), text, max_tokens=7)
    before = len(server.asked)
    server.script = [refusal]
    found = client(server, tmp_path, concurrency=1, on_failure="skip").ask(asking(6), text, max_tokens=7)
    assert found[0].value == "first"  # kept from the run that ended
    assert [each.value is None for each in found] == [False, True] + [False] * 4
    assert "content filter" in found[1].failure
    kept = sum("reply" in line for line in lines(tmp_path))
    assert kept == 5
    assert len(server.asked) == 5 + 2  # five paid for once each, one refused twice
    assert before <= 6


def error(message: str, **more: Any) -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", **more}})


UNSUPPORTED = "Unsupported parameter: 'max_tokens' is not supported with this model."
REQUESTED = "This model's maximum context length is 40 tokens. However, you requested 60 tokens."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, error("Insufficient credits")),
        (400, error(UNSUPPORTED, param="max_tokens", code="unsupported_parameter")),
        (400, error("Invalid value for 'temperature': at most 2.", param="temperature")),
        (400, error("Bad value.", param="model", code=None)),
        (422, '{"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"]}]}'),
        (400, error("max_tokens is too large: 100000.", param="max_tokens")),
        (400, error(REQUESTED)),  # of 14 bytes of text and 50000 tokens of reply
        (302, ""),
        (405, "Not Allowed"),
    ],
)
def test_a_status_that_is_about_the_settings_ends_every_run(
    server: ChatServer, tmp_path: Path, status: int, body: str
) -> None:
    server.script = [(status, {}, body)] * 20
    made = client(server, tmp_path, on_failure="skip", concurrency=1)
    with pytest.raises(JudgeError, match=f"answers {status}"):
        made.ask(asking(20), text, max_tokens=50_000, parameters={"temperature": 3})
    assert len(server.asked) <= 2


@pytest.mark.parametrize(
    ("status", "body", "for_its_text"),
    [
        (
            400,
            error("This model's maximum context length is 9 tokens.", code="context_length_exceeded"),
            True,
        ),
        (400, error(REQUESTED), True),
        (422, error("prompt is too long: 300 tokens"), True),
        (413, "<html>Request Entity Too Large</html>", True),
        (400, error("The prompt triggered the content management policy.", code="content_filter"), True),
        (400, error("Your prompt was flagged", code="invalid_prompt"), True),
        (400, error("Bad request"), False),  # says neither
        (400, error("The content filter does not support temperature"), False),  # says both
    ],
)
def test_only_a_refusal_that_names_the_text_is_for_good(
    server: ChatServer, tmp_path: Path, status: int, body: str, for_its_text: bool
) -> None:
    server.script = [(status, {}, body)]
    made = client(server, tmp_path, on_failure="skip", concurrency=1)
    found = made.ask(asking(2), text, max_tokens=7, parameters={"temperature": 0})
    assert (found[0].refused, found[0].invalid, found[0].may_pass) == (for_its_text, False, False)
    assert found[1].value == "re: question 1"
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wrong_settings_end_every_run_at_once(server: ChatServer, tmp_path: Path, status: int) -> None:
    server.script = [(status, {}, "no")] * 20
    with pytest.raises(JudgeError, match=f"answers {status}: no. Mend key, model or address"):
        client(server, tmp_path, on_failure="skip", concurrency=1).ask(asking(20), text, max_tokens=7)
    assert len(server.asked) <= 2


def test_it_stops_before_a_request_that_could_cost_too_much(server: ChatServer, tmp_path: Path) -> None:
    # A request costs at most (14 + 32 + 54) / 1000 = 0.1 and in truth (10 + 5) / 1000 = 0.015.
    settings: dict[str, Any] = {"prices": Prices(prompt=1.0, completion=1.0), "max_cost": 0.14}
    settings |= {"concurrency": 1}
    with pytest.raises(CostStop, match=r"may cost 0.1, 0.045 is spent, and the stop is 0.14"):
        client(server, tmp_path, **settings).ask(asking(9), text, max_tokens=54)
    assert len(server.asked) == 3  # 0.1 <= 0.14, 0.115, 0.13, and then 0.145 > 0.14
    made = client(server, tmp_path, on_failure="skip", **settings)
    found = made.ask(asking(9), text, max_tokens=54)
    assert [each.value is not None for each in found] == [True] * 3 + [False] * 6
    assert "the stop is 0.14" in found[3].failure
    assert len(server.asked) == 3  # what was paid for before is served, and nothing new is asked
    assert made.spent == pytest.approx(0.045)


def test_requests_side_by_side_stop_at_the_same_cost(server: ChatServer, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prices": Prices(prompt=1.0, completion=1.0), "max_cost": 0.14}
    made = client(server, tmp_path, concurrency=4, on_failure="skip", **settings)
    found = made.ask(asking(9), text, max_tokens=54)
    # Whoever finds no room waits for those under way, which cost less than they might have.
    assert sum(each.value is not None for each in found) == len(server.asked) == 3
    assert server.most_at_once == 1
    assert made.spent == pytest.approx(0.045)


def test_a_reply_without_usage_counts_at_its_most(server: ChatServer, tmp_path: Path) -> None:
    body = json.loads(completion("x"))
    del body["usage"]
    server.script = [(200, {}, json.dumps(body))]
    made = client(server, tmp_path, prices=Prices(prompt=1.0, completion=1.0))
    made.ask(asking(1), text, max_tokens=54)
    assert made.spent == pytest.approx(0.1)


UNUSABLE = {
    "half a surrogate": completion("a\ud800b"),
    "too long": completion("x" * (2**20 + 2**12 * 8)),
    "not UTF-8": completion("caf\udce9"),
    "an odd log-probability": completion("x", [{"x": float("nan")}]),
    "a huge log-probability": completion("x", [{"x": 0.5}]).replace("0.5", "9" * 400),
    "no text but an odd refusal": completion("").replace('"content": ""', '"refusal": "no\\ud800\\n"'),
    "a number for a text": completion("").replace('"content": ""', '"content": 7'),
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE)
def test_a_reply_of_no_use_is_one_invalid_outcome_paid_once(
    server: ChatServer, tmp_path: Path, body: str
) -> None:
    server.script = [(200, {}, body)]
    for _ in range(2):
        found = client(server, tmp_path, concurrency=1, prices=Prices(1.0, 1.0)).ask(
            asking(3), text, max_tokens=7
        )
        assert [each.invalid for each in found] == [True, False, False]
        assert found[0].failure.isprintable()
        assert found[0].cost > 0
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "body",
    [
        '{"choices": ' + "[" * 100_000,
        completion("x")[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"choices": [{"message": "x"}]}',
        "9" * 5000,
        "null",
    ],
)
def test_a_nested_or_odd_body_is_tried_again(server: ChatServer, tmp_path: Path, body: str) -> None:
    server.script = [(200, {}, body)]
    assert client(server, tmp_path).ask(asking(1), text, max_tokens=7)[0].value == "re: question 0"


@pytest.mark.parametrize(
    ("status", "billed"), [(500, True), (502, True), (504, True), (520, True), (501, False), (503, False)]
)
def test_a_fault_of_the_server_counts_where_the_work_may_have_been_done(
    server: ChatServer, tmp_path: Path, status: int, billed: bool
) -> None:
    server.script = [(status, {}, "no")]
    made = client(server, tmp_path, prices=Prices(1.0, 1.0))
    made.ask(asking(1), text, max_tokens=54)
    # At its most (14 + 32 + 54) / 1000, and the second try as it was billed, (10 + 5) / 1000.
    assert made.spent == pytest.approx(0.115 if billed else 0.015)
    assert made.unanswered == ((1, pytest.approx(0.1)) if billed else (0, 0))
    assert client(server, tmp_path).unanswered == made.unanswered


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 990}, 1.0),  # over the bound: as the server says
        ({"prompt_tokens": 10**400, "completion_tokens": 5}, 10**9 + 0.005),
        ({"prompt_tokens": -10, "completion_tokens": 5}, 0.1),
        ({"prompt_tokens": float("nan"), "completion_tokens": 5}, 0.1),
        ({"prompt_tokens": float("inf"), "completion_tokens": 5}, 0.1),
        ({"prompt_tokens": "10", "completion_tokens": True}, 0.1),
        ([], 0.1),
        (None, 0.1),
    ],
)
def test_what_the_server_bills_is_what_counts_and_stops(
    server: ChatServer, tmp_path: Path, usage: Any, cost: float
) -> None:
    body = json.dumps({**json.loads(completion("x")), "usage": usage})
    server.script = [(200, {}, body)] * 9
    made = client(server, tmp_path, prices=Prices(1.0, 1.0), max_cost=0.5, on_failure="skip", concurrency=1)
    found = made.ask(asking(9), text, max_tokens=54)
    assert found[0].cost == pytest.approx(cost)
    bought = 1 if cost > 0.5 else 5
    assert [each.value for each in found] == ["x"] * bought + [None] * (9 - bought)
    assert made.spent == pytest.approx(bought * cost)


def test_requests_are_evenly_spaced_and_no_more_at_once_than_wanted(
    server: ChatServer, tmp_path: Path
) -> None:
    pauses: list[float] = []
    spaced = {"requests_per_minute": 1200, "sleep": pauses.append, "clock": lambda: 5.0}
    client(server, tmp_path, concurrency=4, **spaced).ask(asking(8), text, max_tokens=7)
    assert sorted(pauses) == pytest.approx([0.05 * turn for turn in range(1, 8)])  # the first need not wait
    assert server.most_at_once <= 4


def test_requests_run_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    together = threading.Barrier(3, timeout=20)

    def answer(body: dict[str, Any]) -> str:
        together.wait()
        return completion("x")

    with serving(answer) as server:
        client(server, tmp_path, concurrency=3).ask(asking(3), text, max_tokens=7)
        assert server.most_at_once == 3


def test_the_key_is_sent_and_nowhere_else(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    echo = "you sent {key}"
    server.script = [(200, {}, completion("ok " + echo)), (400, {}, echo), (200, {}, echo), (429, {}, echo)]
    made = client(server, tmp_path, key_variable="MY_KEY", concurrency=1, on_failure="skip", attempts=1)
    found = made.ask(asking(4), text, max_tokens=7)
    server.script = [(401, {}, echo)]
    with pytest.raises(JudgeError, match=r"you sent Bearer \*\*\*") as caught:
        made.ask(asking(1, 10), text, max_tokens=7)
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert found[0].value == "ok you sent Bearer ***"
    said = [str(found), repr(made), str(caught.getrepr(style="long", showlocals=False)), caplog.text]
    assert not any(KEY in some for some in said)
    assert KEY not in (tmp_path / FILE).read_text()


def test_the_key_of_openai_goes_to_no_other_server(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    client(server, tmp_path).ask(asking(1), text, max_tokens=7)
    client(server, tmp_path, key_variable="OPENAI_API_KEY").ask(asking(1, 5), text, max_tokens=7)
    assert server.keys == [None, f"Bearer {KEY}"]


def test_settings_are_checked(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(JudgeError, match="set OPENAI_API_KEY in the environment"):
        ChatClient("judge", tmp_path)
    with pytest.raises(JudgeError, match="set MY_KEY"):
        client(server, tmp_path, key_variable="MY_KEY")
    with pytest.raises(ValueError, match="must hold no user, password") as caught:
        client(server, tmp_path, base_url="http://me:hidden@127.0.0.1/v1")
    assert "hidden" not in str(caught.value)
    with pytest.raises(ValueError, match="max_cost needs the prices"):
        client(server, tmp_path, max_cost=1.0)
    with pytest.raises(ValueError, match="on_failure must be"):
        client(server, tmp_path, on_failure="ignore")
    with pytest.raises(ValueError, match="leave out n and stream"):
        client(server, tmp_path).ask(asking(1), text, max_tokens=7, parameters={"n": 2})


def _spend(folder: Path, count: int) -> None:
    ledger = Ledger(folder, max_cost=1.0)
    for number in range(count):
        key = f"{os.getpid()} {number}"
        try:
            ticket = ledger.reserve(key, 0.1)
        except CostStop:
            return
        if ticket is not None:
            ledger.settle(ticket, key, 0.1, reply="x")


def test_the_stop_holds_for_all_processes_together(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    workers = [start.Process(target=_spend, args=(tmp_path, 9)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Ledger(tmp_path).spent == pytest.approx(0.9, abs=0.1001)  # ten times 0.1, up to rounding
    assert sum("asked" in line for line in lines(tmp_path)) in (9, 10)


WAITING = """
import sys
import aiohttp
from edsel_assets.llm.judging.client import ChatClient
print("ready", flush=True)
made = ChatClient("judge", sys.argv[1], base_url=sys.argv[2], timeout=30)
asked = [[{"role": "user", "content": "question 0"}]]
print(made.ask(asked, lambda reply: reply.text, max_tokens=7)[0].value)
"""


def asking_elsewhere(server: ChatServer, folder: Path) -> subprocess.Popen[str]:
    order = [sys.executable, "-c", WAITING, str(folder), server.url]
    return subprocess.Popen(order, stdout=subprocess.PIPE, text=True)


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_processes_with_one_question_pay_once_and_a_dead_one_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    gate = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        assert gate.wait(60)
        return completion("said once")

    with serving(answer) as server:
        killed = asking_elsewhere(server, tmp_path)
        until(lambda: len(server.asked) == 1)
        killed.kill()
        killed.wait()
        both = [asking_elsewhere(server, tmp_path) for _ in "ab"]
        until(lambda: len(server.asked) == 2)  # the reply that the dead one did not get
        assert [process.stdout.readline() for process in both if process.stdout] == ["ready\n"] * 2
        threading.Timer(3.0, gate.set).start()  # time for the other one to ask too, if it did not wait
        assert [process.communicate()[0].strip() for process in both] == ["said once"] * 2
        assert len(server.asked) == 2
    assert list((tmp_path / "asking").iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("flipped", r"line \d is damaged .*restore the file from a backup"),
        ("cut", r"has \d whole lines and had 4.*backup"),
        ("emptied", r"has 0 whole lines and had 4.*backup"),
        ("deleted", r"has 0 whole lines and had 4.*backup"),
    ],
)
def test_replies_that_were_paid_for_and_are_gone_are_refused(tmp_path: Path, damage: str, words: str) -> None:
    ledger = Ledger(tmp_path)
    for key in "ab":
        ledger.settle(str(ledger.reserve(key, 0.3)), key, 0.25, reply="kept")
    file = tmp_path / FILE
    whole = spoil(file, damage)
    with pytest.raises(StoreError, match=words):
        Ledger(tmp_path)
    file.write_bytes(whole)
    assert Ledger(tmp_path).spent == 0.5
    file.write_bytes(whole.replace(b"0.25", b"0.20", 1))
    with pytest.raises(StoreError, match=r"line 2 is damaged \(its check sum is wrong\)"):
        Ledger(tmp_path)


def test_what_was_lost_counts_at_its_most_and_half_a_line_harms_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, max_cost=1.0)
    ledger.settle(str(ledger.reserve("a", 0.3)), "a", 0.2, reply="kept")
    ledger.reserve("b", 0.5)  # its process was killed
    with (tmp_path / FILE).open("a") as file:
        file.write('{"settled": "hal')
    other = Ledger(tmp_path, max_cost=1.0)
    assert other.spent == pytest.approx(0.7)
    with pytest.raises(CostStop, match=r"0.7 is spent"):
        other.reserve("c", 0.4)
    other.settle(str(other.reserve("c", 0.2)), "c", 0.1, reply="more")
    assert ledger.reserve("c", 0.2) is None  # paid for by another meanwhile
    for each in (ledger, Ledger(tmp_path)):
        assert each.spent == pytest.approx(0.8)
        assert (each.reply("a"), each.reply("b"), each.reply("c")) == ("kept", None, "more")
