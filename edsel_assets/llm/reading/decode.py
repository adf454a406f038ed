"""Reading prompts and decoding answers, one decode batch at a time.

The prompts of a decode batch are read in a few smaller batches, one after the other, and then decoded
together: reading fills the device with a few thousand tokens, while a decoding step has one token per row
and wants many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..models.split import SplitModel
from .batching import batch_end
from .cache import AlignedCache
from .statistics import span_log_likelihood, step_statistics
from .way import Way

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
    split: SplitModel,
    way: Way,
    ids: list[np.ndarray],
    rows: np.ndarray,
    batch_tokens: int,
    settings: DecodeSettings,
) -> DecodeBatch:
    """Read and decode the prompts ``ids[row]`` for each of ``rows``, which come longest first."""
    texts = [ids[row] for row in rows]
    cache = None
    if settings.max_new_tokens and way.keeps(len(texts[0]), settings.max_new_tokens):
        cache = AlignedCache([len(text) for text in texts], settings.max_new_tokens)
    last, embeddings, likelihoods = [], [], []
    for tokens, lengths, hidden in _in_pieces(split, texts, batch_tokens, cache):
        ends = torch.as_tensor(lengths, device=split.device)
        last.append(hidden[torch.arange(len(ends), device=split.device), ends - 1])
        if settings.pooling is not None:
            embeddings.append(_pool(hidden, last[-1], ends, settings.pooling))
        if settings.prompt_likelihood:
            spans = [(1, length) for length in lengths]
            likelihoods.append(span_log_likelihood(split, hidden, tokens, spans))
    memory = _Reread(split, texts, batch_tokens) if cache is None else _Kept(split, cache)
    steps, counts = _decode(split, torch.cat(last), memory, rows, settings)
    if cache is not None:
        cache.release()
    return DecodeBatch(
        np.concatenate(embeddings) if embeddings else None,
        np.concatenate(likelihoods) if likelihoods else np.full(len(rows), np.nan),
        steps,
        counts,
    )


def _in_pieces(
    split: SplitModel, texts: list[np.ndarray], batch_tokens: int, cache: AlignedCache | None
) -> Iterator[tuple[torch.Tensor, list[int], torch.Tensor]]:
    """(tokens (B, T), lengths of the rows, hidden states (B, T, d)) of some texts after the other."""
    lengths = np.array([len(text) for text in texts])
    start = 0
    while start < len(texts):
        stop = batch_end(lengths, start, batch_tokens)
        tokens = right_padded(texts[start:stop], split.device)
        yield tokens, lengths[start:stop].tolist(), read(split, tokens, cache, slice(start, stop))
        start = stop


def right_padded(ids: list[np.ndarray], device: torch.device) -> torch.Tensor:
    """(B, T) int64. Padding follows every token that matters, so that causality hides it, whatever its id."""
    padded = np.zeros((len(ids), max(len(row) for row in ids)), dtype=np.int64)
    for number, row in enumerate(ids):
        padded[number, : len(row)] = row
    return torch.as_tensor(padded).to(device, non_blocking=True)


def read(split: SplitModel, tokens: torch.Tensor, cache: AlignedCache | None, rows: slice) -> torch.Tensor:
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
    memory: _Kept | _Reread,
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
    for step in range(steps):
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
            memory.keep(kept)
        hidden = memory.step(tokens)
    numbers = {name: values.cpu().numpy() for name, values in out.items()}
    numbers["token_id"] = numbers["token_id"].astype(np.int32)
    return numbers, counts.cpu().numpy()


class _Kept:
    """What was read so far, as keys and values."""

    def __init__(self, split: SplitModel, cache: AlignedCache):
        self._split, self._cache = split, cache
        self._mask = cache.mask(split.device)

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all rows but these."""
        self._cache.keep(rows, rows.tolist())
        self._mask = self._cache.mask(self._split.device)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """(R, d) hidden states of one more token (R,) per row."""
        return next_hidden(self._split, tokens, self._cache, self._mask)


class _Reread:
    """What was read so far, as texts that are read again at each step."""

    def __init__(self, split: SplitModel, texts: list[np.ndarray], batch_tokens: int):
        self._split, self._texts, self._batch_tokens = split, texts, batch_tokens

    def keep(self, rows: torch.Tensor) -> None:
        self._texts = [self._texts[row] for row in rows.tolist()]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        more = tokens.tolist()
        self._texts = [np.append(text, token) for text, token in zip(self._texts, more, strict=True)]
        pieces = _in_pieces(self._split, self._texts, self._batch_tokens, None)
        return torch.cat([hidden[range(len(ends)), [end - 1 for end in ends]] for _, ends, hidden in pieces])


def next_hidden(
    split: SplitModel, tokens: torch.Tensor, cache: AlignedCache, mask: torch.Tensor
) -> torch.Tensor:
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
