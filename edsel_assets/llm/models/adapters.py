"""What ``finetune`` wrote, put on a shared base model and taken off again without a trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .weights import check_keys, whole_model

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

        loaded = whole_model(AutoModelForCausalLM, folder, dtype=model.dtype, local_files_only=True)
        yield loaded.to(model.device).eval()
        return
    if merge:
        yield merge_adapter(attach_adapter(copy.deepcopy(model).float(), folder)).eval()
        return
    with restore_state(model):
        wrapper = attach_adapter(model, folder)
        try:
            yield wrapper.eval()
        finally:
            wrapper.unload()


def attach_adapter(model: Any, folder: Path) -> Any:
    """``model`` with the adapter at ``folder`` beside its weights, as a peft model.

    Raises ``ModelError`` for an adapter that lacks weights, or holds some that ``model`` has no place for.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    wrapper = PeftModel.from_pretrained(model, folder)
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        held = set(file.keys())
    wanted = set(get_peft_model_state_dict(wrapper, save_embedding_layers=False))
    check_keys(f"the adapter in {folder}", wanted - held, held - wanted - set(wrapper.state_dict()))
    return wrapper


def merge_adapter(wrapper: Any) -> Any:
    """The model of ``wrapper`` with the adapter added to its weights.

    Where embedding and head share one weight and the adapter is on either, the head gets a copy first: in
    training the adapter changes the one, and never the other.
    """
    import torch

    model = wrapper.get_base_model()
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    first, last = (getattr(end, "base_layer", end) for end in ends)
    if [first, last] != ends and first.weight is last.weight:
        last.weight = torch.nn.Parameter(first.weight.detach().clone())
        model.config.tie_word_embeddings = False
    return wrapper.merge_and_unload(safe_merge=True)


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
