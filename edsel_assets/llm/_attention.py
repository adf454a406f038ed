"""Attention on the CPU at the speed that PyTorch's own kernel allows.

Given "causal" and at most 512 keys, that kernel computes the masked half of the scores too. Cut
into blocks of queries, each with the keys up to its end, it does not: the same sums in the same
order, in two thirds of the time. And it turns a boolean mask into numbers in every layer; here that
is done once per step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "edsel_cpu_sdpa"
BLOCK = 64
"""Queries per block: fewer save little more, and each block is a call."""


@contextmanager
def fast_attention(model: Any) -> Iterator[None]:
    """Let ``model`` attend this way in the block, if it is on a CPU and attends through PyTorch's kernel."""
    config = model.config
    if config._attn_implementation != "sdpa" or next(model.parameters()).device.type != "cpu":
        yield
        return
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


def _forward(
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
    """As transformers' own: (B, H, T, d) in, (B, T, H, d) out."""
    length = query.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    plain = (
        attention_mask is None and causal and key.shape[2] == length and kwargs.get("position_bias") is None
    )
    if not plain or length <= BLOCK or dropout:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs
        )
    output = torch.empty_like(query[..., : value.shape[-1]])
    triangle = _triangle(length, query.dtype)
    for start in range(0, length, BLOCK):
        stop = min(length, start + BLOCK)
        output[:, :, start:stop] = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:stop],
            key[:, :, :stop],
            value[:, :, :stop],
            attn_mask=triangle[: stop - start, triangle.shape[1] - BLOCK - start :][:, :stop],
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return output.transpose(1, 2).contiguous(), None


@lru_cache(maxsize=8)
def _columns(columns: int, dtype: torch.dtype) -> torch.Tensor:
    """(BLOCK, columns + BLOCK): zeros, then a block with -inf above its diagonal."""
    above = torch.full((BLOCK, BLOCK), float("-inf"), dtype=dtype).triu(1)
    return torch.cat([torch.zeros(BLOCK, columns, dtype=dtype), above], dim=1)


def _triangle(length: int, dtype: torch.dtype) -> torch.Tensor:
    return _columns(1 << max(9, (length - 1).bit_length()), dtype)


def _mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    mask = sdpa_mask(*args, **kwargs)
    if mask is None or mask.shape[2] > 1:
        return mask
    dtype = kwargs.get("dtype", torch.float32)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


AttentionInterface.register(NAME, _forward)
AttentionMaskInterface.register(NAME, _mask)
