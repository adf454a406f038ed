"""The perplexity score of a round (Yu et al. 2024, Eq. 7) where ``max_new_tokens`` cut the answers off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from edsel_assets.llm import generate_answers
from edsel_assets.stages.rounds import perplexity_scores
from edsel_assets_tests.llm import tiny

PROMPTS, GOLD = ["abc", "hello there", "a b"], ["yes", "no", "maybe"]


def study(max_new_tokens: int) -> Any:
    return SimpleNamespace(
        model=SimpleNamespace(template="{prompt}"),
        forward=SimpleNamespace(batch_tokens=300, max_prompt_tokens=100),
        rounds=SimpleNamespace(max_new_tokens=max_new_tokens),
    )


def mean_loss(model: Any, prompt: str, answer: str, ended: bool) -> float:
    """log PPL by a plain loop: mean of -log p over the answer's tokens, and the end token where it ended."""
    tokenizer = tiny.tokenizer()
    start = len(tokenizer(prompt)["input_ids"])
    ids = tokenizer(prompt + answer)["input_ids"] + [1] * ended
    with torch.inference_mode():
        log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return float(-np.mean([float(log_p[t - 1, ids[t]]) for t in range(start, len(ids))]))


@pytest.mark.parametrize("cut", [True, False])
def test_the_end_token_is_scored_where_the_answer_ended(cut: bool) -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    settings = {"max_prompt_tokens": 100, "batch_tokens": 300}
    if not cut:  # let each answer's fourth token, or what equals it before, end an answer
        answers = [tiny.plain(model, tokenizer(p)["input_ids"], 4, ends=())["token_id"] for p in PROMPTS]
        model.generation_config.eos_token_id = [1, *{int(answer[-1]) for answer in answers}]
    answers = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=4, **settings)
    assert [answer.ended for answer in answers] == [not cut] * 3
    trained = pa.table({"replicate": [0] * 3, "rank": [0, 1, 2], "prompt": PROMPTS, "response": GOLD})
    found = perplexity_scores(model, tokenizer, study(4), trained)
    # S = log PPL(gold) - log PPL(generated); gold answers always end.
    expected = [
        mean_loss(model, prompt, gold, True) - mean_loss(model, prompt, answer.text, answer.ended)
        for prompt, gold, answer in zip(PROMPTS, GOLD, answers, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
