from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from edsel_assets.llm import _attention
from edsel_assets_tests.llm import tiny


@pytest.mark.parametrize("length", [64, 65, 130, 600])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_blocks_of_queries_give_what_the_whole_gives(length, groups, scaling) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, length, 8)
    key, value = (torch.randn(2, 4 // groups, length, 8) for _ in range(2))
    module = SimpleNamespace(is_causal=True, num_key_value_groups=groups)
    found, _ = _attention._forward(module, query, key, value, None, scaling=scaling)
    expected, _ = sdpa_attention_forward(module, query, key, value, None, scaling=scaling)
    assert found.shape == expected.shape == (2, length, 4, 8)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_it_is_used_on_long_prompts_and_taken_off_again(monkeypatch) -> None:
    model, calls = tiny.model("llama"), []
    real = torch.nn.functional.scaled_dot_product_attention

    def counted(query, *arguments, **options):
        calls.append(query.shape[2])
        return real(query, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    ids = torch.randint(0, 60, (1, 150))
    with torch.inference_mode(), _attention.fast_attention(model):
        model(ids)
    assert calls == [64, 64, 22] * 3  # three layers
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(RuntimeError, match="inside"), _attention.fast_attention(model):
        raise RuntimeError("inside")
    assert model.config._attn_implementation == "sdpa"


def test_another_attention_that_the_user_chose_stays() -> None:
    model = tiny.model("llama")
    model.set_attn_implementation("eager")
    with _attention.fast_attention(model):
        assert model.config._attn_implementation == "eager"
