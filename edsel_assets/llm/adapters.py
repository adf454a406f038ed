"""Putting adapters on a shared base model and taking them off again, without a trace on the base."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .finetune_settings import FinetuneSettings

ADAPTER_CONFIG = "adapter_config.json"


@contextmanager
def model_to_train(
    model: Any, settings: FinetuneSettings, seed: int, *, keep_base: bool = True
) -> Iterator[tuple[Any, Any]]:
    """(model whose trainable parameters are the ones to learn, its peft wrapper or None).

    An adapter is put into ``model`` in place, initialised from ``seed``, and taken out in the end; full
    finetuning works on a float32 copy, or on ``model`` itself where nobody needs it after (``keep_base``).
    Otherwise ``model`` ends as it was: weights, flags, configuration.
    """
    if settings.method == "full":
        learner = (copy.deepcopy(model) if keep_base else model).float()
        learner.requires_grad_(True)
        yield learner.train(), None
        return
    with as_it_was(model):
        wrapper = _attach_new(model, settings, seed)
        try:
            yield model.train(), wrapper
        finally:
            wrapper.unload()


def _attach_new(model: Any, settings: FinetuneSettings, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    if settings.method == "qlora" and not getattr(model, "is_loaded_in_4bit", False):
        raise ValueError(
            "method qlora needs a base model loaded in 4 bits, which takes bitsandbytes and a GPU. "
            "Load it with quantization, or set method: lora."
        )
    target = settings.target_modules
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        use_dora=settings.method == "dora",
        target_modules=target if isinstance(target, str) else list(target),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    return get_peft_model(model, config)


@contextmanager
def as_it_was(model: Any) -> Iterator[None]:
    """Restores what training and adapters change on a base model: gradient and mode flags, configuration."""
    if hasattr(model, "peft_config"):
        raise ValueError("the model already carries an adapter; pass the bare base model.")
    learns = {name: p.requires_grad for name, p in model.named_parameters()}
    training = {name: module.training for name, module in model.named_modules()}
    settings = copy.deepcopy(model.config.__dict__)
    attributes = set(model.__dict__)
    checkpointing = _checkpoints_gradients(model)
    try:
        yield
    finally:
        if _checkpoints_gradients(model) and not checkpointing:
            model.gradient_checkpointing_disable()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(learns[name])
            parameter.grad = None
        for name, module in model.named_modules():
            module.training = training[name]
        model.config.__dict__.clear()
        model.config.__dict__.update(settings)
        for name in set(model.__dict__) - attributes:
            delattr(model, name)


def _checkpoints_gradients(model: Any) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


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
    if isinstance(values.get("target_modules"), list):
        values["target_modules"].sort()  # a set in peft, so written in no fixed order
    values["inference_mode"] = True
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def adapted(model: Any, path: str | Path | None, *, merge: bool = False) -> Iterator[Any]:
    """``model`` with what ``finetune`` wrote to ``path``, for the length of the block, in evaluation mode.

    An adapter is put on the shared base and taken off in the end; ``merge`` multiplies it into a copy of
    the base instead, which runs at the base's speed and takes its memory once more. A full checkpoint is
    loaded beside the base, on its device and in its dtype. ``None`` is the base itself.
    """
    if path is None:
        with as_it_was(model):
            yield model.eval()
        return
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"no finetuned model at {folder}; finetune it first.")
    if not (folder / ADAPTER_CONFIG).is_file():
        from transformers import AutoModelForCausalLM

        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype, local_files_only=True)
        yield loaded.to(model.device).eval()
        return
    from peft import PeftModel

    if merge:
        copied = copy.deepcopy(model)
        yield PeftModel.from_pretrained(copied, folder).merge_and_unload().eval()
        return
    with as_it_was(model):
        wrapper = PeftModel.from_pretrained(model, folder)
        try:
            yield wrapper.eval()
        finally:
            wrapper.unload()


@contextmanager
def seeded(model: Any) -> Iterator[None]:
    """Leaves the caller's random states untouched, whatever the block seeds and draws."""
    devices = [model.device] if model.device.type == "cuda" else []
    state = random.getstate()
    with torch.random.fork_rng(devices=devices):
        yield
    random.setstate(state)
