"""Language models and their tokenizers, from a directory or by name."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from .adapters import attach_adapter, merge_adapter
from .dtypes import dtype_here
from .weights import ModelError, whole_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


__all__ = ["ModelError", "chosen_device", "load_model", "open_model"]

logger = logging.getLogger(__name__)


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    trust_remote_code: bool = False,
    adapter: str | os.PathLike[str] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model in evaluation mode, and its tokenizer.

    Weights are read from safetensors files only. A token for private models is taken from the
    environment by the hub library. Attention runs through PyTorch's fused kernels where the
    architecture has them.

    Args:
        name_or_path: a directory, or a model's name on the hub.
        revision: branch, tag or commit, for a name on the hub alone.
        dtype: ``auto`` (as the weights are stored; on a CPU what is fast there: see ``models.dtypes``), or a
            floating torch dtype by name, such as ``float32`` or ``bfloat16``.
        device: ``auto`` (the first CUDA device, else the CPU), or a torch device by name.
        device_map: ``balanced`` spreads the layers over all GPUs that the process sees.
        trust_remote_code: run modelling code that comes with the model.
        adapter: directory of a peft adapter. In float32 it is merged into the weights, which is
            exact to rounding and faster; in lower precision, where the rounded sum would lose most of
            a small update, it stays beside them.

    Raises:
        ModelError: anything missing or unusable, named in one line with the remedy.
    """
    name = os.fspath(name_or_path)
    place = chosen_device(device)
    model, tokenizer = open_model(
        AutoModelForCausalLM, name, revision, dtype, place, trust_remote_code, device_map
    )
    if adapter is not None:
        model = _apply_adapter(model, os.fspath(adapter))
    return (model if device_map else model.to(place)).eval(), tokenizer


def open_model(
    kind: Any,
    name: str,
    revision: str | None,
    dtype: str,
    place: torch.device,
    trust_remote_code: bool,
    device_map: str | None = None,
) -> tuple[Any, PreTrainedTokenizerBase]:
    """A model of ``kind``, an auto class of transformers, still on the CPU without a map, and its tokenizer.

    ``place`` is where it will run, by which ``dtype`` auto goes.

    Raises ``ModelError`` for all that is wrong with either.
    """
    _check_source(name, revision)
    if device_map and place.type != "cuda":
        raise ModelError(f"device_map {device_map!r} spreads a model over GPUs; the device is {place}.")
    chosen = dtype_here(dtype, place.type, name, revision)
    source = {"revision": revision, "trust_remote_code": trust_remote_code}
    spread = {"device_map": device_map} if device_map else {}
    try:
        config = AutoConfig.from_pretrained(name, **source)
        tokenizer = _load_tokenizer(name, config, source)
        model = whole_model(kind, name, config=config, dtype=_torch_dtype(chosen), **source, **spread)
    except ModelError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise ModelError(_explain(error, name, revision)) from error
    _check_tokens(name, tokenizer, model.get_input_embeddings().weight.shape[0])
    return model, tokenizer


def _check_tokens(name: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Refuses a tokenizer whose end or template is beyond the embedding; warns of other tokens there.

    Some models have such tokens for what they never read, as Gemma 3 has one for images.
    """
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    if not beyond:
        return
    needed = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token}
    template = str(tokenizer.chat_template or "")
    used = sorted(token for token in beyond if token in needed or token in template)
    if used:
        raise ModelError(
            f"the tokenizer of {name} uses {used[0]!r} as token {beyond[used[0]]}, and the model has "
            f"{rows} rows. Use the model's own tokenizer, or resize_token_embeddings and train."
        )
    logger.warning("%s has no row for %s; a text that holds one is refused.", name, ", ".join(sorted(beyond)))


def _check_source(name: str, revision: str | None) -> None:
    if not name:
        raise ModelError("a model needs a directory or a name on the hub; got an empty string.")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name} holds no config.json; it is not a model in Hugging Face format.")
        if revision is not None:
            raise ModelError(
                f"a revision is for a model on the hub; {name} is a directory. Leave out {revision!r}."
            )
    elif path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no model directory {name}.")


def _load_tokenizer(name: str, config: Any, source: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **source)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        if _hub_error(error) is not None:
            raise
        raise ModelError(
            f"{name} has no usable tokenizer ({_first_line(error)}). "
            "Save one beside the weights with tokenizer.save_pretrained."
        ) from error
    if not len(tokenizer):
        raise ModelError(f"{name} has a tokenizer without a vocabulary. Save one beside the weights.")
    chosen = getattr(config.get_text_config(), "pad_token_id", None)
    if tokenizer.pad_token_id is None and chosen is not None and 0 <= chosen < len(tokenizer):
        tokenizer.pad_token_id = chosen
    if tokenizer.pad_token_id is None:
        # Padding is masked everywhere, so that any token serves; a new one would need an embedding row.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer of {name} has no padding, end or unknown token. Give it a pad_token."
        )
    return tokenizer


def _apply_adapter(model: PreTrainedModel, adapter: str) -> Any:
    if not (Path(adapter) / "adapter_config.json").is_file():
        raise ModelError(f"there is no peft adapter in {adapter}: adapter_config.json is missing.")
    if not (Path(adapter) / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"the adapter in {adapter} has no adapter_model.safetensors; other formats are not read."
        )
    try:
        adapted = attach_adapter(model, Path(adapter))
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"the adapter in {adapter} does not fit the model: {_first_line(error)}") from error
    if next(model.parameters()).dtype == torch.float32 and not adapted.active_peft_config.is_prompt_learning:
        return merge_adapter(adapted)
    return adapted


def _torch_dtype(dtype: str) -> torch.dtype | str:
    if dtype == "auto":
        return dtype
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ModelError(f"dtype must be 'auto', 'float32', 'bfloat16' or 'float16'; got {dtype!r}.")
    return found


def chosen_device(device: str) -> torch.device:
    """``auto`` or a torch device by name; ``ModelError`` where there is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"device must be 'auto', 'cpu' or 'cuda[:N]'; got {device!r}.") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            f"device {device!r} was asked for, but torch sees no CUDA device. Use 'auto' or 'cpu'."
        )
    return found


def _hub_error(error: BaseException | None) -> HfHubHTTPError | LocalEntryNotFoundError | None:
    """The hub's own error behind one that transformers raised."""
    while error is not None:
        if isinstance(error, (HfHubHTTPError, LocalEntryNotFoundError)):
            return error
        error = error.__cause__ or error.__context__
    return None


def _explain(error: BaseException, name: str, revision: str | None) -> str:
    hub = _hub_error(error)
    if isinstance(hub, RevisionNotFoundError):
        return f"{name} has no revision {revision!r} on the hub."
    if isinstance(hub, GatedRepoError):
        return f"{name} is gated on the hub. Ask for access and set HF_TOKEN in the environment."
    if isinstance(hub, RepositoryNotFoundError):
        return f"there is no model directory {name}, and none by that name on the hub that HF_TOKEN can read."
    if isinstance(hub, LocalEntryNotFoundError):
        wanted = f"{name} at revision {revision!r}" if revision else name
        return f"{wanted} is neither a directory nor in the hub's cache, and the hub cannot be reached."
    return f"{name} cannot be loaded: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
