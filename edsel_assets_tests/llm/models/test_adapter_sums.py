"""The sum of a chain of adapters does what merging them one after another does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edsel_assets.llm import adapted, sum_adapters
from edsel_assets_tests.llm import tiny


def adapter(folder: Path, seed: int, rank: int, **options: Any) -> Path:
    """An adapter with random weights, so that its update is not 0."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wrapper = get_peft_model(tiny.model("llama"), config)
        for name, parameter in wrapper.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    wrapper.save_pretrained(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([[0, 5, 9, 12]])).logits


def test_the_sum_is_the_chain(tmp_path: Path) -> None:
    parts = [adapter(tmp_path / str(n), n, rank, use_rslora=n == 2) for n, rank in enumerate((2, 4, 3))]
    folder = tmp_path / "sum"
    folder.mkdir()
    sum_adapters(parts, folder)
    base = tiny.model("llama")
    chained = base
    for part in parts:
        with adapted(chained, part, merge=True) as merged:
            chained = merged
    for merge in (True, False):
        with adapted(tiny.model("llama"), folder, merge=merge) as summed:
            torch.testing.assert_close(logits(summed), logits(chained), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(base), logits(chained), atol=1e-2)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 9


def test_one_adapter_is_its_own_sum(tmp_path: Path) -> None:
    part = adapter(tmp_path / "a", 1, 2)
    (tmp_path / "sum").mkdir()
    sum_adapters([part], tmp_path / "sum")
    with adapted(tiny.model("llama"), part, merge=True) as one:
        expected = logits(one)
    with adapted(tiny.model("llama"), tmp_path / "sum", merge=True) as summed:
        torch.testing.assert_close(logits(summed), expected)


def test_what_cannot_be_added_is_refused(tmp_path: Path) -> None:
    plain = adapter(tmp_path / "a", 1, 2)
    with pytest.raises(ValueError, match="only plain LoRA adapters"):
        sum_adapters([plain, adapter(tmp_path / "b", 1, 2, use_dora=True)], tmp_path)
    other = adapter(tmp_path / "c", 1, 2, exclude_modules=["q_proj"])
    with pytest.raises(ValueError, match="of different layers"):
        sum_adapters([plain, other], tmp_path)
    with pytest.raises(ValueError, match="empty list"):
        sum_adapters([], tmp_path)
