"""The model that learns: a base with a new adapter or a float32 copy, and how an adapter is saved."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..models.adapters import ADAPTER_CONFIG, restore_state
from .settings import FinetuneSettings


@contextmanager
def model_to_train(
    model: Any, settings: FinetuneSettings, seed: int, *, keep_base: bool = True
) -> Iterator[tuple[Any, Any]]:
    """(model whose trainable parameters are the ones to learn, its peft wrapper or None).

    An adapter is put into ``model`` in place, initialised from ``seed``, and taken out in the end; full
    finetuning works on a float32 copy, or with ``keep_base=False`` on ``model`` itself. Otherwise ``model``
    keeps its weights, flags and configuration.
    """
    if settings.method == "full":
        learner = (copy.deepcopy(model) if keep_base else model).float()
        learner.requires_grad_(True)
        yield learner.train(), None
        return
    with restore_state(model):
        wrapper = _attach_new(model, settings, seed)
        try:
            yield model.train(), wrapper
        finally:
            wrapper.unload()


def _attach_new(model: Any, settings: FinetuneSettings, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    target = settings.target_modules
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        use_dora=settings.method == "dora",
        target_modules=target if isinstance(target, str) else list(target),
        exclude_modules=_unfit(model) if isinstance(target, str) else None,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    try:
        return get_peft_model(model, config)
    except Exception:
        _take_off(model)
        raise


def _unfit(model: Any) -> list[str] | None:
    """Linear layers that take no adapter: routers with a call of their own, and what Mamba's kernels read."""
    code = type(model).__module__
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and type(module).__module__ == code and not _is_plain(module)
    ]
    if "mamba" in code or "falcon_h1" in code:
        found += ["out_proj", "conv1d"]  # peft refuses these
    return sorted(found) or None


@torch.no_grad()
def _is_plain(layer: torch.nn.Linear) -> bool:
    """Whether a layer of the model's own class gives one tensor, as a linear layer does."""
    return isinstance(layer(layer.weight.new_zeros(1, layer.in_features)), torch.Tensor)


def _take_off(model: Any) -> None:
    """Undo an attachment that ended halfway."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.get_base_layer())


def save_adapter(wrapper: Any, folder: Path) -> None:
    """The adapter alone, as peft reads it: weights (safetensors) and configuration, in a fixed order."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(wrapper, save_embedding_layers=False)
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    wrapper.peft_config["default"].save_pretrained(folder)
    path = folder / ADAPTER_CONFIG
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("target_modules", "exclude_modules"):
        if isinstance(values.get(name), list):
            values[name].sort()  # a set in peft, so written in no fixed order
    values["inference_mode"] = True
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def keep_random_state(model: Any) -> Iterator[None]:
    """Gives the caller's random states back after the block, whatever it seeds and draws."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    state = random.getstate()
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        yield
    random.setstate(state)
