"""Reading prompts and decoding answers, one decode batch at a time.

The prompts of a decode batch are read in a few smaller batches, one after the other, and then decoded
together: reading fills the device with a few thousand tokens, while a decoding step has one token per row
and wants many rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..models.split import SplitModel
from .batching import batch_end
from .cache import AlignedCache
from .statistics import span_log_likelihood, step_statistics

Pooling = Literal["last", "mean"]
NAMES = ("token_id", "logprob", "top1", "top2", "entropy")


@dataclass(frozen=True)
class DecodeSettings:
    """What to compute. ``sampler(row)`` gives (max_new_tokens,) uniform draws; greedy without."""

    max_new_tokens: int
    end_tokens: list[int]
    pooling: Pooling | None = "last"
    prompt_likelihood: bool = True
    temperature: float = 0.0
    sampler: Callable[[int], np.ndarray] | None = None


@dataclass(frozen=True)
class DecodeBatch:
    """Results of R rows.

    Attributes:
        embeddings: (R, d) float32, or None without pooling.
        prompt_logprob: (R,) float64, NaN where not asked for.
        steps: by name (R, max_new_tokens): ``token_id`` int32, the others float32.
        counts: (R,) int64, the steps of each row up to its end token.
    """

    embeddings: np.ndarray | None
    prompt_logprob: np.ndarray
    steps: dict[str, np.ndarray]
    counts: np.ndarray


@torch.inference_mode()
def read_and_decode(
    split: SplitModel, ids: list[np.ndarray], rows: np.ndarray, batch_tokens: int, settings: DecodeSettings
) -> DecodeBatch:
    """Read and decode the prompts ``ids[row]`` for each of ``rows``, which come longest first."""
    lengths = np.array([len(ids[row]) for row in rows])
    cache = AlignedCache(lengths.tolist(), settings.max_new_tokens) if settings.max_new_tokens else None
    last, embeddings, likelihoods = [], [], []
    start = 0
    while start < len(rows):
        stop = batch_end(lengths, start, batch_tokens)
        tokens = right_padded([ids[row] for row in rows[start:stop]], split.device)
        hidden = _read(split, tokens, cache, slice(start, stop))
        ends = torch.as_tensor(lengths[start:stop], device=split.device)
        last.append(hidden[torch.arange(stop - start, device=split.device), ends - 1])
        if settings.pooling is not None:
            embeddings.append(_pool(hidden, last[-1], ends, settings.pooling))
        if settings.prompt_likelihood:
            spans = [(1, int(length)) for length in lengths[start:stop]]
            likelihoods.append(span_log_likelihood(split, hidden, tokens, spans))
        start = stop
    steps, counts = _decode(split, torch.cat(last), cache, rows, settings)
    if cache is not None:
        cache.release()
    return DecodeBatch(
        np.concatenate(embeddings) if embeddings else None,
        np.concatenate(likelihoods) if likelihoods else np.full(len(rows), np.nan),
        steps,
        counts,
    )


def right_padded(ids: list[np.ndarray], device: torch.device) -> torch.Tensor:
    """(B, T) int64. Padding follows every token that matters, so that causality hides it, whatever its id."""
    padded = np.zeros((len(ids), max(len(row) for row in ids)), dtype=np.int64)
    for number, row in enumerate(ids):
        padded[number, : len(row)] = row
    return torch.as_tensor(padded).to(device, non_blocking=True)


def _read(split: SplitModel, tokens: torch.Tensor, cache: AlignedCache | None, rows: slice) -> torch.Tensor:
    """(B, T, d) hidden states; keys and values go to ``rows`` of the cache."""
    if cache is None:
        return split.hidden(input_ids=tokens, use_cache=False)
    cache.reading = rows
    try:
        return split.hidden(input_ids=tokens, past_key_values=cache, use_cache=True)
    finally:
        cache.reading = None


def _pool(hidden: torch.Tensor, last: torch.Tensor, ends: torch.Tensor, pooling: Pooling) -> np.ndarray:
    if pooling == "last":
        return last.float().cpu().numpy()
    inside = torch.arange(hidden.shape[1], device=hidden.device)[None] < ends[:, None]
    total = torch.einsum("btd,bt->bd", hidden.float(), inside.float())
    return (total / ends[:, None]).cpu().numpy()


def _decode(
    split: SplitModel,
    hidden: torch.Tensor,
    cache: AlignedCache | None,
    rows: np.ndarray,
    settings: DecodeSettings,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Up to ``max_new_tokens`` steps from the hidden state (R, d) of each prompt's last token."""
    count, steps, device = len(rows), settings.max_new_tokens, split.device
    out = {name: torch.zeros(count, steps, device=device) for name in NAMES[1:]}
    out["token_id"] = torch.zeros(count, steps, dtype=torch.int64, device=device)
    counts = torch.full((count,), steps, device=device)
    ends = torch.tensor(settings.end_tokens, dtype=torch.int64, device=device)
    draws = None
    if settings.sampler is not None:
        draws = torch.as_tensor(np.stack([settings.sampler(int(row)) for row in rows]), device=device)
    alive = torch.arange(count, device=device)  # original row of each row still in the batch
    mask = None if cache is None else cache.mask(device)
    for step in range(steps):
        assert cache is not None
        assert mask is not None
        drawn = None if draws is None else draws[alive, step]
        statistics = step_statistics(split, hidden, drawn, settings.temperature)
        for name, values in zip(NAMES, statistics, strict=True):
            out[name][alive, step] = values
        ended = torch.isin(statistics.token_id, ends)
        counts[alive] = torch.where(ended, counts[alive].clamp(max=step + 1), counts[alive])
        going = counts[alive] > step + 1
        remaining = int(going.sum())
        if step + 1 == steps or remaining == 0:
            break
        tokens = statistics.token_id
        if remaining <= 0.75 * len(alive):  # A copy of the cache, so not for a row or two.
            kept = going.nonzero()[:, 0]
            alive, tokens = alive[kept], tokens[kept]
            cache.keep(kept, kept.tolist())
            mask = cache.mask(device)
        hidden = _step(split, tokens, cache, mask)
    numbers = {name: values.cpu().numpy() for name, values in out.items()}
    numbers["token_id"] = numbers["token_id"].astype(np.int32)
    return numbers, counts.cpu().numpy()


def _step(split: SplitModel, tokens: torch.Tensor, cache: AlignedCache, mask: torch.Tensor) -> torch.Tensor:
    """(R, d) hidden states of one more token (R,) per row."""
    equal = min(cache.lengths) == cache.columns
    hidden = split.hidden(
        input_ids=tokens[:, None],
        position_ids=torch.tensor(cache.lengths, device=tokens.device)[:, None],
        attention_mask=None if equal else mask[:, : cache.columns + 1],
        past_key_values=cache,
        use_cache=True,
    )
    cache.advance()
    return hidden[:, 0]
