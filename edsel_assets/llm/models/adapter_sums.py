"""Several LoRA adapters, each trained on what those before it made of the base, as one adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .adapters import ADAPTER_CONFIG

_WEIGHTS = "adapter_model.safetensors"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def sum_adapters(paths: Sequence[str | Path], folder: str | Path) -> None:
    """Write the sum of the LoRA adapters at ``paths`` into the existing ``folder``.

    An adapter adds (alpha / r) B A to a weight. The sum of several is one of rank sum r: their A one below
    the other, and (alpha / r) B side by side, with alpha = r. It is exact but for rounding, and needs no
    weight of the base.

    Raises:
        ValueError: for none, or for adapters that are not plain LoRA of the same layers, such as DoRA's.
    """
    import torch
    from safetensors.torch import load_file, save_file

    if not paths:
        raise ValueError("no adapters to add up; got an empty list.")
    configs = [json.loads((Path(path) / ADAPTER_CONFIG).read_text(encoding="utf-8")) for path in paths]
    states = [load_file(Path(path) / _WEIGHTS) for path in paths]
    _check(configs, states)
    scales = [_scale(config) for config in configs]
    summed: dict[str, torch.Tensor] = {}
    for name in sorted(states[0]):
        parts = [state[name].float() for state in states]
        if name.endswith(_DOWN):
            summed[name] = torch.cat(parts, dim=0).contiguous()  # (sum r, in)
        else:
            scaled = [scale * part for scale, part in zip(scales, parts, strict=True)]
            summed[name] = torch.cat(scaled, dim=1).contiguous()  # (out, sum r)
    rank = sum(config["r"] for config in configs)
    merged = {**configs[-1], "r": rank, "lora_alpha": rank, "use_rslora": False}
    save_file(summed, Path(folder) / _WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(merged, indent=2, sort_keys=True) + "\n"
    (Path(folder) / ADAPTER_CONFIG).write_text(text, encoding="utf-8")


def _scale(config: dict[str, Any]) -> float:
    rank = config["r"]
    return config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)


def _check(configs: Sequence[dict[str, Any]], states: Sequence[dict[str, Any]]) -> None:
    for config in configs:
        odd = [name for name in ("use_dora", "rank_pattern", "alpha_pattern") if config.get(name)]
        if config["peft_type"] != "LORA" or odd:
            raise ValueError(
                f"only plain LoRA adapters can be added up; one is {config['peft_type']} with "
                f"{', '.join(odd) or 'no switches'}. Train with method lora."
            )
    names = set(states[0])
    if any(set(state) != names for state in states[1:]):
        raise ValueError("the adapters are of different layers; train them with the same target_modules.")
    other = sorted(name for name in names if not name.endswith((_DOWN, _UP)))
    if other:
        raise ValueError(f"an adapter holds {other[0]}, which is no part of plain LoRA.")
