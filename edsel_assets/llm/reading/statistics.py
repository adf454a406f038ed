"""What is kept of the softmax over the vocabulary (size V) at one position: five numbers, or one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ..models.split import SplitModel

CHUNK_ELEMENTS = 1 << 22
"""Logits held at a time (16 MiB in float32): enough to fill the device, little beside the weights."""


class StepStatistics(NamedTuple):
    """Each (R,) float32, but ``token_id`` int64. ``top1 >= top2`` are probabilities, entropy is in nats."""

    token_id: torch.Tensor
    logprob: torch.Tensor
    top1: torch.Tensor
    top2: torch.Tensor
    entropy: torch.Tensor


def step_statistics(
    split: SplitModel, hidden: torch.Tensor, draws: torch.Tensor | None, temperature: float
) -> StepStatistics:
    """The next token of each row (R, d) and the statistics of its distribution at temperature 1.

    Greedy without ``draws``; with ``draws`` (R,) in [0, 1), the token at that quantile of
    softmax(logits / temperature).
    """
    rows = max(1, CHUNK_ELEMENTS // split.vocabulary)
    parts = [
        _statistics(
            split.logits(hidden[i : i + rows]), None if draws is None else draws[i : i + rows], temperature
        )
        for i in range(0, len(hidden), rows)
    ]
    return (
        parts[0]
        if len(parts) == 1
        else StepStatistics(*(torch.cat(column) for column in zip(*parts, strict=True)))
    )


def _statistics(logits: torch.Tensor, draws: torch.Tensor | None, temperature: float) -> StepStatistics:
    # Relative to the largest, so that the entropy is no difference of large numbers.
    top, best = logits.max(dim=-1)
    shifted = logits.sub_(top[:, None])
    weights = shifted.exp()
    total = weights.sum(dim=-1)
    # A vocabulary padded with -inf has weight 0 there, and 0 x -inf would be NaN.
    entropy = total.log() - (weights * shifted.clamp_(min=-1e4)).sum(dim=-1) / total
    chosen = best if draws is None else _sample(shifted, draws, temperature)
    logprob = shifted.gather(1, chosen[:, None])[:, 0] - total.log()
    second = weights.scatter_(1, best[:, None], 0.0).amax(dim=-1)
    return StepStatistics(chosen, logprob, 1.0 / total, second / total, entropy)


def _sample(shifted: torch.Tensor, draws: torch.Tensor, temperature: float) -> torch.Tensor:
    cumulative = (shifted / temperature).exp().cumsum(dim=-1, dtype=torch.float64)
    chosen = torch.searchsorted(cumulative, (draws * cumulative[:, -1])[:, None], right=True)[:, 0]
    return chosen.clamp_(max=shifted.shape[1] - 1)


def span_log_likelihood(
    split: SplitModel, hidden: torch.Tensor, ids: torch.Tensor, spans: list[tuple[int, int]]
) -> np.ndarray:
    """(B,) float64: sum over t in [start, stop) of log p(token t | tokens before t), in nats.

    Args:
        hidden: (B, T, d) of the tokens ``ids`` (B, T).
        spans: per row; a start of 0 counts from 1, as nothing predicts the first token.

    The logits of at most ``CHUNK_ELEMENTS`` entries exist at a time.
    """
    rows = np.concatenate(
        [np.full(max(0, stop - max(1, start)), row) for row, (start, stop) in enumerate(spans)]
    )
    columns = np.concatenate([np.arange(max(1, start), max(1, stop)) for start, stop in spans])
    row = torch.as_tensor(rows, dtype=torch.int64, device=hidden.device)
    column = torch.as_tensor(columns, dtype=torch.int64, device=hidden.device)
    totals = torch.zeros(len(spans), dtype=torch.float64, device=hidden.device)
    step = max(1, CHUNK_ELEMENTS // split.vocabulary)
    for i in range(0, len(row), step):
        r, c = row[i : i + step], column[i : i + step]
        logits = split.logits(hidden[r, c - 1])
        logprob = logits.gather(1, ids[r, c, None])[:, 0] - logits.logsumexp(dim=-1)
        totals.index_add_(0, r, logprob.double())
    return totals.cpu().numpy()
