"""What depends on the device: the precision of products, deterministic kernels, the rate of its products."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from time import perf_counter
from typing import Any

import torch

from ..models.dtypes import training_dtype_here
from .settings import FinetuneSettings

logger = logging.getLogger(__name__)

_REPEATABLE = {":4096:8", ":16:8"}
"""Workspaces of cuBLAS with which its sums come in one order; importing the package sets the first."""


def precision(device: torch.device, settings: FinetuneSettings) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where the settings want it and the device has it."""
    wanted = training_dtype_here(settings.dtype, device.type) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on a GPU; a warning names an operation that has none. A CPU's always are."""
    if device.type == "cpu":
        yield
        return
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    if workspace not in _REPEATABLE:
        logger.warning(
            "CUBLAS_WORKSPACE_CONFIG is %s, with which two trainings on a GPU may differ; leave it out",
            workspace,
        )
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # a debugging aid that costs a write per tensor
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        memory.fill_uninitialized_memory = filled


@cache
def matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 8192) -> float:
    """Operations per second of a square matrix product on this device, the peak that training is held to."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize(device)
    began = perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize(device)
    return 20 * 2 * size**3 / (perf_counter() - began)


def peak_share(
    model: Any,
    named: dict[str, torch.nn.Parameter],
    log: list[dict[str, float]],
    seconds: float,
    settings: FinetuneSettings,
) -> float | None:
    """Model operations per second over the measured matrix-product rate; None off a GPU.

    Per token 2 P forward, 2 P for gradients of activations, and 2 per weight that learns; embeddings and
    recomputation under gradient checkpointing count nothing.
    """
    if model.device.type != "cuda" or not log:
        return None
    weights = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    learning = sum(p.numel() for p in named.values())
    operations = (4 * weights + 2 * learning) * sum(entry["tokens"] for entry in log)
    with precision(model.device, settings):
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else torch.float32
    return operations / seconds / matmul_rate(model.device, dtype)
