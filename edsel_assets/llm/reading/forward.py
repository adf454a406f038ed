"""Everything the strategies need of a model, from one pass over the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.machine import free_memory

from ..models.split import SplitModel
from ..models.tokens import Encoded, encode_prompts, end_tokens, prompt_limit
from .batching import TokenBudget, in_batches
from .comparison import way_of
from .decode import DecodeBatch, DecodeSettings, Pooling, read_and_decode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[int, int], None]

WINDOW = 4096
"""Prompts that are sorted by length together. Results come back window by window."""


@dataclass(frozen=True)
class PromptRecord:
    """What the model says of one prompt. T is the number of decoding steps, the end token's included.

    Attributes:
        embedding: (d,) float32, the last hidden state (after the final norm) of the last prompt token, or
            its mean over the prompt's tokens.
        token_id: (T,) int32, the greedy answer.
        logprob: (T,) float32, log p of each chosen token, in nats.
        top1, top2: (T,) float32, the two largest probabilities beta1 >= beta2.
        entropy: (T,) float32, -sum p log p over the vocabulary, in nats.
        prompt_tokens: tokens of the prompt that were read.
        truncated: whether tokens were dropped on the left to fit.
        prompt_logprob: sum of log p of the prompt's own tokens but the first, in nats; NaN if not asked for.
    """

    embedding: np.ndarray
    token_id: np.ndarray
    logprob: np.ndarray
    top1: np.ndarray
    top2: np.ndarray
    entropy: np.ndarray
    prompt_tokens: int
    truncated: bool
    prompt_logprob: float


def forward_pool(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    max_prompt_tokens: int,
    batch_tokens: int,
    pooling: Pooling = "last",
    prompt_likelihood: bool = True,
    room: int = 0,
    window: int = WINDOW,
    progress: Progress | None = None,
) -> Iterator[PromptRecord]:
    """Embedding, greedy decoding and prompt likelihood of each prompt, in pool order.

    Logits, softmax and all that follows from them are float32, from a float32 copy of the head, whatever
    the model's dtype (:class:`~edsel_assets.llm.models.split.SplitModel`). In float32 no result depends on
    the batch a prompt falls into, beyond rounding (1e-5).

    Args:
        model, tokenizer: from :func:`~edsel_assets.llm.load_model`; any causal model whose memory is an
            attention cache.
        prompts: N texts as the model shall read them, the template applied.
        max_new_tokens: decoding steps at most; 0 for embeddings alone.
        max_prompt_tokens: longer prompts lose tokens on the left (a start token stays) and are marked.
            Lowered to what the model's positions leave beside ``max_new_tokens`` and ``room``.
        batch_tokens: tokens that are read at once, padding included; on a CPU, a batch in each thread that
            PyTorch may use. Decoding holds the keys and values of 4 times as many, or 96 MiB of them, and no
            more than half of the memory that is free at first. Halved whenever memory runs out.
        pooling: ``last`` or ``mean`` over the prompt's tokens.
        prompt_likelihood: whether to compute ``prompt_logprob``.
        room: tokens that no prompt may take, so that it is cut as where as many are decoded.
        window: prompts sorted by length together; results come out after each window.
        progress: called with (done, N) after each decode batch.

    Raises:
        ValueError: an argument out of range, or a prompt without a token.
        ModelError: a model that cannot be run this way.
        MemoryError: a single prompt that does not fit.

    Time: one reading of the prompts and ``max_new_tokens`` steps per decode batch. Memory: activations of
    ``batch_tokens`` tokens, keys and values of 4 x ``batch_tokens`` or 96 MiB; logits of at most 4M entries;
    4 bytes per weight of the head where the model is in lower precision.
    """
    if pooling not in ("last", "mean"):
        raise ValueError(f"pooling must be 'last' or 'mean'; got {pooling!r}.")
    limit = prompt_limit(model, max_prompt_tokens, max_new_tokens + room)
    settings = DecodeSettings(max_new_tokens, end_tokens(model, tokenizer), pooling, prompt_likelihood)
    windows = run_windows(model, tokenizer, prompts, limit, batch_tokens, settings, window, progress)
    return (record for encoded, results in windows for record in _records(encoded, results))


def run_windows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    limit: int,
    batch_tokens: int,
    settings: DecodeSettings,
    window: int,
    progress: Progress | None,
) -> Iterator[tuple[Encoded, list[tuple[np.ndarray, DecodeBatch]]]]:
    """Window by window: the encoded prompts, and (rows within the window, results) of its decode batches."""
    budget = TokenBudget(batch_tokens)
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}.")
    return _windows(SplitModel(model), tokenizer, prompts, limit, budget, settings, window, progress)


def _windows(
    split: SplitModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    limit: int,
    budget: TokenBudget,
    settings: DecodeSettings,
    window: int,
    progress: Progress | None,
) -> Iterator[tuple[Encoded, list[tuple[np.ndarray, DecodeBatch]]]]:
    for first in range(0, len(prompts), window):
        encoded = encode_prompts(tokenizer, prompts[first : first + window], limit, first)
        way = way_of(split, encoded.ids)
        budget.tokens, multiple = way.fitting(budget.tokens, free_memory(split.device))
        results = []
        done = first

        def process(rows: np.ndarray, tokens: int, ids: list[np.ndarray] = encoded.ids) -> DecodeBatch:
            return read_and_decode(split, way_of(split), ids, rows, tokens, settings)

        lengths = encoded.lengths + settings.max_new_tokens
        for rows, decoded in in_batches(lengths, budget, multiple, split.workers, process, way.longest):
            results.append((rows, decoded))
            done += len(rows)
            if progress is not None:
                progress(done, len(prompts))
        yield encoded, results


def _records(encoded: Encoded, results: list[tuple[np.ndarray, DecodeBatch]]) -> Iterator[PromptRecord]:
    place = {int(row): (batch, number) for rows, batch in results for number, row in enumerate(rows)}
    for row in range(len(encoded.ids)):
        batch, number = place[row]
        count = int(batch.counts[number])
        assert batch.embeddings is not None
        yield PromptRecord(
            embedding=batch.embeddings[number],
            **{name: values[number, :count] for name, values in batch.steps.items()},
            prompt_tokens=int(encoded.lengths[row]),
            truncated=bool(encoded.truncated[row]),
            prompt_logprob=float(batch.prompt_logprob[number]),
        )
