"""A judge over a server on 127.0.0.1: what it says, and what becomes of rubbish, silence, refusals, cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.llm import CostStop, JudgeError
from edsel_assets.llm.judging.ledger import FILE
from edsel_assets.stages.evaluation.answers import ANSWERS
from edsel_assets.stages.evaluation.judged import Judged, itself, judge_answers
from edsel_assets.stages.evaluation.judges import open_judge
from edsel_assets.store import Home
from edsel_assets.study import JudgeSettings
from edsel_assets_tests.llm.judging.server import ChatServer, completion, serving

COUNT = 4
REFERENCE = "00010|random.s0"


def answers_of(word: str) -> pa.Table:
    columns: dict[str, Any] = {
        "row": range(COUNT),
        "instruction": [f"Instruct {i}" for i in range(COUNT)],
        "answer": [f"{word} {i}" for i in range(COUNT)],
        "ended": [True] * COUNT,
    }
    return pa.table({name: pa.array(columns[name], ANSWERS.field(name).type) for name in ANSWERS.names})


def prefers_mine(body: dict[str, Any]) -> str:
    """Shown first with 0.9, shown second with 0.7: a judge who likes the first place too."""
    text = body["messages"][-1]["content"]
    first = 0.9 if text.index("mine") < text.index("other") else 0.3
    return completion("m", [{"m": math.log(first), "M": math.log(1 - first)}], prompt=1000, tokens=1)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    opened = []

    def start(answer: Callable[[dict[str, Any]], str] = prefers_mine) -> ChatServer:
        context = serving(answer)
        opened.append(context)
        return context.__enter__()

    yield start
    for context in opened:
        context.__exit__(None, None, None)


def judge(server: ChatServer, home: Path, **changes: Any) -> Judged:
    settings = JudgeSettings.model_validate(
        {
            "instructions": "unread",
            "model": "judge",
            "base_url": server.url,
            "concurrency": 1,
            "attempts": 2,
            "timeout": 0.5,
            **changes,
        }
    )
    opened = open_judge(settings, Home.at(home), load=lambda: pytest.fail("no local judge"), batch=64)
    rated = settings.kind == "rating"
    reference, name = (None, None) if rated else (answers_of("other"), REFERENCE)
    return judge_answers(opened, settings, answers_of("mine"), reference, name)


def row(judged: Judged) -> dict[str, Any]:
    (found,) = judged.table.to_pylist()
    return found


def kept(home: Path) -> list[str]:
    """The replies that were paid for and kept."""
    lines = (home / "judge" / FILE).read_text().splitlines()
    return [entry["reply"] for entry in map(json.loads, lines) if entry.get("reply") is not None]


def test_the_weighted_win_rate_is_the_mean_over_both_orders(serve, tmp_path: Path) -> None:
    server = serve()
    found = judge(server, tmp_path, price_prompt=2.0, price_reply=3.0)
    # (0.9 + (1 - 0.3)) / 2 on every instruction.
    assert row(found) | {"stderr": 0} == {
        "metric": "win_rate",
        "value": pytest.approx(0.8),
        "stderr": 0,
        "n": COUNT,
        "invalid": 0,
        "failed": 0,
        "cost": pytest.approx(2 * COUNT * (2.0 + 0.003)),
        "reference": REFERENCE,
    }
    assert row(found)["stderr"] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(found.items["answer_first"], 0.9)
    np.testing.assert_allclose(found.items["reference_first"], 0.7)
    assert len(server.asked) == 2 * COUNT


def test_nothing_is_paid_for_twice_and_the_same_value_comes_out(serve, tmp_path: Path) -> None:
    server = serve()
    prices = {"price_prompt": 2.0, "price_reply": 3.0}
    first, again = judge(server, tmp_path, **prices), judge(server, tmp_path, **prices, max_cost=20.0)
    assert len(server.asked) == 2 * COUNT
    assert again.table.equals(first.table)  # its cost too: of the replies that it rests on
    assert again.items.equals(first.items)
    assert again.spent == pytest.approx(first.spent) == pytest.approx(row(first)["cost"])


def test_ratings_need_no_reference(serve, tmp_path: Path) -> None:
    numbers = iter("3579")
    server = serve(lambda body: completion(f"Well. Rating: [[{next(numbers)}]]"))
    found = judge(server, tmp_path, kind="rating")
    assert (row(found)["metric"], row(found)["value"], row(found)["reference"]) == ("rating", 6.0, None)
    # Squared deviations 9, 1, 1, 9 over 3, and the root of 4.
    assert row(found)["stderr"] == pytest.approx(math.sqrt(20 / 3) / 2)
    assert found.items["reply"].to_pylist()[0] == "Well. Rating: [[3]]"


RUBBISH = (200, {}, completion("neither", [{"neither": -0.1}]))
NO_TEXT = (200, {}, json.dumps({"choices": [{"message": {"content": None, "refusal": "no"}}]}))
REFUSED = (400, {}, '{"error": {"message": "not for me"}}')


@pytest.mark.parametrize("reply", [RUBBISH, NO_TEXT])
def test_rubbish_is_counted_and_left_out_with_its_instruction(serve, tmp_path: Path, reply: Any) -> None:
    server = serve()
    server.script = [reply]  # to the first instruction, shown first
    found = judge(server, tmp_path)
    assert (row(found)["n"], row(found)["invalid"], row(found)["failed"]) == (COUNT - 1, 1, 0)
    assert row(found)["value"] == pytest.approx(0.8)
    assert found.items["value"].to_pylist()[0] is None
    assert found.items["reference_first"].to_pylist()[0] == pytest.approx(0.7)
    assert found.why


@pytest.mark.parametrize("reply", [RUBBISH, NO_TEXT])
def test_rubbish_ends_the_run_where_the_study_says_so_and_what_was_paid_is_kept(
    serve, tmp_path: Path, reply: Any
) -> None:
    server = serve()
    server.script = [(200, {}, prefers_mine({"messages": [{"content": "mine other"}]})), reply]
    with pytest.raises(JudgeError, match="What was paid for is kept"):
        judge(server, tmp_path, on_invalid="stop")
    before = len(server.asked)
    assert 2 <= len(kept(tmp_path)) <= before < 2 * COUNT
    found = judge(server, tmp_path)  # goes on with what is there, the rubbish too
    assert len(server.asked) == 2 * COUNT
    assert row(found)["n"] == COUNT - 1


def test_a_refusal_is_left_out_or_ends_the_run_and_what_was_paid_is_kept(serve, tmp_path: Path) -> None:
    failure = [REFUSED]
    good = (200, {}, prefers_mine({"messages": [{"content": "mine other"}]}))
    server = serve()
    server.script = [good, *failure]
    with pytest.raises(JudgeError, match="What was paid for is kept"):
        judge(server, tmp_path)  # on_error: stop is the default
    assert len(kept(tmp_path)) >= 1
    server.script = list(failure)  # the second instruction fails again
    found = judge(server, tmp_path, on_error="leave_out")
    assert (row(found)["n"], row(found)["invalid"], row(found)["failed"]) == (COUNT - 1, 0, 1)
    assert found.items["value"].to_pylist()[1] is None
    later = judge(server, tmp_path)  # the server is well again: only what failed is asked for
    assert row(later)["n"] == COUNT


def test_the_cost_stop_ends_the_run_before_the_request_that_could_pass_it(serve, tmp_path: Path) -> None:
    server = serve()
    money = {"price_prompt": 1.0, "price_reply": 1.0}
    with pytest.raises(CostStop, match="the stop is 3"):
        judge(server, tmp_path, **money, max_cost=3.0)
    paid = len(kept(tmp_path))
    assert 1 <= paid < 2 * COUNT
    assert len(server.asked) == paid
    found = judge(server, tmp_path, **money, max_cost=100.0)
    assert len(server.asked) == 2 * COUNT
    assert row(found)["n"] == COUNT


SILENT = [1.0, 1.0]
BUSY = [(503, {"retry-after": "0"}, "busy")] * 2
PROXY = [(200, {"retry-after": "0"}, "<html>a proxy speaks</html>")] * 2


@pytest.mark.parametrize("failure", [SILENT, BUSY, PROXY], ids=["silent", "busy", "a proxy"])
def test_an_outage_gives_no_value_that_would_stand_but_all_others_are_asked_first(
    serve, tmp_path: Path, failure: list[Any]
) -> None:
    server = serve()
    server.script = list(failure)
    with pytest.raises(JudgeError, match=r"1 of 8 requests have no reply yet.*All replies.*are kept.*again"):
        judge(server, tmp_path, on_error="leave_out")
    assert len(kept(tmp_path)) == 2 * COUNT - 1
    assert row(judge(server, tmp_path, on_error="leave_out"))["n"] == COUNT


def test_over_the_stop_no_value_is_made_of_what_got_through_and_a_higher_stop_makes_it(
    serve, tmp_path: Path
) -> None:
    server = serve()
    money = {"price_prompt": 1.0, "price_reply": 1.0, "on_error": "leave_out"}
    with pytest.raises(JudgeError, match=r"requests have no reply yet.*the stop is 6\.2.*Raise max_cost"):
        judge(server, tmp_path, **money, max_cost=6.2)
    # Six thousand tokens of prompts at most: the first orders of all four, then some of the second.
    assert COUNT < len(kept(tmp_path)) < 2 * COUNT
    found = judge(server, tmp_path, **money, max_cost=100.0)
    assert (row(found)["n"], row(found)["failed"]) == (COUNT, 0)
    assert len(server.asked) == 2 * COUNT


def test_a_judge_that_says_nothing_of_use_is_an_error_with_the_reason(serve, tmp_path: Path) -> None:
    server = serve(lambda body: completion("neither", [{"neither": -0.1}]))
    with pytest.raises(ValueError, match=r"no instruction has a valid reply.*neither 'm' nor 'M'"):
        judge(server, tmp_path)
    assert len(kept(tmp_path)) == 2 * COUNT


def test_the_reference_itself_is_a_draw_that_nobody_is_asked_about() -> None:
    found = itself(answers_of("mine"), REFERENCE)
    assert (row(found)["value"], row(found)["n"], row(found)["cost"]) == (0.5, COUNT, 0.0)


def test_answers_to_other_instructions_are_not_compared(serve, tmp_path: Path) -> None:
    settings = JudgeSettings(instructions="unread", model="judge", base_url=serve().url)
    opened = open_judge(settings, Home.at(tmp_path), load=lambda: (None, None), batch=64)
    with pytest.raises(ValueError, match="has answered other instructions"):
        judge_answers(opened, settings, answers_of("mine"), answers_of("other").slice(1), REFERENCE)
