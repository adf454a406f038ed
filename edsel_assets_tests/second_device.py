"""A second device without a GPU: tensors that say "cuda:0" and hold their numbers on the CPU.

They refuse what CUDA refuses: a product of tensors on two devices, and NumPy's view of a tensor that is not
on the CPU. What CUDA allows is allowed: scalars and row numbers from the CPU, and copies that are asked for.
Without gradients: autograd asks for a real device. Streams and kernels are not there either, so nothing is
shown of speed, of memory or of rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

PLACE = torch.device("cuda:0")
FREE, TOTAL = 60 << 30, 80 << 30
"""Bytes that the device says it has."""

_aten = torch.ops.aten
_COPIES = {_aten.copy_, _aten._to_copy, _aten.to}
_INDEXED = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_, _aten._unsafe_index}


class OnSecondDevice(torch.Tensor):
    """A tensor on ``cuda:0`` by its word; ``here`` holds its numbers."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> OnSecondDevice:
        return torch.Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device=PLACE,
        )  # fmt: skip

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnSecondDevice({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(func, args, kwargs or {})


class _SecondDevice(TorchDispatchMode):
    """Makes what is asked for on "cuda", such as zeros, on the second device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(func, args, kwargs or {})


class _InPython(TorchFunctionMode):
    """What PyTorch looks the device up for, before it asks a tensor: it is not there without CUDA."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = args and isinstance(args[0], OnSecondDevice)
        if func in _NUMBERS and own:
            return func(args[0].here)
        if func is torch.Tensor.__getitem__ and own:
            return _put(args[0].here[tree_map(_here, args[1])])
        if func is torch.Tensor.__setitem__ and own:
            return _set(*args)
        args, kwargs = tree_map(_numbered, (args, kwargs or {}))
        if func in _LOOKED_UP and own:
            return tree_map(_put, func(*tree_map(_here, args), **kwargs))
        if func in _MADE and kwargs.get("device") == PLACE:
            return func(*args, **kwargs | {"device": "cpu"}).to(PLACE)
        return func(*args, **kwargs)


_NAMES = ("tolist", "item", "__float__", "__int__", "__bool__", "__index__")
_NUMBERS = {getattr(torch.Tensor, name) for name in _NAMES}
_MADE = {torch.tensor, torch.as_tensor}
_LOOKED_UP = {torch.nonzero, torch.Tensor.nonzero, torch.Tensor.__invert__, torch.Tensor.contiguous}


def _set(tensor: OnSecondDevice, where: Any, value: Any) -> None:
    """A slice may be copied from the CPU; what row numbers choose may not."""
    chosen = any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(where))
    if chosen and isinstance(value, torch.Tensor):
        _check(torch.ops.aten.add.Tensor, (), [tensor, value])
    tensor.here[tree_map(_here, where)] = _here(value)


def _numbered(leaf: Any) -> Any:
    short = leaf == PLACE.type if isinstance(leaf, str) else leaf == torch.device(PLACE.type)
    return PLACE if isinstance(leaf, (str, torch.device)) and short else leaf


def _call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    moved = any(isinstance(tensor, OnSecondDevice) for tensor in tensors)
    if moved:
        _check(func, args, tensors)
    asked = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.device)]
    there = asked[0].type == PLACE.type if asked else moved
    if func.overloadpacket is _aten.copy_:
        there = isinstance(args[0], OnSecondDevice)
    owners = {id(tensor.here): tensor for tensor in tensors if isinstance(tensor, OnSecondDevice)}
    found = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    return tree_map(lambda leaf: owners.get(id(leaf), _put(leaf)), found) if there else found


def _check(func: Any, args: Any, tensors: list[torch.Tensor]) -> None:
    """As CUDA does: all on one device but scalars, and row numbers."""
    if func.overloadpacket in _COPIES:
        return
    if func.overloadpacket in _INDEXED:
        tensors = [args[0], *(leaf for leaf in tree_leaves(args[2:]) if isinstance(leaf, torch.Tensor))]
    elsewhere = [tensor for tensor in tensors if not isinstance(tensor, OnSecondDevice) and tensor.dim()]
    if elsewhere or not any(isinstance(tensor, OnSecondDevice) for tensor in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, found cuda:0 and cpu in {func}.")


def _here(leaf: Any) -> Any:
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.here if isinstance(leaf, OnSecondDevice) else leaf


def _put(leaf: Any) -> Any:
    plain = isinstance(leaf, torch.Tensor) and not isinstance(leaf, OnSecondDevice)
    return OnSecondDevice(leaf) if plain else leaf


@contextmanager
def second_device(**answers: Any) -> Iterator[None]:
    """PyTorch sees one GPU, on which it can hold and multiply tensors; ``answers`` of ``torch.cuda``."""
    said = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_lazy_init": lambda: None,
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (FREE, TOTAL),
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
        "is_bf16_supported": lambda including_emulation=True: True,
    } | answers
    with ExitStack() as stack:
        own = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(
            True
        )  # a module gets tensors of this class
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, own)
        for name, answer in said.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_InPython())
        stack.enter_context(_SecondDevice())
        yield
