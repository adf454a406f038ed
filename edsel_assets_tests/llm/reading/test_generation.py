from __future__ import annotations

import numpy as np
import pytest
import torch

from edsel_assets.llm import generate, generate_answers
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.llm.tiny import prompts


def run(model, texts, **changes):
    settings = {"max_new_tokens": 8, "max_prompt_tokens": 200, "batch_tokens": 300} | changes
    return generate(model, tiny.tokenizer(), texts, **settings)


def test_greedy_answers_are_those_of_a_plain_loop() -> None:
    model, tokenizer = tiny.model("qwen2"), tiny.tokenizer()
    texts = prompts(8)
    for text, answer in zip(texts, run(model, texts), strict=True):
        ids = tiny.plain(model, tokenizer(text)["input_ids"], 8)["token_id"]
        assert answer == tokenizer.decode(ids[ids != 1], skip_special_tokens=True)


def test_the_end_token_is_not_part_of_the_answer() -> None:
    model, tokenizer = tiny.model("qwen2"), tiny.tokenizer()
    ids = tiny.plain(model, tokenizer("hello")["input_ids"], 8, ends=())["token_id"]
    model.generation_config.eos_token_id = int(ids[3])
    stop = ids.tolist().index(ids[3])
    assert run(model, ["hello"]) == [tokenizer.decode(ids[:stop], skip_special_tokens=True)]


def test_an_answer_says_whether_it_ended_by_itself() -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    ids = tiny.plain(model, tokenizer("hello")["input_ids"], 8, ends=())["token_id"].tolist()
    stop = max(place for place, token in enumerate(ids) if ids.index(token) == place)  # a token's first place
    assert stop > 0
    model.generation_config.eos_token_id = ids[stop]
    settings = {"max_prompt_tokens": 200, "batch_tokens": 300}
    for steps, ended in ((stop, False), (stop + 1, True), (stop + 4, True)):
        (answer,) = generate_answers(model, tokenizer, ["hello"], max_new_tokens=steps, **settings)
        assert answer == (tokenizer.decode(ids[:stop], skip_special_tokens=True), ended)


def test_sampling_depends_on_seed_and_text_alone() -> None:
    model = tiny.model("llama")
    texts = prompts(6)
    first = run(model, texts, temperature=1.5, seed=1)
    assert run(model, texts, temperature=1.5, seed=1) == first
    assert run(model, texts, temperature=1.5, seed=1, batch_tokens=1, window=2) == first
    assert run(model, texts[::-1], temperature=1.5, seed=1)[::-1] == first
    assert run(model, texts, temperature=1.5, seed=2) != first


def test_a_repeated_prompt_is_answered_afresh() -> None:
    answers = run(tiny.model("llama"), ["hello"] * 8, temperature=2.0)
    assert len(set(answers)) > 4


def test_samples_follow_the_tempered_distribution() -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    count, temperature = 3000, 2.0
    logits = model(torch.tensor([tokenizer("ab")["input_ids"]])).logits[0, -1].detach()
    p = torch.softmax(logits / temperature, dim=-1).numpy()
    answers = run(model, ["ab"] * count, max_new_tokens=1, temperature=temperature, batch_tokens=4000)
    for character, token in (("a", tokenizer("a")["input_ids"][1]), (" ", tokenizer(" ")["input_ids"][1])):
        share = sum(answer == character for answer in answers) / count
        assert abs(share - p[token]) < 4 * np.sqrt(p[token] * (1 - p[token]) / count)


def test_mistakes_are_named() -> None:
    model = tiny.model("llama")
    with pytest.raises(ValueError, match="max_new_tokens"):
        run(model, ["a"], max_new_tokens=0)
    for temperature in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            run(model, ["a"], temperature=temperature)
