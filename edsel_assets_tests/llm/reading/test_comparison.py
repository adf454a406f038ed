"""What is found about a model before it is read: tiny models, and one that is made to read otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edsel_assets.llm import ModelError, forward_pool
from edsel_assets.llm.models.split import SplitModel
from edsel_assets.llm.reading import comparison
from edsel_assets.llm.reading.comparison import said_of, way_of
from edsel_assets.llm.reading.way import Way
from edsel_assets_tests.llm import tiny


@pytest.fixture(autouse=True)
def nothing_found_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_FOUND", {})
    monkeypatch.setattr(comparison, "_WITH_PROMPTS", set())


def test_a_usual_model_is_read_as_usual_and_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = way_of(SplitModel(tiny.model("llama")))
    assert (found.said, found.cached, found.branched) == (None, True, True)
    # 3 layers of 2 heads of 8, keys and values, 4 bytes each
    assert found.cache_bytes == 3 * 2 * 8 * 2 * 4
    with_prompts = way_of(SplitModel(tiny.model("llama")), [np.arange(9)])
    monkeypatch.setattr(comparison, "_compare", lambda *given: pytest.fail("compared again"))
    assert way_of(SplitModel(tiny.model("llama"))) is with_prompts
    assert way_of(SplitModel(tiny.model("llama")), [np.arange(20)]) is with_prompts
    assert with_prompts == found


def test_prompts_of_the_pool_show_what_made_up_tokens_do_not(caplog: pytest.LogCaptureFixture) -> None:
    """Two that share a batch meet in a layer, but only where a token stands that made-up texts never hold."""
    model = tiny.model("llama")
    layer, embedding = model.model.layers[1].mlp, model.model.embed_tokens
    usual, holds = layer.forward, []
    embedding.register_forward_hook(lambda _, given, __: holds.append(bool((given[0] == 1).any())))

    def meets(hidden: torch.Tensor) -> torch.Tensor:
        return usual(hidden + 0.1 * hidden.mean(dim=0, keepdim=True) if holds[-1] else hidden)

    layer.forward = meets
    split = SplitModel(model)
    assert way_of(split).longest > 0, "the end token, 1, is none of the made-up ones"
    prompts = [np.array([0, *range(5, 5 + length), 1, 7, 8, 9]) for length in (3, 20, 9)]
    assert way_of(split, prompts).longest == 0
    assert "texts are read one at a time" in caplog.text


def test_few_prompts_of_mixed_lengths_are_compared() -> None:
    split = SplitModel(tiny.model("llama"))
    prompts = [np.arange(length) % 60 for length in (3, 200, 7, 50, 6, 9)]
    assert [len(ids) for ids in comparison._few_of(split, prompts)] == [6, 9, comparison.PROMPT_TOKENS]
    assert [len(ids) for ids in comparison._few_of(split, prompts[2:3])] == [7]
    assert comparison._few_of(split, []) == []


def test_a_model_whose_texts_meet_in_a_batch_is_read_alone(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny.model("llama")
    layer = model.model.layers[1].mlp
    usual = layer.forward
    layer.forward = lambda hidden: usual(hidden + 0.1 * hidden.mean(dim=0, keepdim=True))
    prompts = tiny.prompts(5)
    settings: dict[str, Any] = {"max_new_tokens": 4, "max_prompt_tokens": 99, "batch_tokens": 999}
    records = list(forward_pool(model, tiny.tokenizer(), prompts, **settings))
    assert "texts are read one at a time" in caplog.text
    assert way_of(SplitModel(model)).longest == 0
    for record, prompt in zip(records, prompts, strict=True):
        expected = tiny.plain(model, tiny.tokenizer()(prompt)["input_ids"], 4)
        np.testing.assert_array_equal(record.token_id, expected["token_id"])
        np.testing.assert_allclose(record.logprob, expected["logprob"], atol=1e-3)


def test_a_model_that_counts_positions_itself_is_decoded_by_reading_again() -> None:
    model = tiny.model("llama")
    rotary = model.model.rotary_emb
    usual = rotary.forward
    rotary.forward = lambda x, position_ids: usual(x, torch.arange(x.shape[1])[None])
    prompts = tiny.prompts(5)
    settings: dict[str, Any] = {"max_new_tokens": 4, "max_prompt_tokens": 99, "batch_tokens": 99}
    records = list(forward_pool(model, tiny.tokenizer(), prompts, **settings))
    assert "answers are decoded without a cache" in (said_of(model) or "")
    for record, prompt in zip(records, prompts, strict=True):
        expected = tiny.plain(model, tiny.tokenizer()(prompt)["input_ids"], 4)
        np.testing.assert_array_equal(record.token_id, expected["token_id"])
        np.testing.assert_allclose(record.entropy, expected["entropy"], atol=1e-3)


def test_a_model_that_fails_or_says_nothing_is_refused_in_one_line() -> None:
    model = tiny.model("llama")
    model.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="no finite logits"):
        way_of(SplitModel(model))
    model = tiny.model("llama", max_position_embeddings=4)
    with pytest.raises(ModelError, match="has 4 positions; at least 8"):
        way_of(SplitModel(model))
    model = tiny.model("llama")
    model.model.layers[0].forward = lambda *given, **named: 1 / 0
    with pytest.raises(ModelError, match=r"reads no text by itself \(division by zero\)"):
        SplitModel(model)


def test_a_cache_is_not_kept_over_the_length_at_which_positions_change() -> None:
    found = Way(longest=32)
    assert found.keeps(20, 12)
    assert not found.keeps(20, 13)
    assert found.keeps(33, 9)  # alone, and all of it is above
