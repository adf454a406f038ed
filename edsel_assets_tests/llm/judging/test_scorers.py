"""Reward models and Deita's scorers against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edsel_assets.demo import DEMO, local_path
from edsel_assets.llm import ModelError, load_model
from edsel_assets.llm.judging.deita import deita_complexity, deita_quality
from edsel_assets.llm.judging.reward import load_reward_model, reward_scores
from edsel_assets.llm.judging.texts import fitted

PROMPTS = ["Name a bird.", "What is 2 + 3?", "Say nothing.", "Write a long text about a river and a boat."]
RESPONSES = ["An owl.", "5", "", "The river is long. " * 6]
CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.fixture(scope="module")
def demo() -> tuple[Any, Any]:
    return load_model(local_path(DEMO, "model"), dtype="float32", device="cpu")


def reward_model(tokenizer: Any, family: str = "llama", labels: int = 1) -> Any:
    from transformers import AutoModelForSequenceClassification, BertConfig, LlamaConfig

    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_labels": labels}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 96}
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": None}
    config = (LlamaConfig if family == "llama" else BertConfig)(**sizes, **ends)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4.0)
    return made


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_rewards_equal_a_plain_loop(demo: Any, family: str) -> None:
    _, tokenizer = demo
    model = reward_model(tokenizer, family)
    template = "Q: {prompt}\nA: "
    found = reward_scores(model, tokenizer, PROMPTS, RESPONSES, template=template, batch_tokens=128)
    assert found.dtype == np.float64
    assert np.ptp(found) > 1e-3
    with torch.inference_mode():
        for score, prompt, response in zip(found, PROMPTS, RESPONSES, strict=True):
            ids = torch.tensor([tokenizer(f"Q: {prompt}\nA: {response}")["input_ids"]])
            assert score == pytest.approx(float(model(input_ids=ids).logits[0, 0]), abs=1e-4)
    backwards = reward_scores(model, tokenizer, PROMPTS[::-1], RESPONSES[::-1], template=template)
    np.testing.assert_allclose(backwards[::-1], found, atol=1e-4)


def test_a_chat_template_is_used_and_a_pair_without_one(demo: Any) -> None:
    import copy

    _, tokenizer = demo
    model = reward_model(tokenizer)
    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = CHAT
    found = reward_scores(model, chatty, PROMPTS, RESPONSES)
    pairs = reward_scores(model, tokenizer, PROMPTS, RESPONSES)
    end = tokenizer.eos_token
    with torch.inference_mode():
        for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
            text = f"<|user|>{prompt}{end}<|assistant|>{response}{end}"
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert found[row] == pytest.approx(float(model(torch.tensor([ids])).logits[0, 0]), abs=1e-4)
            ids = tokenizer(prompt, response)["input_ids"]
            assert pairs[row] == pytest.approx(float(model(torch.tensor([ids])).logits[0, 0]), abs=1e-4)


def test_too_long_a_text_loses_the_responses_end(demo: Any) -> None:
    _, tokenizer = demo
    model = reward_model(tokenizer)  # 96 positions
    words = "one two three four five six seven " * 20
    found = reward_scores(model, tokenizer, ["Name a bird."], [words], template="{prompt} ")
    encoded = [tokenizer(f"Name a bird. {words[:n]}")["input_ids"] for n in range(len(words))]
    longest = [ids for ids in encoded if len(ids) <= 96][-1]
    assert len(longest) < len(encoded[-1])
    with torch.inference_mode():
        assert found[0] == pytest.approx(float(model(torch.tensor([longest])).logits[0, 0]), abs=1e-4)
    with pytest.raises(ValueError, match="template alone is longer"):
        reward_scores(model, tokenizer, ["a"], ["b"], template="x " * 200 + "{prompt}")


def test_fitted_drops_the_responses_end_then_the_prompts() -> None:
    def lengths(pairs: Any) -> list[int]:
        return [2 + len(prompt) + len(response) for prompt, response in pairs]

    pairs = [("abc", "defgh"), ("abcdefgh", "xy"), ("a", "b")]
    assert fitted(pairs, lengths, 7) == [("abc", "de"), ("abcde", ""), ("a", "b")]
    assert fitted(pairs, lengths, None) == pairs
    assert fitted([("abc", "d")], lengths, 2) == [("", "")]


def test_a_label_is_chosen_by_name(demo: Any) -> None:
    _, tokenizer = demo
    model = reward_model(tokenizer, labels=3)
    model.config.id2label = {0: "helpful", 1: "harmless", 2: "short"}
    found = reward_scores(model, tokenizer, PROMPTS, RESPONSES, label="harmless")
    ids = torch.tensor([tokenizer(PROMPTS[0], RESPONSES[0])["input_ids"]])
    with torch.inference_mode():
        assert found[0] == pytest.approx(float(model(ids).logits[0, 1]), abs=1e-4)
    with pytest.raises(ValueError, match=r"one of .*'harmless'.*; none is named"):
        reward_scores(model, tokenizer, PROMPTS, RESPONSES)
    with pytest.raises(ValueError, match="got 'kind'"):
        reward_scores(model, tokenizer, PROMPTS, RESPONSES, label="kind")
    model.config.pad_token_id = 7
    with pytest.raises(ValueError, match="pad_token_id 7"):
        reward_scores(model, tokenizer, PROMPTS, RESPONSES, label="short")


def test_a_reward_model_is_loaded_and_one_without_a_head_refused(demo: Any, tmp_path: Path) -> None:
    _, tokenizer = demo
    reward_model(tokenizer).save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    model, loaded = load_reward_model(tmp_path / "reward", device="cpu")
    assert not model.training
    expected = reward_scores(reward_model(tokenizer), tokenizer, PROMPTS, RESPONSES)
    np.testing.assert_allclose(reward_scores(model, loaded, PROMPTS, RESPONSES), expected, atol=1e-5)
    with pytest.raises(ModelError, match=r"lacks the weights score.weight, which would be random"):
        load_reward_model(local_path(DEMO, "model"), device="cpu")
    with pytest.raises(ModelError, match="there is no model directory"):
        load_reward_model(tmp_path / "nothing", device="cpu")


def plain_expectation(model: Any, tokenizer: Any, text: str) -> float:
    with torch.inference_mode():
        logits = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1].double()
    p = torch.softmax(logits[[tokenizer.convert_tokens_to_ids(name) for name in "123456"]], -1)
    return float((p * torch.arange(1.0, 7.0)).sum())


def test_deitas_scores_are_expectations_over_the_ratings(demo: Any) -> None:
    model, tokenizer = demo
    prompts, responses = PROMPTS[:3], RESPONSES[:3]
    quality = deita_quality(model, tokenizer, prompts, responses)
    complexity = deita_complexity(model, tokenizer, prompts)
    assert quality.dtype == complexity.dtype == np.float64
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        assert quality[row] == pytest.approx(
            plain_expectation(
                model,
                tokenizer,
                "You are a helpful assistant. Please identify the quality score of the Response "
                f"corresponding to the Question. \n #Question#:\n{prompt}\n#Response#:\n{response} "
                "\n##Quality: ",
            ),
            abs=1e-4,
        )
        assert complexity[row] == pytest.approx(
            plain_expectation(
                model,
                tokenizer,
                "You are a helpful assistant. Please identify the complexity score of the following user "
                f"query. \n##Query: {prompt}  \n##Complexity: ",
            ),
            abs=1e-4,
        )


def test_deitas_long_texts_keep_the_end_of_the_template(demo: Any) -> None:
    model, tokenizer = demo
    words = "one two three " * 200
    found = deita_quality(model, tokenizer, ["Name a bird."], [words])
    texts = [
        "You are a helpful assistant. Please identify the quality score of the Response corresponding to the "
        f"Question. \n #Question#:\nName a bird.\n#Response#:\n{words[:n]} \n##Quality: "
        for n in range(len(words))
    ]
    longest = max(
        (text for text in texts if len(tokenizer(text, verbose=False)["input_ids"]) <= 256), key=len
    )
    assert found[0] == pytest.approx(plain_expectation(model, tokenizer, longest), abs=1e-4)
    with pytest.raises(ValueError, match="got 1 prompts, 2 responses"):
        deita_quality(model, tokenizer, ["a"], ["b", "c"])


def test_a_tokenizer_without_the_ratings_is_refused() -> None:
    from edsel_assets_tests.llm import tiny

    with pytest.raises(ValueError, match="no token '1'"):
        deita_complexity(tiny.model("llama"), tiny.tokenizer(), ["abc"])
