"""A model in bfloat16: what follows from its logits is float32, from float32 products of its head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edsel_assets.demo import DEMO, demo_pool, local_path
from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt, forward_pool, load_model, uncertainty
from edsel_assets.llm.models.split import SplitModel
from edsel_assets_tests.llm import tiny


@pytest.fixture(scope="module")
def demo_prompts() -> list[str]:
    return [
        format_prompt(DEFAULT_TEMPLATE, prompt)
        for prompt in list(dict.fromkeys(row["prompt"] for row in demo_pool()))[:300]
    ]


def records(dtype: str, prompts: list[str]) -> list:
    model, tokenizer = load_model(local_path(DEMO, "model"), dtype=dtype, device="cpu")
    settings = {"max_new_tokens": 12, "max_prompt_tokens": 96, "batch_tokens": 4096}
    return list(forward_pool(model, tokenizer, prompts, **settings))


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values))


def test_the_demo_in_bfloat16_has_no_tie_and_ranks_as_in_float32(demo_prompts) -> None:
    half, exact = (records(dtype, demo_prompts) for dtype in ("bfloat16", "float32"))
    assert not (uncertainty(exact, "min_margin") == 0).any()
    assert not (uncertainty(half, "min_margin") == 0).any()
    for measure in ("mean_entropy", "least_confidence", "mean_margin", "min_margin"):
        pair = (ranks(uncertainty(found, measure)) for found in (half, exact))
        assert np.corrcoef(*pair)[0, 1] > 0.95, measure


def test_the_case_ties_where_the_head_multiplies_in_bfloat16(demo_prompts, monkeypatch) -> None:
    own = lambda split, hidden: split.model.get_output_embeddings()(hidden).float()  # noqa: E731
    monkeypatch.setattr(SplitModel, "logits", own)
    ties = uncertainty(records("bfloat16", demo_prompts), "min_margin") == 0
    assert ties.mean() > 0.2


@pytest.mark.parametrize("family", ["llama", "gemma2", "cohere", "granite", "gpt2"])
def test_logits_are_float32_products_of_the_model_s_own_numbers(family) -> None:
    model = tiny.model(family).to(torch.bfloat16)
    split = SplitModel(model)
    ids = torch.tensor([tiny.tokenizer()("hello world")["input_ids"]])
    with torch.inference_mode():
        hidden = split.hidden(input_ids=ids, use_cache=False)
        found = split.logits(hidden)
        wide = hidden.double() @ model.get_output_embeddings().weight.double().T
    wide = wide * {"cohere": 0.25, "granite": 0.5}.get(family, 1.0)
    wide = torch.tanh(wide / 5) * 5 if family == "gemma2" else wide
    assert hidden.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wide, rtol=1e-5, atol=1e-5)


def test_the_head_is_copied_once_per_pass_and_shared_in_float32(monkeypatch) -> None:
    made = []
    real = SplitModel.__init__
    monkeypatch.setattr(SplitModel, "__init__", lambda split, model: made.append(1) or real(split, model))
    model = tiny.model("llama").to(torch.bfloat16)
    settings = {"max_new_tokens": 2, "max_prompt_tokens": 200, "batch_tokens": 64}
    list(forward_pool(model, tiny.tokenizer(), tiny.prompts(30), window=8, **settings))
    assert len(made) == 1
    assert model.dtype == model.get_output_embeddings().weight.dtype == torch.bfloat16
    exact = tiny.model("llama")
    assert SplitModel(exact)._head is exact.get_output_embeddings()
