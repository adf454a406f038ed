"""How likely a model finds responses to prompts: log-likelihood and perplexity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..models.split import SplitModel
from ..models.tokens import encode, max_positions
from .batching import TokenBudget, in_batches
from .comparison import way_of
from .decode import right_padded
from .statistics import span_log_likelihood

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WINDOW = 4096


@dataclass(frozen=True)
class LogLikelihoods:
    """Of N responses given their prompts.

    Attributes:
        total: (N,) float64, sum of log p over the response's tokens, in nats; higher is likelier.
        tokens: (N,) int64, how many tokens that sum holds, the end token included where it is scored.
        truncated: (N,) bool, whether tokens were dropped to fit.
    """

    total: np.ndarray
    tokens: np.ndarray
    truncated: np.ndarray


def log_likelihoods(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    responses: Sequence[str],
    *,
    batch_tokens: int,
    ended: Sequence[bool] | None = None,
    joint: bool = False,
    max_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LogLikelihoods:
    """log p(response | prompt) of each pair, over the response's tokens alone.

    The end token closes a response that ended by itself, and counts, as it does in finetuning. A response
    that was cut off has none: the model never meant to stop there. An empty response always has its end
    token, so that its likelihood says how likely the model is to answer nothing.

    Args:
        prompts: N texts, the template applied.
        responses: N texts.
        ended: N booleans, whether each response ended by itself; all did, as gold responses do, without it.
        joint: log p of prompt and response together instead, over all tokens but the first, before which
            there is nothing; what is too long then loses its end.
        max_tokens: of prompt, response and end token together. What is longer loses prompt tokens on the
            left (the last one stays), then response tokens on the right, and is marked. Lowered to the
            model's positions, which are also the default.
        batch_tokens: tokens in a batch, padding included; halved whenever memory runs out.
        progress: called with (done, N) after each batch.

    Raises:
        ValueError: lists of different length, a prompt without a token, a tokenizer without an end
            token, or an argument out of range.

    Time: one reading of N sequences. Memory: activations of ``batch_tokens`` tokens, logits of at most
    4M entries.
    """
    if len(prompts) != len(responses):
        raise ValueError(
            f"every prompt needs one response; got {len(prompts)} prompts, {len(responses)} responses."
        )
    closed = [True] * len(responses) if ended is None else [bool(value) for value in ended]
    if len(closed) != len(responses):
        raise ValueError(f"ended needs one value per response; got {len(closed)} for {len(responses)}.")
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end token, so that a response has no end. Set its eos_token.")
    limit = _limit(model, max_tokens)
    if limit < 2:
        raise ValueError(
            f"max_tokens must be at least 2, a prompt token and a response token; got {max_tokens}."
        )
    budget = TokenBudget(batch_tokens)
    split = SplitModel(model)
    total = np.zeros(len(prompts))
    tokens = np.zeros(len(prompts), dtype=np.int64)
    truncated = np.zeros(len(prompts), dtype=bool)
    done = 0
    for first in range(0, len(prompts), WINDOW):
        window = slice(first, first + WINDOW)
        texts = prompts[window], responses[window], closed[window]
        pairs = _encode_pairs(tokenizer, *texts, limit, first, joint)

        def process(rows: np.ndarray, _: int, pairs: list[_Pair] = pairs) -> np.ndarray:
            return _read_pairs(split, [pairs[row] for row in rows])

        way = way_of(split, [pair.ids for pair in pairs])
        lengths = np.array([len(pair.ids) for pair in pairs])
        for rows, sums in in_batches(lengths, budget, 1, split.workers, process, way.longest):
            total[first + rows] = sums
            done += len(rows)
            if progress is not None:
                progress(done, len(prompts))
        tokens[window] = [len(pair.ids) - pair.start for pair in pairs]
        truncated[window] = [pair.truncated for pair in pairs]
    return LogLikelihoods(total, tokens, truncated)


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    responses: Sequence[str],
    *,
    batch_tokens: int,
    ended: Sequence[bool] | None = None,
    joint: bool = False,
    max_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """(N,) float64, exp(-mean log p over the tokens that count): 1 or more, lower is likelier.

    Arguments, end token and truncation as in :func:`log_likelihoods`.
    """
    found = log_likelihoods(
        model,
        tokenizer,
        prompts,
        responses,
        ended=ended,
        joint=joint,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    return np.exp(-found.total / found.tokens)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    response: str,
    *,
    max_tokens: int | None = None,
) -> float:
    """Mean log p per token of one response given its prompt, in nats.

    It is -log(perplexity): at most 0, higher is likelier.

    For many pairs use :func:`log_likelihoods`, which reads them in batches.
    """
    found = log_likelihoods(model, tokenizer, [prompt], [response], max_tokens=max_tokens, batch_tokens=1)
    return float(found.total[0] / found.tokens[0])


def _limit(model: PreTrainedModel, max_tokens: int | None) -> int:
    known = [limit for limit in (max_tokens, max_positions(model)) if limit is not None]
    if not known:
        raise ValueError("the model's configuration states no longest sequence; pass max_tokens.")
    return min(known)


@dataclass(frozen=True)
class _Pair:
    ids: np.ndarray  # prompt and response, (length,)
    start: int  # where the response starts
    truncated: bool


def _encode_pairs(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    responses: Sequence[str],
    ended: Sequence[bool],
    limit: int,
    first: int,
    joint: bool,
) -> list[_Pair]:
    """Both texts tokenized as one, since tokenizers treat the start of a text differently.

    The prompt's part is what the tokens have in common with the prompt's own.
    """
    heads = encode(tokenizer, prompts)
    full = encode(tokenizer, [prompt + response for prompt, response in zip(prompts, responses, strict=True)])
    pairs = []
    for number, (head, ids, closed) in enumerate(zip(heads, full, ended, strict=True)):
        if not len(head):
            raise ValueError(f"prompt {first + number} has no tokens: {prompts[number]!r}. Use a template.")
        shared = min(len(head), len(ids))
        differs = np.flatnonzero(head[:shared] != ids[:shared])
        start = max(1, int(differs[0]) if differs.size else shared)
        if closed or start >= len(ids):
            ids = np.append(ids, tokenizer.eos_token_id)
        pairs.append(_cut(ids, 1 if joint else start, limit, tokenizer.bos_token_id))
    return pairs


def _cut(ids: np.ndarray, start: int, limit: int, bos: int | None) -> _Pair:
    excess = len(ids) - limit
    if excess <= 0:
        return _Pair(ids, start, False)
    spared = 2 if bos is not None and ids[0] == bos and start > 1 and limit > 2 else 1
    dropped = max(0, min(excess, start - spared))
    ids = np.concatenate([ids[: spared - 1], ids[spared - 1 + dropped :]])
    return _Pair(ids[:limit], start - dropped, True)


@torch.inference_mode()
def _read_pairs(split: SplitModel, pairs: list[_Pair]) -> np.ndarray:
    tokens = right_padded([pair.ids for pair in pairs], split.device)
    hidden = split.hidden(input_ids=tokens, use_cache=False)
    return span_log_likelihood(split, hidden, tokens, [(pair.start, len(pair.ids)) for pair in pairs])
