"""Judges: the arithmetic by hand, and the same model behind a server and loaded here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edsel_assets.demo import DEMO, local_path
from edsel_assets.llm import load_model
from edsel_assets.llm.judging.client import ChatClient
from edsel_assets.llm.judging.judges import (
    EndpointJudge,
    label_probability,
    preferences,
    rate_responses,
    rating,
    weighted_win_rate,
)
from edsel_assets.llm.judging.local import LocalJudge, label_tokens, next_token_logprobs
from edsel_assets.llm.judging.prompts import RATING, check_judge_template, fill
from edsel_assets_tests.llm.judging.server import by_model, completion, serving

TEMPLATE = "<|user|>\n{prompt}\n<|assistant|>\n"
SHORT = "${instruction} ${first}: ${first_answer} ${second}: ${second_answer}"
ASKED = ["Name a bird", "What is 2 plus 3?", "Write two words"]
ANSWERS = ["An owl.", "It is 5.", "red"]
REFERENCES = ["A stone.", "6", "red blue"]


@pytest.fixture(scope="module")
def demo() -> tuple[Any, Any]:
    return load_model(local_path(DEMO, "model"), dtype="float32", device="cpu")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Scripted:
    """P(first label) by a function of the prompt; ratings from a list."""

    def __init__(self, probability: Callable[[str], float], replies: Sequence[str | None] = ()) -> None:
        self.probability, self.words = probability, list(replies)

    def label_probabilities(self, prompts: Sequence[str], labels: Any, progress: Any = None) -> np.ndarray:
        return np.array([self.probability(prompt) for prompt in prompts])

    def rating_replies(self, prompts: Sequence[str], progress: Any = None) -> list[str | None]:
        assert len(prompts) == len(self.words)
        return self.words


def test_a_preference_is_the_mean_over_both_orders() -> None:
    # A judge that likes the first place: 0.9 for a good answer there, 0.6 for the other one there.
    judge = Scripted(lambda prompt: 0.9 if prompt.index("good") < prompt.index("bad") else 0.6)
    found = preferences(judge, ["a", "b"], ["good", "bad"], ["bad", "good"])
    np.testing.assert_allclose(found.answer_first, [0.9, 0.6])
    np.testing.assert_allclose(found.reference_first, [0.4, 0.1])
    np.testing.assert_allclose(found.value, [0.65, 0.35])
    rate_found = weighted_win_rate(found)
    assert rate_found.value == pytest.approx(0.5)
    assert rate_found.stderr == pytest.approx(0.15)  # sqrt(2 x 0.15^2 / 1) / sqrt(2)
    assert (rate_found.n, rate_found.invalid) == (2, 0)


def test_exchanging_answers_and_references_gives_the_rest_to_one() -> None:
    judge = Scripted(lambda prompt: (hash(prompt) % 1000) / 1000)
    one = preferences(judge, ASKED, ANSWERS, REFERENCES).value
    other = preferences(judge, ASKED, REFERENCES, ANSWERS).value
    np.testing.assert_allclose(one + other, 1.0)


def test_an_invalid_reply_is_counted_and_its_instruction_left_out() -> None:
    judge = Scripted(lambda prompt: math.nan if prompt.startswith("b m: x") else 0.7)
    found = preferences(judge, ["a", "b"], ["x", "x"], ["y", "y"], template=SHORT)
    assert found.invalid == 1
    np.testing.assert_allclose(found.value, [0.5, math.nan])
    assert weighted_win_rate(found).n == 1
    assert math.isnan(weighted_win_rate(found).stderr)
    nothing = preferences(Scripted(lambda prompt: math.nan), ["a"], ["x"], ["y"])
    with pytest.raises(ValueError, match="2 of 2 replies are invalid"):
        weighted_win_rate(nothing)


def test_the_probability_of_a_label_is_a_softmax_over_the_two() -> None:
    found = label_probability({"m": math.log(0.2), "M": math.log(0.3), "I": math.log(0.5)}, ("m", "M"))
    assert found == pytest.approx(0.4)
    spaces = {"m": math.log(0.1), " m": math.log(0.2), "M\n": math.log(0.1)}
    assert label_probability(spaces, ("m", "M")) == pytest.approx(0.75)
    assert label_probability({"M": -1.0, "x": -2.0}, ("m", "M")) == 0.0
    assert label_probability({"m": -800.0, "M": -801.0}, ("m", "M")) == pytest.approx(1 / (1 + math.exp(-1)))
    with pytest.raises(ValueError, match="begins with neither 'm' nor 'M'"):
        label_probability({"the": -0.1}, ("m", "M"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Good. Rating: [[7]]", 7),
        ("[[10]]", 10),
        ("It says [[3]], yet: Rating: [[ 9 ]]", 9),
        ("Rating: [[11]]", None),
        ("Rating: [[0]]", None),
        ("Rating: [[7.5]]", None),
        ("Rating: [[rating]]", None),
        ("Rating: 7", None),
        ("Rating: [[٣]]", None),
        ("", None),
    ],
)
def test_a_rating_is_a_whole_number_from_1_to_10(text: str, found: int | None) -> None:
    if found is None:
        with pytest.raises(ValueError, match="rating"):
            rating(text)
    else:
        assert rating(text) == found


def test_ratings_are_checked_and_kept() -> None:
    words = ["Fine. Rating: [[8]]", "no idea", None]
    found = rate_responses(Scripted(lambda prompt: 0.5, words), ["a", "b", "c"], ["x", "y", "z"])
    np.testing.assert_array_equal(found.value, [8.0, math.nan, math.nan])
    assert found.value.dtype == np.float64
    assert found.invalid == 2
    assert found.replies == words


def test_the_rating_template_is_the_papers(data: Path) -> None:
    paper = data.parent / "papers" / "yu2024_diversify_and_conquer.txt"
    if not paper.is_file():
        pytest.skip(f"no {paper}")
    assert RATING.split("\n\n")[0] in paper.read_text()
    assert RATING.split("\n\n")[1] in paper.read_text()


def test_fields_are_filled_in_literally() -> None:
    filled = fill("${instruction} / ${response}", instruction="cost ${response} $5 {x}", response="$$")
    assert filled == "cost ${response} $5 {x} / $$"
    with pytest.raises(ValueError, match="must hold each of"):
        check_judge_template("${instruction}", ("instruction", "response"))
    with pytest.raises(ValueError, match="two different words"):
        preferences(Scripted(lambda prompt: 0.5), ["a"], ["b"], ["c"], labels=("A", "A"))


def test_a_server_and_a_local_judge_of_one_model_agree(demo: Any, tmp_path: Path) -> None:
    model, tokenizer = demo
    with serving(by_model(model, tokenizer, TEMPLATE)) as server:
        client = ChatClient("demo", tmp_path, base_url=server.url, concurrency=2)
        over_http = EndpointJudge(client, top_logprobs=len(tokenizer))  # every token, so that both are there
        served = preferences(over_http, ASKED, ANSWERS, REFERENCES, template=SHORT)
        again = preferences(over_http, ASKED, ANSWERS, REFERENCES, template=SHORT)
        assert len(server.asked) == 2 * len(ASKED)
        assert {body["max_tokens"] for body in server.asked} == {1}
        # So few tokens hold neither label: counted, not guessed.
        few = preferences(EndpointJudge(client, top_logprobs=2), ASKED, ANSWERS, REFERENCES, template=SHORT)
        texts = EndpointJudge(client, reply_tokens=6).rating_replies(["Name a bird"])
        said = LocalJudge(model, tokenizer, template=TEMPLATE, reply_tokens=6).rating_replies(["Name a bird"])
    np.testing.assert_array_equal(served.value, again.value)
    local = preferences(
        LocalJudge(model, tokenizer, template=TEMPLATE), ASKED, ANSWERS, REFERENCES, template=SHORT
    )
    np.testing.assert_allclose(served.answer_first, local.answer_first, atol=1e-5)
    np.testing.assert_allclose(served.value, local.value, atol=1e-5)
    assert few.invalid > 0
    assert texts == [None]  # the demo's model rates nothing
    assert said[0]
    assert (
        rate_responses(
            LocalJudge(model, tokenizer, reply_tokens=6), ["a"], ["b"], template="${instruction} ${response}"
        ).invalid
        == 1
    )


def test_a_judge_without_log_probabilities_gives_0_or_1(tmp_path: Path) -> None:
    words = iter(["m", " M.", "M", "neither", "**m**", "mm"])
    with serving(lambda body: completion(next(words))) as server:
        client = ChatClient("judge", tmp_path, base_url=server.url, concurrency=1)
        judge = EndpointJudge(client, logprobs=False)
        found = preferences(judge, ASKED, ANSWERS, REFERENCES)
        assert "logprobs" not in server.asked[0]
        with_logs = EndpointJudge(client, logprobs=True)
        words = iter(["m"])
        assert np.isnan(with_logs.label_probabilities(["a"], ("m", "M"))).all()  # none came
    np.testing.assert_array_equal(found.answer_first, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(found.reference_first, [math.nan, 0.0, math.nan])
    assert found.invalid == 2
    assert weighted_win_rate(found).n == 1


def test_ratings_over_an_endpoint(tmp_path: Path) -> None:
    with serving(
        lambda body: completion(f"Rating: [[{len(body['messages'][0]['content']) % 12}]]")
    ) as server:
        client = ChatClient("judge", tmp_path, base_url=server.url)
        found = rate_responses(EndpointJudge(client), ["a"] * 12, ["x" * n for n in range(12)])
        assert server.asked[0]["temperature"] == 0.0
        assert server.asked[0]["messages"][0]["content"].startswith("Please act as an impartial judge")
    assert found.invalid == 2  # 0 and 11
    assert sorted(found.value[~np.isnan(found.value)]) == [float(n) for n in range(1, 11)]


def test_next_token_log_probabilities_equal_a_plain_loop(demo: Any) -> None:
    model, tokenizer = demo
    texts = [TEMPLATE.replace("{prompt}", asked * n) for n, asked in enumerate(ASKED * 2, start=1)]
    groups = [[20, 21], [5], [80, 48, 7]]
    found = next_token_logprobs(model, tokenizer, texts, groups, batch_tokens=64)
    with torch.inference_mode():
        for text, row in zip(texts, found, strict=True):
            p = torch.softmax(model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1].double(), -1)
            np.testing.assert_allclose(row, [math.log(p[group].sum()) for group in groups], atol=1e-5)


def test_what_a_local_judge_cannot_read_whole_is_invalid(demo: Any) -> None:
    model, tokenizer = demo
    judge = LocalJudge(model, tokenizer)
    found = judge.label_probabilities(["short", "long " * 400], ("m", "M"))
    assert np.isnan(found).tolist() == [False, True]
    short_replies = LocalJudge(model, tokenizer, reply_tokens=6)
    assert short_replies.rating_replies(["long " * 400]) == [None]
    cut = LocalJudge(model, tokenizer, cut=True)
    assert not np.isnan(cut.label_probabilities(["short", "long " * 400], ("m", "M"))).any()
    with pytest.raises(ValueError, match="no chat template"):
        LocalJudge(model, tokenizer, template=None)
    with pytest.raises(ValueError, match="no token 'not one token'"):
        label_tokens(tokenizer, "not one token")
