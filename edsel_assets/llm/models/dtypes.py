"""The number format that ``auto`` stands for on this machine. Imports no heavy library.

On a GPU it is the format of the stored weights. On a CPU it is what is fast there: bfloat16 where the weights
are stored so and the CPU has instructions for it, else float32. Without such instructions PyTorch multiplies
bfloat16 at a seventh of the rate of float32 or less (AVX2, one core: 9 against 64 billion operations a
second). The format decides what a model says, so a cell's ledger holds it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from edsel_assets.machine import gpu_multiplies_bfloat16, has_gpu, multiplies_bfloat16

_HUB_SECONDS = 10.0


def dtype_here(dtype: str, device: str, name_or_path: str, revision: str | None = None) -> str:
    """``dtype``, or what ``auto`` is for a model on this machine.

    Args:
        dtype: ``auto``, or the name of a floating torch dtype, which stays.
        device: ``auto``, or a torch device by name.
        name_or_path: the model's folder, or its name on the hub.
        revision: of a model on the hub.

    Returns:
        The name of a torch dtype; ``auto`` off the CPU where the model's configuration names none, so that
        its weights decide.
    """
    if dtype != "auto":
        return dtype
    if device != "cpu" and (device != "auto" or has_gpu()):
        return _stored_dtype(name_or_path, revision) or "auto"
    if multiplies_bfloat16() and _stored_dtype(name_or_path, revision) == "bfloat16":
        return "bfloat16"
    return "float32"


def training_dtype_here(dtype: str, device: str) -> str:
    """``dtype`` of the products while training; ``auto`` is bfloat16 on a GPU that has it, else float32.

    Older GPUs emulate bfloat16, at a fraction of their rate in float32.
    """
    if dtype != "auto":
        return dtype
    on_gpu = device.startswith("cuda") or (device == "auto" and has_gpu())
    return "bfloat16" if on_gpu and gpu_multiplies_bfloat16() else "float32"


def _stored_dtype(name_or_path: str, revision: str | None) -> str | None:
    """The dtype in a model's ``config.json``; None where it names none, or where there is no such file."""
    folder = Path(name_or_path).expanduser()
    file = folder / "config.json" if folder.is_dir() else _hub_config(name_or_path, revision)
    try:
        config = {} if file is None else json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None  # loading the model says what is wrong with the file
    found = config.get("dtype", config.get("torch_dtype")) if isinstance(config, dict) else None
    return found.removeprefix("torch.") if isinstance(found, str) else None


@cache
def _hub_config(name: str, revision: str | None) -> Path | None:
    """The configuration of a model of the hub, from its cache or downloaded: one answer per process."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "config.json", revision=revision, etag_timeout=_HUB_SECONDS))
    except Exception:  # as many kinds as there are for a commit: see ``files.model_commit``
        return None
