"""The state of an unfinished finetuning, in one safetensors file: nothing on disk is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from edsel_assets.store.atomic import atomic_path

from . import processes
from .examples import TokenSequence
from .settings import FinetuneSettings

_MOMENTS = ("exp_avg", "exp_avg_sq")


def fingerprint(model: Any, sequences: Sequence[TokenSequence], settings: FinetuneSettings, seed: int) -> str:
    """Names a run: settings, seed, every training token, and the base model by its shape and a sample of
    each weight. A checkpoint of another run is not resumed."""
    digest = hashlib.sha256()
    values = settings.to_dict() | {"checkpoint_steps": None, "seed": seed}
    digest.update(json.dumps(values, sort_keys=True).encode())
    for sequence in sequences:
        digest.update(f"{len(sequence)},{sequence.prompt_length};".encode())
        digest.update(sequence.tokens.tobytes())
    for name, parameter in model.named_parameters():
        sample = parameter.detach().flatten()[:64].float().cpu().numpy()
        digest.update(f"{name}{tuple(parameter.shape)}".encode() + sample.tobytes())
    return digest.hexdigest()


def save_checkpoint(
    path: Path,
    named: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    log: list[dict[str, float]],
    run: str,
) -> None:
    """Weights, AdamW moments and log after ``len(log)`` steps, replaced atomically by the first process."""
    from safetensors.torch import save_file

    first = processes.rank() == 0
    tensors = {}
    for name, parameter in named.items():
        parts = {"weight": parameter.detach()} | {m: optimizer.state[parameter][m] for m in _MOMENTS}
        for kind, part in parts.items():
            whole = processes.full_tensor(part)  # which all processes make, and one keeps
            if first:
                tensors[f"{kind}.{name}"] = whole.to("cpu", copy=True)
    if not first:
        return
    with atomic_path(path) as unfinished:
        save_file(tensors, unfinished, metadata={"run": run, "log": json.dumps(log)})


def load_checkpoint(
    path: Path, named: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer, run: str
) -> list[dict[str, float]]:
    """Restores weights and optimizer from a checkpoint of this run; the log so far, empty without one."""
    from safetensors import safe_open

    if not path.is_file():
        return []
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if metadata["run"] != run:
            return []
        log = json.loads(metadata["log"])
        for name, parameter in named.items():
            with torch.no_grad():
                parameter.copy_(processes.shard_like(file.get_tensor(f"weight.{name}"), parameter))
            state = {m: processes.shard_like(file.get_tensor(f"{m}.{name}"), parameter) for m in _MOMENTS}
            step = torch.tensor(float(len(log)), device=parameter.device)
            optimizer.state[parameter] = {"step": step, **state}
    return log
