"""Micro-batches that hold many token sequences without padding.

A packed micro-batch is one row of T tokens, its sequences back to back. Every layer but attention treats
tokens one by one, so a row without padding is all the work there is; attention is told the boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from .examples import TokenSequence
from .packed_attention import PackedLayout


def split_batch(lengths: Sequence[int], micro_batch_tokens: int, packing: bool) -> list[list[int]]:
    """Rows of one optimizer batch as micro-batches of at most ``micro_batch_tokens`` tokens each.

    Rows are sorted by length (ties by position), so that a micro-batch holds rows of like length; packed ones
    are of about equal size, padded ones count their padding. A single longer row stands alone.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    limit = micro_batch_tokens
    if packing:  # two micro-batches of equal size run faster than a full and a very small one
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
