"""Training on several processes of one machine: who does what, and how their tensors come together.

Every function also serves a single process, where there is no process group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import distributed


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_share(micro_batches: Sequence[list[int]], in_step: bool) -> list[list[int]]:
    """This process's micro-batches of a step.

    Where there are fewer than processes the largest are halved. ``in_step``: every process gets the same
    number, the first micro-batch filling up, as sharded weights need all processes in every pass; what fills
    up has an empty list of rows.
    """
    if count() == 1:
        return list(micro_batches)
    batches = list(micro_batches)
    while len(batches) < count() and any(len(rows) > 1 for rows in batches):
        rows = batches.pop(max(range(len(batches)), key=lambda i: len(batches[i])))
        batches += [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    if in_step:
        batches += [[] for _ in range(-len(batches) % count())]
    return batches[rank() :: count()]


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether the weights of ``model`` are sharded over the processes."""
    return any(_is_sharded_tensor(parameter) for parameter in model.parameters())


def shard(model: Any) -> None:
    """Spread the weights over all processes (FSDP2), layer by layer; gradients are sums over processes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(model.device.type, (count(),))
    kinds = set(getattr(model, "_no_split_modules", None) or ())
    for module in [m for m in model.modules() if type(m).__name__ in kinds]:
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def all_reduce(tensors: Iterable[torch.Tensor]) -> None:
    """Sum tensors over the processes, in place. FSDP has summed the gradients of sharded weights by then."""
    if count() > 1:
        for tensor in tensors:
            if not _is_sharded_tensor(tensor):
                distributed.all_reduce(tensor)


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The full tensor of a sharded one; all processes must call it."""
    return tensor.full_tensor() if _is_sharded_tensor(tensor) else tensor  # type: ignore[attr-defined]


def shard_like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """``tensor`` on the device of ``parameter``, and sharded as that is."""
    tensor = tensor.to(parameter.device)
    if not _is_sharded_tensor(parameter):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)  # type: ignore[attr-defined]


def full_state(model: Any) -> dict[str, torch.Tensor]:
    """The full weights of ``model`` on the CPU of the first process, tied ones once; none on the others.

    All processes must call it. No more than one full weight at a time is on a GPU.
    """
    state = {}
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    rest = {name: tensor for name, tensor in model.state_dict().items() if name not in parameters}
    for name, tensor in {**dict(model.named_parameters()), **rest}.items():
        whole = full_tensor(tensor.detach())
        if rank() == 0:
            state[name] = whole.cpu()
    return state


def _is_sharded_tensor(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "full_tensor")
