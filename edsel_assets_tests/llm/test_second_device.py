"""The pass, likelihoods and answers with the model on another device; what training asks of one."""

import gc
import logging
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from edsel_assets.llm import forward_pool, generate_answers, log_likelihoods
from edsel_assets.llm.reading.way import Way
from edsel_assets.llm.training import checkpoint, processes
from edsel_assets.llm.training.device import deterministic
from edsel_assets.llm.training.loop import _optimizer
from edsel_assets.llm.training.settings import FinetuneSettings
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.second_device import second_device

TEXTS = ["a bad cab", "fade", "a cab had a bead", "be"]
OPTIONS: dict[str, Any] = {"max_new_tokens": 4, "max_prompt_tokens": 40, "batch_tokens": 64}


@pytest.mark.parametrize("family", ["llama", "mistral_window"])
def test_reading_gives_what_the_cpu_gives(family: str) -> None:
    model, tokenizer = tiny.model(family).requires_grad_(False), tiny.tokenizer()
    here = list(forward_pool(model, tokenizer, TEXTS, pooling="mean", **OPTIONS))
    likely = log_likelihoods(model, tokenizer, TEXTS, TEXTS, batch_tokens=64).total
    drawn = generate_answers(model, tokenizer, TEXTS, temperature=1.0, seed=3, **OPTIONS)
    with second_device():
        there = model.to("cuda")
        assert there.device == torch.device("cuda:0")
        found = list(forward_pool(there, tokenizer, TEXTS, pooling="mean", **OPTIONS))
        assert generate_answers(there, tokenizer, TEXTS, temperature=1.0, seed=3, **OPTIONS) == drawn
        scored = log_likelihoods(there, tokenizer, TEXTS, TEXTS, batch_tokens=64).total
    np.testing.assert_allclose(scored, likely, rtol=1e-4)
    for one, other in zip(found, here, strict=True):
        assert one.token_id.tolist() == other.token_id.tolist()
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)
        np.testing.assert_allclose(one.entropy, other.entropy, atol=1e-4)
        assert one.prompt_logprob == pytest.approx(other.prompt_logprob, rel=1e-4)


def test_a_model_whose_layers_lie_on_two_devices_is_read_as_on_one() -> None:
    """As ``device_map`` puts it: hooks move what comes in, and nothing moves what goes out of the layers."""
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    model, tokenizer = tiny.model("llama").requires_grad_(False), tiny.tokenizer()
    here = list(forward_pool(model, tokenizer, TEXTS, **OPTIONS))
    likely = log_likelihoods(model, tokenizer, TEXTS, TEXTS, batch_tokens=64).total
    with second_device():
        body = model.model
        places = {
            "cpu": [body.embed_tokens, body.layers[0], model.lm_head],
            "cuda:0": [*body.layers[1:], body.norm],
        }
        for place, modules in places.items():
            for module in modules:
                add_hook_to_module(module.to(place), AlignDevicesHook(execution_device=place))
        assert {p.device.type for p in model.parameters()} == {"cpu", "cuda"}
        found = list(forward_pool(model, tokenizer, TEXTS, **OPTIONS))
        scored = log_likelihoods(model, tokenizer, TEXTS, TEXTS, batch_tokens=64).total
    np.testing.assert_allclose(scored, likely, rtol=1e-4)
    for one, other in zip(found, here, strict=True):
        assert one.token_id.tolist() == other.token_id.tolist()
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)


@pytest.mark.parametrize(
    ("free", "tokens", "multiple"),
    [
        (80 << 30, 65_536, 1),  # 80 GiB: 81,920 tokens of a 7B's 512 KiB in half of them
        (20 << 30, 20_480, 1),  # not even what is read at once
        (600 << 30, 65_536, 4),
    ],
)
def test_the_first_batch_fits_what_is_free(free: int, tokens: int, multiple: int) -> None:
    assert Way(cache_bytes=512 << 10).fitting(65_536, free) == (tokens, multiple)


def test_a_small_model_decodes_many_rows_where_memory_is_free() -> None:
    assert Way(cache_bytes=1024).fitting(8192, 8 << 30) == (8192, (96 << 20) // (1024 * 8192))
    assert Way(cached=False).fitting(8192, 1) == (8192, 4)


@pytest.mark.parametrize("family", tiny.BYTE_FAMILIES)
def test_under_autocast_attention_gets_one_dtype(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotary positions give float32 queries and keys beside bfloat16 values: autocast makes them one."""
    seen = []
    real = functional.scaled_dot_product_attention

    def attention(query: Any, key: Any, value: Any, *args: Any, **options: Any) -> Any:
        found = real(query, key, value, *args, **options)
        seen.append(found.dtype)
        return found

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
    model = tiny.byte_model(family)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=torch.arange(10)[None])
    assert set(seen) == {torch.bfloat16}
    of_cuda = torch._C._dispatch_has_kernel_for_dispatch_key
    assert of_cuda("aten::scaled_dot_product_attention", "AutocastCUDA")


@pytest.fixture
def trained() -> tuple[dict[str, torch.nn.Parameter], torch.optim.Optimizer]:
    named = {name: torch.nn.Parameter(torch.randn(3, 2)) for name in ("a", "b", "c")}
    optimizer = _optimizer(named, FinetuneSettings())
    for parameter in named.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return named, optimizer


@pytest.mark.parametrize("rank", [0, 1])
def test_one_full_tensor_at_a_time_is_gathered(
    rank: int, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    most = [0]

    def gathered(tensor: torch.Tensor) -> torch.Tensor:
        gc.collect()
        most[0] = max(most[0], sum(ref() is not None for ref in alive))
        whole = tensor.clone()
        alive.append(weakref.ref(whole))
        return whole

    monkeypatch.setattr(processes, "full_tensor", gathered)
    monkeypatch.setattr(processes, "rank", lambda: rank)
    named, optimizer = trained
    checkpoint.save_checkpoint(tmp_path / "state", named, optimizer, [{"step": 1}], "run")
    assert len(alive) == 9
    assert most[0] <= 1  # the one before, still named
    assert (tmp_path / "state").exists() == (rank == 0)
    if rank == 0:
        fresh = {name: torch.nn.Parameter(torch.zeros(3, 2)) for name in named}
        loaded = _optimizer(fresh, FinetuneSettings())
        assert checkpoint.load_checkpoint(tmp_path / "state", fresh, loaded, "run") == [{"step": 1}]
        for name, parameter in named.items():
            assert torch.equal(fresh[name], parameter)
            assert torch.equal(
                loaded.state[fresh[name]]["exp_avg_sq"], optimizer.state[parameter]["exp_avg_sq"]
            )


def test_weights_of_a_full_model_lie_with_the_first_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama")
    assert processes.full_state(model).keys() == dict(model.named_parameters()).keys()
    monkeypatch.setattr(processes, "rank", lambda: 1)
    assert processes.full_state(model) == {}


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    assert not torch.are_deterministic_algorithms_enabled()


def test_training_on_a_gpu_says_where_it_does_not_repeat(workspace: Any, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    for value, warned in ((":4096:8", False), (":16:8", False), (":0:0", True)):
        caplog.clear()
        workspace.setenv("CUBLAS_WORKSPACE_CONFIG", value)
        with deterministic(torch.device("cuda")):
            assert torch.are_deterministic_algorithms_enabled()
        assert ("CUBLAS_WORKSPACE_CONFIG" in caplog.text) == warned
