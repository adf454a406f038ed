from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from edsel_assets.llm import adapted
from edsel_assets_tests.llm import tiny


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA of the tiny Llama whose update is a thousandth of a weight: bfloat16 has 8 bits."""
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj"], init_lora_weights=False)
    wrapper = get_peft_model(tiny.model("llama"), config)
    with torch.no_grad():
        for name, parameter in wrapper.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.01 * torch.randn_like(parameter))
    wrapper.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def update(folder: Path) -> torch.Tensor:
    """B A of the first layer's q_proj, whose scale alpha / r is 1."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    down, up = (
        tensors[f"base_model.model.model.layers.0.self_attn.q_proj.lora_{side}.weight"] for side in "AB"
    )
    return up.double() @ down.double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_is_merged_in_float32_whatever_the_base(adapter: Path, dtype: torch.dtype) -> None:
    model = tiny.model("llama").to(dtype)
    weight = model.model.layers[0].self_attn.q_proj.weight
    before = weight.clone()
    with adapted(model, adapter, merge=True) as merged:
        found = merged.model.layers[0].self_attn.q_proj.weight
        assert found.dtype == torch.float32
        wanted = before.double() + update(adapter)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-7)
    assert weight.dtype == dtype
    assert torch.equal(weight, before)


def test_the_update_would_be_lost_in_bfloat16(adapter: Path) -> None:
    weight = tiny.model("llama").to(torch.bfloat16).model.layers[0].self_attn.q_proj.weight
    rounded = (weight.float() + update(adapter).float()).bfloat16()
    assert (rounded == weight).float().mean() > 0.5


def test_beside_a_bfloat16_base_the_adapter_stays_in_float32(adapter: Path) -> None:
    model = tiny.model("llama").to(torch.bfloat16)
    with adapted(model, adapter) as beside:
        kinds = {p.dtype for name, p in beside.named_parameters() if "lora_" in name}
        assert kinds == {torch.float32}
    assert not hasattr(model, "peft_config")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="finetune it first"),
        adapted(tiny.model("llama"), tmp_path / "nowhere"),
    ):
        pass


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_on_one_of_two_tied_weights_leaves_the_other(target: str, tmp_path: Path) -> None:
    model = tiny.model("llama", tie_word_embeddings=True)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj", target], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    model = tiny.model("llama", tie_word_embeddings=True)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        plain = model(ids).logits
        with adapted(model, tmp_path / "adapter") as beside:
            expected = beside(input_ids=ids).logits
        with adapted(model, tmp_path / "adapter", merge=True) as merged:
            torch.testing.assert_close(merged(ids).logits, expected, atol=1e-3, rtol=1e-4)
            merged.save_pretrained(tmp_path / "merged")  # as a backend reads it
        stored = type(model).from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(stored(ids).logits, expected, atol=1e-3, rtol=1e-4)
    assert (expected - plain).abs().max() > 0.1
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.tie_word_embeddings
