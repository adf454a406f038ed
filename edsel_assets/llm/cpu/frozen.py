"""Training beside frozen weights: their products forward and backward are those of :mod:`.product`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .product import product
from .tile import WIDE


@contextmanager
def frozen_products(model: Any) -> Iterator[None]:
    """In the block, linear layers of ``model`` that do not learn multiply faster, on a CPU and in float32."""
    layers = [
        layer
        for layer in model.modules()
        if WIDE and type(layer) is nn.Linear and _is_frozen(layer.weight) and _is_frozen(layer.bias)
    ]
    for layer in layers:
        layer.__class__ = _FrozenLinear
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


def _is_frozen(weight: torch.Tensor | None) -> bool:
    if weight is None:
        return True
    return not weight.requires_grad and weight.device.type == "cpu" and weight.dtype == torch.float32


class _FrozenLinear(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        out = _Product.apply(x, self.weight)
        return out if self.bias is None else out + self.bias


class _Product(torch.autograd.Function):
    """x W^T where W has no gradient: that of x is g W."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return product(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (weight,) = ctx.saved_tensors
        return product(gradient, weight.T), None
