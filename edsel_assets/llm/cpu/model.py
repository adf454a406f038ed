"""A model with the products and the attention of this package, through the doors that transformers offers."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .attention import causal_attention
from .decoding import can_decode, decoding_attention
from .pointwise import gated, rms_norm
from .product import in_order, product
from .tile import ROWS, WIDE

CPU_ATTENTION = "edsel_cpu"

SMALL_WEIGHTS = 256 << 20
"""Bytes of weights that are brought into the order of :mod:`.product` once; larger ones at every use."""

FEW_ROWS = 32
"""Fewer are not worth bringing weights into order for."""


def cpu_model(model: Any) -> Any:
    """A copy of ``model`` over the same weights, for reading.

    Products of float32 layers are ours where registers have 256 bits or 512: the library behind PyTorch uses
    the latter on one maker's processors only. An attention that the user chose instead of PyTorch's stays.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    model = copy.deepcopy(model, shared)
    if model.config._attn_implementation == "sdpa":
        model.config._attn_implementation = CPU_ATTENTION
    if not all(weight.dtype == torch.float32 for weight in model.parameters()):
        return model
    linear: list[Any] = [layer for layer in model.modules() if type(layer) is nn.Linear] if WIDE else []
    small = sum(layer.weight.numel() for layer in linear) * 4 <= SMALL_WEIGHTS
    for layer in linear:
        layer.__class__ = _Linear
        layer.ordered = in_order(layer.weight) if small else None
    for layer in list(model.modules()):
        _replace(layer)
    return model


class _Linear(nn.Linear):
    ordered: np.ndarray | None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.ordered is None and x.numel() < FEW_ROWS * self.in_features:
            return functional.linear(x, self.weight, self.bias)
        out = product(x, self.weight, self.ordered)
        return out if self.bias is None else out.add_(self.bias)


def _replace(layer: Any) -> None:
    """Give a norm or a gated layer our forward, if that is what it computes by its own on a sample."""
    names = dict(layer.named_children())
    weight = getattr(layer, "weight", None)
    epsilon = getattr(layer, "variance_epsilon", getattr(layer, "eps", None))
    if type(layer).__name__.endswith("RMSNorm") and isinstance(epsilon, float) and weight is not None:

        def forward(x: torch.Tensor) -> torch.Tensor:
            return rms_norm(x, weight, epsilon)

        width = weight.shape[0]
    elif set(names) == {"gate_proj", "up_proj", "down_proj", "act_fn"}:
        gate, up, down = names["gate_proj"], names["up_proj"], names["down_proj"]

        def forward(x: torch.Tensor) -> torch.Tensor:
            return down(gated(gate(x), up(x)))

        width = gate.in_features
    else:
        return
    sample = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own = layer(sample)
        if (forward(sample) - own).abs().max() <= 1e-5 * own.abs().max():
            layer.forward = forward


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' own: query (B, H, T, d), key and value (B, G, S, d) in, (B, T, H, d) out."""
    heads, length, size = query.shape[1:]
    scale = size**-0.5 if scaling is None else scaling
    kept = getattr(key, "kept", None) if kwargs.get("sliding_window") is None else None
    if kept is not None and can_decode(query, kept.keys, kept.values):
        found = decoding_attention(query[:, :, 0], kept.keys, kept.values, kept.starts, kept.seen, scale)
        return found[:, None], None
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    plain = attention_mask is None and not dropout and kwargs.get("position_bias") is None
    alike = value.shape == key.shape and key.shape[2] == length and heads % key.shape[1] == 0
    if plain and causal and alike and size % ROWS == 0 and length > 1:
        query, key, value = (states.transpose(1, 2) for states in (query, key, value))
        return causal_attention(query, key, value, scale), None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs
    )


def _mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    """transformers' mask; for a decoding step in numbers, once, not turned into them in every layer."""
    mask = sdpa_mask(*args, **kwargs)
    if mask is None or mask.shape[2] > 1:
        return mask
    dtype = kwargs.get("dtype", torch.float32)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


AttentionInterface.register(CPU_ATTENTION, _attention)
AttentionMaskInterface.register(CPU_ATTENTION, _mask)
