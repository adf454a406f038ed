"""Micro-batches: sequences of like length, padded on the right to the longest of them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .examples import TokenSequence


def split_batch(
    lengths: Sequence[int], micro_batch_tokens: int, longest: int = sys.maxsize
) -> list[list[int]]:
    """Rows of one optimizer batch as micro-batches of at most ``micro_batch_tokens`` tokens each.

    Padding counts. Rows are sorted by length (ties by position), so that little is padding. A single longer
    row stands alone, and so does each above ``longest`` tokens.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        full = not batches or (len(batches[-1]) + 1) * lengths[row] > micro_batch_tokens
        if full or lengths[row] > longest:
            batches.append([])
        batches[-1].append(row)
    return batches


@dataclass(frozen=True)
class MicroBatch:
    """Input of one forward pass.

    ``tokens``: (rows, width) int64, padded on the right. ``predicting``: (rows, width) bool, the R places
    whose next token is of a response. ``labels``: (R,) int64, those next tokens, row by row.
    """

    tokens: torch.Tensor
    predicting: torch.Tensor
    labels: torch.Tensor


def make_micro_batch(sequences: Sequence[TokenSequence], device: torch.device) -> MicroBatch:
    """Sequences as rows. They need no mask: no token of a causal model sees what stands to its right."""
    tokens = np.zeros((len(sequences), max(len(s) for s in sequences)), dtype=np.int64)
    predicting = np.zeros(tokens.shape, dtype=bool)
    for row, s in enumerate(sequences):
        tokens[row, : len(s)] = s.tokens
        predicting[row, s.prompt_length - 1 : len(s) - 1] = True
    labels = np.concatenate([s.tokens[s.prompt_length :] for s in sequences])
    return MicroBatch(
        tokens=torch.from_numpy(tokens).to(device),
        predicting=torch.from_numpy(predicting).to(device),
        labels=torch.from_numpy(labels).to(device),
    )


def token_losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    """(R,) float32, -log p of each response token in nats.

    The head runs on those places only, where the model's code can be told so.
    """
    keep: dict[str, Any] = {"logits_to_keep": batch.predicting} if _takes_mask(model) else {}
    logits = model(input_ids=batch.tokens, use_cache=False, **keep).logits
    if not keep:
        logits = logits[batch.predicting]
    logits = logits.reshape(-1, logits.shape[-1])  # (R, V)
    return functional.cross_entropy(logits.float(), batch.labels, reduction="none")


def _takes_mask(model: torch.nn.Module) -> bool:
    """Whether ``logits_to_keep`` may be a mask: in models whose code cuts with the library's own function."""
    return "slice_logits_to_keep" in inspect.unwrap(type(model).forward).__globals__
