"""What ``finetune`` wrote, put on a shared base model and taken off again without a trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ADAPTER_CONFIG = "adapter_config.json"


@contextmanager
def adapted(model: Any, path: str | Path | None, *, merge: bool = False) -> Iterator[Any]:
    """``model`` with what ``finetune`` wrote to ``path``, for the length of the block, in evaluation mode.

    An adapter is put on the shared base and taken off in the end. With ``merge`` it is added to the weights
    of a float32 copy of the base instead, which has no second product per layer: the copy takes 4 bytes
    per weight, and stays in float32, since rounding the sum to a lower precision would lose most of a
    small update. A full checkpoint is loaded beside the base, on its device and in its dtype. ``None`` is
    the base itself.

    Raises:
        FileNotFoundError: there is no folder at ``path``.
        ValueError: ``model`` already carries an adapter.
    """
    if path is None:
        with restore_state(model):
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
        copied = copy.deepcopy(model).float()
        yield PeftModel.from_pretrained(copied, folder).merge_and_unload().eval()
        return
    with restore_state(model):
        wrapper = PeftModel.from_pretrained(model, folder)
        try:
            yield wrapper.eval()
        finally:
            wrapper.unload()


@contextmanager
def restore_state(model: Any) -> Iterator[None]:
    """Restores what training and adapters change on a base model: gradient and mode flags, configuration.

    Raises ``ValueError`` for a model that carries an adapter already.
    """
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
