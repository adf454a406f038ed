"""Deita's quality and complexity (Liu et al. 2024, "What Makes Good Data for Alignment?", Sections 2.2, 2.3).

A causal model that was finetuned to rate replies with a number; the score is its expectation over the numbers
"1" to "6". The prompts are those that the authors' scorers were trained with (``hkust-nlp/deita`` on GitHub,
``src/deita/selection/scorer/llama_scorer.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.tokens import encode
from .local import next_token_logprobs
from .texts import fitted, longest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

COMPLEXITY = (
    "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
    "##Query: ",
    "  \n##Complexity: ",
)
"""Before and after the instruction."""

QUALITY = (
    "You are a helpful assistant. Please identify the quality score of the Response corresponding to the "
    "Question. \n #Question#:\n",
    "\n#Response#:\n",
    " \n##Quality: ",
)
"""Before the instruction, between it and the response, and after that."""

RATINGS = ("1", "2", "3", "4", "5", "6")


def deita_quality(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    responses: Sequence[str],
    *,
    batch_tokens: int = 8192,
    max_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """(N,) float64 in [1, 6], the expected quality of each response; higher is better.

    Args:
        model: a causal model such as ``hkust-nlp/deita-quality-scorer``, from ``load_model``.
        prompts, responses: N texts each, without a template.
        max_tokens: of the scorer's whole prompt, lowered to its positions; what is longer loses the
            response's end, then the prompt's.
        batch_tokens, progress: as in ``forward_pool``.

    Raises ``ValueError`` for lists of unlike length, or a tokenizer in which a rating is not one token.
    """
    if len(prompts) != len(responses):
        raise ValueError(
            f"every prompt needs one response; got {len(prompts)} prompts, {len(responses)} responses."
        )
    pairs = list(zip(prompts, responses, strict=True))

    def text(prompt: str, response: str) -> str:
        return f"{QUALITY[0]}{prompt}{QUALITY[1]}{response}{QUALITY[2]}"

    return _expected(model, tokenizer, pairs, text, batch_tokens, max_tokens, progress)


def deita_complexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    batch_tokens: int = 8192,
    max_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """(N,) float64 in [1, 6], the expected complexity of each prompt; higher is more complex.

    Arguments as in :func:`deita_quality`, with a model such as ``hkust-nlp/deita-complexity-scorer``.
    """

    def text(prompt: str, _: str) -> str:
        return f"{COMPLEXITY[0]}{prompt}{COMPLEXITY[1]}"

    pairs = [(prompt, "") for prompt in prompts]
    return _expected(model, tokenizer, pairs, text, batch_tokens, max_tokens, progress)


def _expected(
    model: Any,
    tokenizer: Any,
    pairs: list[tuple[str, str]],
    text: Callable[[str, str], str],
    batch_tokens: int,
    max_tokens: int | None,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    def lengths(some: Sequence[tuple[str, str]]) -> list[int]:
        return [len(ids) for ids in encode(tokenizer, [text(*pair) for pair in some])]

    limit = longest(model, max_tokens)
    texts = [text(*pair) for pair in fitted(pairs, lengths, limit)]
    tokens = [[_rating_token(tokenizer, name)] for name in RATINGS]
    logs = next_token_logprobs(
        model,
        tokenizer,
        texts,
        tokens,
        batch_tokens=batch_tokens,
        max_tokens=limit,
        progress=progress,
    )
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return weights @ np.arange(1.0, 7.0) / weights.sum(axis=1)


def _rating_token(tokenizer: Any, name: str) -> int:
    number = tokenizer.get_vocab().get(name)
    if number is None:
        raise ValueError(f"the scorer's tokenizer has no token {name!r}; Deita's ratings are one token each.")
    return int(number)
