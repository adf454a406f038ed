from __future__ import annotations

import numpy as np
import pytest
import torch

from edsel_assets.llm import log_likelihoods, perplexity, score
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.llm.tiny import prompts


def by_hand(model, prompt: str, response: str) -> list[float]:
    """log p of each response token and the end token, one sequence at a time."""
    tokenizer = tiny.tokenizer()
    start = len(tokenizer(prompt)["input_ids"])
    ids = [*tokenizer(prompt + response)["input_ids"], 1]
    with torch.inference_mode():
        log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return [float(log_p[t - 1, ids[t]]) for t in range(start, len(ids))]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral_window"])
def test_only_the_response_counts_whatever_the_batches(family) -> None:
    model = tiny.model(family)
    texts, answers = prompts(7), prompts(7, seed=1)
    expected = [by_hand(model, *pair) for pair in zip(texts, answers, strict=True)]
    for batch_tokens in (1, 200, 10_000):
        found = log_likelihoods(model, tiny.tokenizer(), texts, answers, batch_tokens=batch_tokens)
        np.testing.assert_allclose(found.total, [sum(row) for row in expected], rtol=1e-5)
        assert found.tokens.tolist() == [len(row) for row in expected]
        assert not found.truncated.any()
    wanted = [np.exp(-np.mean(row)) for row in expected]
    np.testing.assert_allclose(
        perplexity(model, tiny.tokenizer(), texts, answers, batch_tokens=200), wanted, rtol=1e-4
    )


def test_score_is_the_negative_log_perplexity() -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    found = perplexity(model, tokenizer, ["ab"], ["cd"], batch_tokens=99)
    assert score(model, tokenizer, "ab", "cd") == pytest.approx(-np.log(found[0]), rel=1e-6)


def test_a_response_that_was_cut_has_no_end_token() -> None:
    model = tiny.model("llama")
    texts, answers = prompts(3), ["abc def", "hello", ""]
    expected = [by_hand(model, *pair) for pair in zip(texts, answers, strict=True)]
    found = log_likelihoods(
        model, tiny.tokenizer(), texts, answers, ended=[False, True, False], batch_tokens=200
    )
    # The third is empty: without its end token it would have nothing to score.
    wanted = [sum(expected[0][:-1]), sum(expected[1]), sum(expected[2])]
    np.testing.assert_allclose(found.total, wanted, rtol=1e-5)
    assert found.tokens.tolist() == [7, 6, 1]
    scored = perplexity(model, tiny.tokenizer(), texts[:1], answers[:1], ended=[False], batch_tokens=200)
    assert scored[0] == pytest.approx(np.exp(-np.mean(expected[0][:-1])), rel=1e-5)


def test_an_empty_response_is_its_end_token() -> None:
    model = tiny.model("llama")
    found = log_likelihoods(model, tiny.tokenizer(), ["abc"], [""], batch_tokens=99)
    assert found.tokens.tolist() == [1]
    assert found.total[0] == pytest.approx(by_hand(model, "abc", "")[0], rel=1e-5)


def test_too_long_a_pair_loses_the_prompts_left_end_first() -> None:
    model = tiny.model("llama")
    prompt, response = "abcdefghij" * 3, "klmno"
    found = log_likelihoods(model, tiny.tokenizer(), [prompt], [response], max_tokens=12, batch_tokens=99)
    # Twelve tokens: the start token, five of the prompt, five of the response, the end token.
    assert found.total[0] == pytest.approx(sum(by_hand(model, prompt[-5:], response)), rel=1e-5)
    assert found.truncated.tolist() == [True]
    # A response longer than that alone is cut on the right, behind the prompt's last token.
    found = log_likelihoods(model, tiny.tokenizer(), ["ab"], ["c" * 30], max_tokens=6, batch_tokens=99)
    assert found.tokens.tolist() == [4]
    whole = by_hand(model, "b", "c" * 30)
    assert found.total[0] == pytest.approx(sum(whole[:4]), rel=1e-5)


def test_mistakes_are_named() -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    with pytest.raises(ValueError, match="2 prompts, 1 responses"):
        log_likelihoods(model, tokenizer, ["a", "b"], ["c"], batch_tokens=9)
    with pytest.raises(ValueError, match="got 2 for 1"):
        log_likelihoods(model, tokenizer, ["a"], ["c"], ended=[True, False], batch_tokens=9)
    with pytest.raises(ValueError, match="at least 2"):
        log_likelihoods(model, tokenizer, ["a"], ["c"], max_tokens=1, batch_tokens=9)
    with pytest.raises(ValueError, match="pass max_tokens"):
        log_likelihoods(tiny.model("bloom"), tokenizer, ["a"], ["c"], batch_tokens=9)
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="end token"):
        log_likelihoods(model, tokenizer, ["a"], ["c"], batch_tokens=9)


def test_nothing_in_nothing_out() -> None:
    found = log_likelihoods(tiny.model("llama"), tiny.tokenizer(), [], [], batch_tokens=9)
    assert found.total.shape == found.tokens.shape == (0,)
