"""Attention within each sequence of a packed row, and none across.

Through the variable-length flash kernel on CUDA, elsewhere over groups of sequences of about the same length,
each a small padded grid. No T x T mask is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

PACKED_ATTENTION = "edsel_packed"


@dataclass(frozen=True)
class PackedLayout:
    """Where sequences lie in a packed row of T tokens.

    ``boundaries``: (S + 1,) int32 on the device, first token of each sequence and T. ``longest``: tokens.
    ``groups``: per group of sequences (first token, end token, rows, width, slots), where slots is (tokens,)
    int64, each token's place in the group's (rows x width) padded grid, or None where the grid has no gaps.
    """

    boundaries: torch.Tensor
    longest: int
    groups: list[tuple[int, int, int, int, torch.Tensor | None]]

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> PackedLayout:
        """Layout of sequences in this order; best where like lengths stand together."""
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        groups = [
            _group(lengths[first:end], int(starts[first]), device) for first, end in _group_rows(lengths)
        ]
        return cls(torch.from_numpy(starts).to(device), max(lengths), groups)


def _group_rows(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of neighbouring sequences whose padding to a common width wastes little.

    A group ends when its gaps would pass a tenth of its tokens and 128, where another kernel call is cheaper.
    """
    first, tokens, width = 0, 0, 0
    for row, length in enumerate(lengths):
        wider = max(width, length)
        gaps = wider * (row + 1 - first) - tokens - length
        if row > first and gaps > max(128, (tokens + length) // 10):
            yield first, row
            first, tokens, wider = row, 0, length
        tokens, width = tokens + length, wider
    yield first, len(lengths)


def _group(
    lengths: Sequence[int], start: int, device: torch.device
) -> tuple[int, int, int, int, torch.Tensor | None]:
    rows, width, tokens = len(lengths), max(lengths), sum(lengths)
    if tokens == rows * width:
        return start, start + tokens, rows, width, None
    slots = np.concatenate([np.arange(n) + row * width for row, n in enumerate(lengths)])
    return start, start + tokens, rows, width, torch.from_numpy(slots).to(device)


class _ToGrid(torch.autograd.Function):
    """(tokens, ...) into a zeroed (cells, ...) grid at unique ``slots``; its gradient is a plain gather."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, slots: torch.Tensor, cells: int) -> torch.Tensor:
        ctx.save_for_backward(slots)
        return values.new_zeros((cells, *values.shape[1:])).index_copy_(0, slots, values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (slots,) = ctx.saved_tensors
        return gradient.index_select(0, slots), None, None


class _FromGrid(torch.autograd.Function):
    """The reverse of ``_ToGrid``."""

    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slots)
        ctx.cells = grid.shape[0]
        return grid.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (slots,) = ctx.saved_tensors
        grid = gradient.new_zeros((ctx.cells, *gradient.shape[1:]))
        return grid.index_copy_(0, slots, gradient), None


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (1, H, T, D)
    key: torch.Tensor,  # (1, K, T, D), K divides H
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packed_layout: PackedLayout | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each sequence of a packed row; (1, T, H, D), as transformers wants it."""
    if packed_layout is None or attention_mask is not None or softcap is not None:
        raise ValueError(
            f"{type(module).__name__} wants attention that packing cannot give it. Set packing: false."
        )
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (T, heads, D)
    if q.is_cuda and dropout == 0.0 and q.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        window = (-1 if sliding_window is None else sliding_window - 1, 0)
        out = varlen_attn(
            q.contiguous(),
            k.contiguous(),
            v.contiguous(),
            packed_layout.boundaries,
            packed_layout.boundaries,
            packed_layout.longest,
            packed_layout.longest,
            scale=scaling,
            window_size=window,
            enable_gqa=k.shape[1] != q.shape[1],
        )
        return cast("torch.Tensor", out)[None], None
    parts = [
        _group_attention(q, k, v, group, dropout, scaling, sliding_window) for group in packed_layout.groups
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


def _group_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    group: tuple[int, int, int, int, torch.Tensor | None],
    dropout: float,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """Attention of one group over its padded grid, back as (tokens, H, D)."""
    first, end, rows, width, slots = group

    def grid(values: torch.Tensor) -> torch.Tensor:
        values = values[first:end]
        if slots is not None:
            values = _ToGrid.apply(values, slots, rows * width)
        return values.unflatten(0, (rows, width)).transpose(1, 2)  # (rows, heads, width, D)

    mask = None
    if sliding_window is not None and sliding_window < width:
        place = torch.arange(width, device=q.device)
        distance = place[:, None] - place
        mask = (distance >= 0) & (distance < sliding_window)
    out = functional.scaled_dot_product_attention(
        grid(q),
        grid(k),
        grid(v),
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    out = out.transpose(1, 2).flatten(0, 1)  # (rows x width, H, D)
    return out if slots is None else _FromGrid.apply(out, slots)


@contextmanager
def packed_attention_of(model: Any) -> Iterator[None]:
    """Lets ``model`` attend through ``packed_attention``, and gives it its own attention back after."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    before = model.config._attn_implementation
    model.config._attn_implementation = PACKED_ATTENTION
    try:
        yield
    finally:
        model.config._attn_implementation = before
