"""The scores of a round (Yu et al. 2024, Eq. 4 and 7), also where ``max_new_tokens`` cut the answers off."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from edsel_assets.llm import CostStop, generate_answers, load_reward_model, reward_scores
from edsel_assets.stages.scoring.answers import answer_scores
from edsel_assets.store import Home
from edsel_assets.study import JudgeModel, RewardSettings
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.llm.judging.server import completion, serving
from edsel_assets_tests.stages.scoring.models import CHAT, reward_folder

PROMPTS, GOLD = ["abc", "hello there", "a b"], ["yes", "no", "maybe"]
TRAINED = pa.table(
    {
        "replicate": [0] * 3,
        "rank": [0, 1, 2],
        "prompt_id": ["1", "2", "3"],
        "prompt": PROMPTS,
        "response": GOLD,
    }
)


def study(**rounds: Any) -> Any:
    return SimpleNamespace(
        model=SimpleNamespace(template="{prompt}", device="cpu"),
        forward=SimpleNamespace(batch_tokens=300, max_prompt_tokens=100, shard_rows=2),
        rounds=SimpleNamespace(**{"max_new_tokens": 4, "joint": False, **rounds}),
    )


def mean_loss(model: Any, prompt: str, answer: str, ended: bool, joint: bool) -> float:
    """log PPL by a plain loop: mean of -log p over the answer's tokens, and the end token where it ended."""
    tokenizer = tiny.tokenizer()
    start = 1 if joint else len(tokenizer(prompt)["input_ids"])
    ids = tokenizer(prompt + answer)["input_ids"] + [1] * ended
    with torch.inference_mode():
        log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return float(-np.mean([float(log_p[t - 1, ids[t]]) for t in range(start, len(ids))]))


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("cut", [True, False])
def test_the_end_token_is_scored_where_the_answer_ended(tmp_path: Path, cut: bool, joint: bool) -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    settings = {"max_prompt_tokens": 100, "batch_tokens": 300}
    if not cut:  # let each answer's fourth token, or what equals it before, end an answer
        answers = [tiny.plain(model, tokenizer(p)["input_ids"], 4, ends=())["token_id"] for p in PROMPTS]
        model.generation_config.eos_token_id = [1, *{int(answer[-1]) for answer in answers}]
    answers = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=4, **settings)
    assert [answer.ended for answer in answers] == [not cut] * 3
    found = answer_scores("perplexity", model, tokenizer, study(joint=joint), Home.at(tmp_path), TRAINED)
    assert found.cut == 3 * cut
    # S = log PPL(gold) - log PPL(generated); gold answers always end.
    expected = [
        mean_loss(model, prompt, gold, True, joint)
        - mean_loss(model, prompt, answer.text, answer.ended, joint)
        for prompt, gold, answer in zip(PROMPTS, GOLD, answers, strict=True)
    ]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)


def test_by_a_reward_model_it_is_given_minus_generated_and_a_cut_answer_stays_open(tmp_path: Path) -> None:
    folder = reward_folder(tmp_path / "reward", chat_template=CHAT)
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    chosen = study(reward=RewardSettings(model=str(folder)))
    found = answer_scores("reward", model, tokenizer, chosen, Home.at(tmp_path), TRAINED)
    texts = [
        answer.text
        for answer in generate_answers(
            model, tokenizer, PROMPTS, max_new_tokens=4, max_prompt_tokens=100, batch_tokens=300
        )
    ]
    judge, its_tokenizer = load_reward_model(folder, device="cpu")

    def reward(text: str) -> float:
        ids = torch.tensor([its_tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            return float(judge(input_ids=ids).logits[0, 0])

    end = its_tokenizer.eos_token
    for i, (prompt, gold, text) in enumerate(zip(PROMPTS, GOLD, texts, strict=True)):
        said = f"<|user|>{prompt}{end}<|assistant|>"
        assert found.gold[i] == pytest.approx(reward(f"{said}{gold}{end}"), abs=1e-4)
        assert found.generated[i] == pytest.approx(reward(f"{said}{text}"), abs=1e-4)
    np.testing.assert_allclose(found.values, found.gold - found.generated)
    closed = reward_scores(judge, its_tokenizer, PROMPTS, texts)
    assert not np.allclose(found.generated, closed)


def judged(server: Any, **changes: Any) -> Any:
    return study(judge=JudgeModel(model="judge", base_url=server.url, concurrency=1, **changes))


def test_a_judges_ratings_are_kept_and_an_unrated_prompt_has_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ratings = {"yes": 9, "no": 4}

    def answer(body: dict[str, Any]) -> str:
        response = body["messages"][-1]["content"].rpartition("[[Response]] ")[2]
        return completion("hm" if response == "maybe" else f"Rating: [[{ratings.get(response, 2)}]]")

    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    with serving(answer) as server:
        for _ in range(2):
            found = answer_scores("judge", model, tokenizer, judged(server), Home.at(tmp_path), TRAINED)
            assert found.values[:2].tolist() == [7.0, 2.0]
            assert np.isnan(found.values[2])
            assert len(server.asked) == 6  # nothing is asked twice, the reply without a rating neither


def test_over_the_stop_the_run_ends_and_what_was_paid_for_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    prices: dict[str, Any] = {"price_prompt": 1.0, "price_reply": 1.0, "reply_tokens": 100}
    with serving(lambda body: completion("Rating: [[5]]", prompt=400, tokens=100)) as server:
        # A reply costs 0.5, and one under way at most about 1: two are paid for under a stop of 1.8.
        with pytest.raises(CostStop, match=r"the stop is 1.8. Raise the stop; what was paid for is kept"):
            answer_scores(
                "judge", model, tokenizer, judged(server, max_cost=1.8, **prices), Home.at(tmp_path), TRAINED
            )
        paid = len(server.asked)
        assert 0 < paid < 6
        found = answer_scores(
            "judge", model, tokenizer, judged(server, max_cost=9.0, **prices), Home.at(tmp_path), TRAINED
        )
        assert found.values.tolist() == [0.0, 0.0, 0.0]
        assert len(server.asked) == 6
