"""A model with the products and the attention of this package, through the doors that transformers offers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
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
from .pointwise import gated, rms_norm, rotated
from .product import in_order, product
from .tile import ROWS, WIDE

CPU_ATTENTION = "edsel_cpu"

SMALL_WEIGHTS = 256 << 20
"""Bytes of weights that are brought into the order of :mod:`.product` once; larger ones at every use."""

FEW_ROWS = 32
"""Fewer are not worth bringing weights into order for."""

ROTARY = ("LlamaAttention", "Qwen2Attention")
"""transformers' layers that are what :func:`_rotary_attention` is."""


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
    if model.config._attn_implementation == CPU_ATTENTION:
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
    """Give a norm, a gated layer or an attention our forward, if it computes the same on a sample."""
    names = set(dict(layer.named_children()))
    weight = getattr(layer, "weight", None)
    epsilon = getattr(layer, "variance_epsilon", getattr(layer, "eps", None))
    draw = torch.Generator().manual_seed(0)
    extra: dict[str, Any] = {}
    forward: Callable[..., Any]
    if type(layer).__name__.endswith("RMSNorm") and isinstance(epsilon, float) and weight is not None:
        width, forward = weight.shape[0], partial(rms_norm, weight=weight, epsilon=epsilon)
    elif names == {"gate_proj", "up_proj", "down_proj", "act_fn"}:
        width, forward = layer.gate_proj.in_features, partial(_gated_layer, layer)
    elif type(layer).__name__ in ROTARY:
        width, forward = layer.q_proj.in_features, partial(_rotary_attention, layer)
        turns = tuple(torch.randn(1, 3, layer.head_dim, generator=draw) for _ in range(2))
        extra = {"position_embeddings": turns, "attention_mask": None}
    else:
        return
    sample = torch.randn(2, 3, width, generator=draw)
    with torch.inference_mode():
        own, ours = (_first(compute(sample, **extra)) for compute in (layer, forward))
        if own.shape == ours.shape and (ours - own).abs().max() <= 1e-5 * own.abs().max():
            layer.forward = forward


def _first(outputs: Any) -> torch.Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _gated_layer(layer: Any, x: torch.Tensor) -> torch.Tensor:
    return layer.down_proj(gated(layer.gate_proj(x), layer.up_proj(x)))


def _rotary_attention(
    layer: Any,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    attention_mask: torch.Tensor | None = None,
    past_key_values: Any = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """As a Llama's attention layer."""
    shape = (*hidden_states.shape[:-1], -1, layer.head_dim)
    query, key, value = (
        project(hidden_states).view(shape) for project in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    query, key = (rotated(states, *position_embeddings).transpose(1, 2) for states in (query, key))
    value = value.transpose(1, 2)
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, layer.layer_idx)
    attend = AttentionInterface().get_interface(layer.config._attn_implementation, sdpa_attention_forward)
    if getattr(layer, "sliding_window", None) is not None:
        kwargs["sliding_window"] = layer.sliding_window
    out, _ = attend(layer, query, key, value, attention_mask, scaling=layer.scaling, **kwargs)
    return layer.o_proj(out.reshape(*shape[:-2], -1)), None


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
