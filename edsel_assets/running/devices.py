"""What runs where: one line as a run begins, and the GPU of each worker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from edsel_assets.machine import gpu_facts, has_gpu, visible_gpus
from edsel_assets.study import Study

_PARTS = "models, k-means, selection, silhouettes"


def device_line(study: Study) -> str:
    """Which device each part of a study's runs uses on this machine."""
    device = study.model.device
    if device == "cpu" or (device == "auto" and not has_gpu()):
        unused = " There is a GPU that this PyTorch cannot use: see docs/gpu.md." if visible_gpus() else ""
        return f"On the CPU, {os.cpu_count()} cores: {_PARTS}.{unused if device == 'auto' else ''}"
    name = "cuda" if device == "auto" else device
    facts = gpu_facts("name", "memory.free")
    gpus = "; ".join(f"{gpu}, {float(free) / 1024:.0f} GiB free" for gpu, free in facts)
    return f"On {name}{f' ({gpus})' if gpus else ''}: {_PARTS}. On the CPU: demand, programs of HumanEval."


def spread_over(settings: Mapping[str, Any]) -> list[str]:
    """The GPUs that workers of a study are spread over, one each; none where a worker sees them all.

    Args:
        settings: of the study's section ``model``, those that its file gives.
    """
    gpus = visible_gpus() if has_gpu() else []
    spread = settings.get("device", "auto") in ("auto", "cuda") and settings.get("device_map") is None
    return gpus if spread and len(gpus) > 1 else []


def least_used(gpus: Sequence[str], used: Sequence[str | None]) -> str | None:
    """The GPU of a new worker, by those of the workers there are; the first of equals. None without GPUs."""
    return min(gpus, key=list(used).count, default=None)
