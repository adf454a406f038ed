"""Examples as token sequences, and micro-batches that hold many of them without padding.

A packed micro-batch is one row of T tokens, its sequences back to back. Every layer but attention treats
tokens one by one, so a row without padding is all the work there is. Attention must not look across a
boundary; it gets the boundaries and runs per sequence: through the variable-length flash kernel on CUDA,
elsewhere over groups of sequences of about the same length (``PackedLayout``). No T x T mask is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from ._tokens import encode
from .finetune_settings import Example

PACKED_ATTENTION = "edsel_packed"


@dataclass(frozen=True)
class TokenSequence:
    """One example's tokens: (length,) int64, of which the first ``prompt_length`` carry no loss."""

    tokens: np.ndarray
    prompt_length: int

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Encoded:
    """The sequences that can be trained on, and how many examples were cut or left out."""

    sequences: list[TokenSequence]
    truncated: int
    dropped: int


def encode_pairs(
    tokenizer: Any, prompts: Sequence[str], responses: Sequence[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens of each prompt and of its response, both (length,) int64, without an end token.

    The prompt's tokens are what generation from that prompt sees. The response's are the rest of prompt and
    response tokenised together where that begins with the prompt's tokens (it nearly always does), else the
    response tokenised by itself.
    """
    heads = encode(tokenizer, prompts)
    wholes = encode(tokenizer, [p + r for p, r in zip(prompts, responses, strict=True)])
    pairs = []
    for head, whole, response in zip(heads, wholes, responses, strict=True):
        if np.array_equal(whole[: len(head)], head):
            pairs.append((head, whole[len(head) :]))
        else:
            alone = tokenizer(response, add_special_tokens=False)["input_ids"]
            pairs.append((head, np.asarray(alone, dtype=np.int64)))
    return pairs


def encode_examples(tokenizer: Any, examples: Sequence[Example], max_length: int) -> Encoded:
    """Prompt, response and end token of each example, at most ``max_length`` tokens.

    A longer response is cut at the right (and then has no end token). An example whose prompt leaves no room
    for a token of the response is dropped. Sequences keep the order of the examples.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end token (eos_token), so no response can be learnt to end.")
    pairs = encode_pairs(tokenizer, [e.prompt for e in examples], [e.response for e in examples])
    sequences, truncated, dropped = [], 0, 0
    for head, tail in pairs:
        tokens = np.concatenate([head, tail, [tokenizer.eos_token_id]])
        if len(head) >= max_length or not len(head):
            dropped += 1
            continue
        truncated += len(tokens) > max_length
        sequences.append(TokenSequence(tokens[:max_length], len(head)))
    return Encoded(sequences, truncated, dropped)


def split_batch(lengths: Sequence[int], micro_batch_tokens: int, packing: bool) -> list[list[int]]:
    """Rows of one optimizer batch as micro-batches of at most ``micro_batch_tokens`` tokens each.

    Rows are sorted by length (ties by position), so that a micro-batch holds rows of like length; packed ones
    are of about equal size, padded ones count their padding. A single longer row stands alone.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    limit = micro_batch_tokens
    if packing:  # spread evenly: two halves run faster than a full one and a sliver
        total = sum(lengths)
        limit = min(limit, -(-total // -(-total // limit)) + max(lengths) // 2)
    batches: list[list[int]] = []
    size = 0
    for row in order:
        grown = size + lengths[row] if packing else (len(batches[-1]) + 1 if batches else 1) * lengths[row]
        if not batches or grown > limit:
            batches.append([])
            grown = lengths[row]
        batches[-1].append(row)
        size = grown
    return batches


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


@dataclass(frozen=True)
class MicroBatch:
    """Input of one forward pass.

    ``tokens`` and ``positions``: (1, T) when packed, (rows, width) right-padded otherwise, int64.
    ``predicting``: what ``logits_to_keep`` takes, the R places whose next token is of a response.
    ``labels``: (R,) int64, those next tokens. ``layout``: None when padded.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    predicting: torch.Tensor
    labels: torch.Tensor
    layout: PackedLayout | None


def make_micro_batch(sequences: Sequence[TokenSequence], packing: bool, device: torch.device) -> MicroBatch:
    """Sequences as one packed row, or as right-padded rows.

    Right padding needs no mask under causal attention: no real token ever sees what stands to its right.
    """
    lengths = [len(s) for s in sequences]
    labels = np.concatenate([s.tokens[s.prompt_length :] for s in sequences])
    if packing:
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        tokens = np.concatenate([s.tokens for s in sequences])[None]
        positions = np.concatenate([np.arange(n) for n in lengths])[None]
        predicting = np.concatenate(
            [
                start + np.arange(s.prompt_length - 1, len(s) - 1)
                for start, s in zip(starts, sequences, strict=True)
            ]
        )
    else:
        tokens = np.zeros((len(sequences), max(lengths)), dtype=np.int64)
        predicting = np.zeros(tokens.shape, dtype=bool)
        for row, s in enumerate(sequences):
            tokens[row, : len(s)] = s.tokens
            predicting[row, s.prompt_length - 1 : len(s) - 1] = True
        positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape).copy()
    return MicroBatch(
        tokens=torch.from_numpy(tokens).to(device),
        positions=torch.from_numpy(positions).to(device),
        predicting=torch.from_numpy(predicting).to(device),
        labels=torch.from_numpy(labels).to(device),
        layout=PackedLayout.of(lengths, device) if packing else None,
    )


def token_losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    """(R,) float32, -log p of each response token in nats. The head runs on those places only."""
    extra = {} if batch.layout is None else {"packed_layout": batch.layout}
    logits = model(
        input_ids=batch.tokens,
        position_ids=batch.positions,
        use_cache=False,
        logits_to_keep=batch.predicting,
        **extra,
    ).logits
    logits = logits.reshape(-1, logits.shape[-1])  # (R, V)
    return functional.cross_entropy(logits.float(), batch.labels, reduction="none")


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
