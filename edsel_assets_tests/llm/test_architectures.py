"""Every architecture is read, trained, merged and scored as transformers does it, one text at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance

from edsel_assets.llm import Example, FinetuneSettings, adapted, finetune, forward_pool, log_likelihoods
from edsel_assets.llm.models.tokens import encode, end_tokens
from edsel_assets.llm.reading.comparison import said_of
from edsel_assets.llm.scoring.lm_eval_model import EngineLM
from edsel_assets_tests.llm.architectures import ARCHITECTURES, architecture, tokenizer

PROMPTS = ["Name a fish.", "Sort these numbers from small to large: 9, 4, 7, 1. Then say which is even."]
PROMPTS += ["Write a note of thanks to a late guest.", "a " * 45]
RESPONSES = [" A pike.", " 1, 4, 7, 9", " See you soon, take your time.", " b"]
SETTINGS: dict[str, Any] = {"rank": 4, "alpha": 8, "dropout": 0.0, "epochs": 2, "batch_size": 4, "warmup": 0}
NO_CACHE = {
    "bamba", "bart", "blenderbot", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "lfm2",
    "lfm2_moe", "mamba", "mamba2", "marian", "mbart", "minimax", "pegasus", "plbart", "qwen3_next",
}  # fmt: skip
"""Of which answers are decoded without a cache."""
REFUSED = {"recurrent_gemma": "does more to its logits"}
KINDS = ("gpt_oss", "lfm2", "mpt", "pegasus", "phi3_longrope")
"""Sinks and windows; convolutions; ALiBi; positions counted by the cache; positions by the longest text."""
DEFAULT = [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]


def log_probabilities(model: Any, ids: list[int]) -> torch.Tensor:
    """(T, V) by the model's own call, with all that it does by default."""
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].float().log_softmax(-1)


def total(model: Any, ids: list[int], start: int) -> float:
    log_p = log_probabilities(model, ids)
    return sum(float(log_p[place - 1, ids[place]]) for place in range(start, len(ids)))


def pairs() -> list[tuple[list[int], int]]:
    """Tokens of each prompt with its response and end, and where the response starts."""
    heads = [row.tolist() for row in encode(tokenizer(), PROMPTS)]
    texts = [prompt + response for prompt, response in zip(PROMPTS, RESPONSES, strict=True)]
    full = [row.tolist() for row in encode(tokenizer(), texts)]
    assert all(row[: len(head)] == head for head, row in zip(heads, full, strict=True))
    return [([*row, tokenizer().eos_token_id], len(head)) for head, row in zip(heads, full, strict=True)]


def assert_the_pass_is_plain(model: Any) -> None:
    options = {"max_new_tokens": 5, "max_prompt_tokens": 120, "batch_tokens": 512}
    ends = end_tokens(model, tokenizer())
    records = forward_pool(model, tokenizer(), PROMPTS, **options)
    for record, row in zip(records, encode(tokenizer(), PROMPTS), strict=True):
        ids = row.tolist()
        assert record.prompt_logprob == pytest.approx(total(model, ids, 1), abs=1e-2, rel=1e-4)
        for place, token in enumerate(record.token_id):
            log_p = log_probabilities(model, ids)[-1]
            assert float(log_p[token]) == pytest.approx(float(log_p.max()), abs=1e-3)  # greedy
            assert record.logprob[place] == pytest.approx(float(log_p[token]), abs=1e-3)
            entropy = -float((log_p.exp() * log_p).sum())
            assert record.entropy[place] == pytest.approx(entropy, abs=1e-3)
            ids.append(int(token))
        assert len(record.token_id) == 5 or int(record.token_id[-1]) in ends


def assert_scores_are_plain(model: Any) -> None:
    plain = [total(model, ids, start) for ids, start in pairs()]
    found = log_likelihoods(model, tokenizer(), PROMPTS, RESPONSES, batch_tokens=512, max_tokens=200).total
    np.testing.assert_allclose(found, plain, atol=1e-2, rtol=1e-4)
    asked = [(PROMPTS[1], choice) for choice in (" 1, 4", " 9, 4, 7", " even")] + [(PROMPTS[0], " A pike.")]
    requests = [Instance("loglikelihood", {}, arguments, 0) for arguments in asked]
    scored = EngineLM(model, tokenizer(), batch_tokens=512).loglikelihood(requests)
    for (context, text), (value, _) in zip(asked, scored, strict=True):
        ids, head = tokenizer()(context + text)["input_ids"], tokenizer()(context)["input_ids"]
        log_p = log_probabilities(model, ids[:-1])  # the last token is scored, and not read
        plain_value = sum(float(log_p[place - 1, ids[place]]) for place in range(len(head), len(ids)))
        assert value == pytest.approx(plain_value, abs=1e-2, rel=1e-4)


def assert_training_is_plain(model: Any, folder: Path) -> None:
    examples = [Example(prompt, response) for prompt, response in zip(PROMPTS, RESPONSES, strict=True)]
    sums = [total(model, ids, start) for ids, start in pairs()]
    plain = -sum(sums) / sum(len(ids) - start for ids, start in pairs())
    losses = []
    for tokens in (1, 512):
        settings = FinetuneSettings(**SETTINGS, learning_rate=5e-3, micro_batch_tokens=tokens)
        done = finetune(model, tokenizer(), examples, settings, seed=0, output_dir=folder / str(tokens))
        losses.append([entry["loss"] for entry in done.log])
    assert losses[0][0] == pytest.approx(plain, rel=1e-4)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][1] < losses[0][0]
    scores = []
    for merge in (False, True):
        with adapted(model, folder / "512", merge=merge) as trained:
            scores.append(
                log_likelihoods(
                    trained, tokenizer(), PROMPTS, RESPONSES, batch_tokens=512, max_tokens=200
                ).total
            )
    np.testing.assert_allclose(scores[0], scores[1], atol=2e-2, rtol=1e-4)
    assert abs(scores[0] - sums).max() > 1e-2


@pytest.mark.parametrize("name", DEFAULT)
def test_an_architecture_is_read_the_usual_way_or_refused(name: str, tmp_path: Path) -> None:
    model = architecture(name)
    if name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name]) as caught:
            assert_the_pass_is_plain(model)
        assert "\n" not in str(caught.value)
        return
    assert_the_pass_is_plain(model)
    assert ("without a cache" in (said_of(model) or "")) == (name in NO_CACHE)
    assert_scores_are_plain(model)
    assert_training_is_plain(model, tmp_path)
