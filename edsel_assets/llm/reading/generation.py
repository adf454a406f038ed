"""Answers to prompts, by the engine that reads the pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..models.tokens import end_tokens, prompt_limit
from .decode import DecodeSettings
from .forward import WINDOW, run_windows
from .sampling import sampling_draws

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Answer(NamedTuple):
    """``text`` without its end token; ``ended``: whether an end token came, or ``max_new_tokens`` cut it."""

    text: str
    ended: bool


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    max_prompt_tokens: int,
    batch_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    window: int = WINDOW,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """One answer per prompt, in order, and whether it ended by itself.

    Args:
        prompts: N texts, the template applied.
        max_new_tokens: at least 1; the end token counts as one of them.
        max_prompt_tokens, batch_tokens, window, progress: as in :func:`~edsel_assets.llm.forward_pool`.
        temperature: 0 for greedy decoding, else softmax(logits / temperature) is sampled from.
        seed: of the sampling, see :func:`~edsel_assets.llm.reading.sampling.sampling_draws`.

    Raises:
        ValueError: an argument out of range, or a prompt without a token.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1 to generate; got {max_new_tokens}.")
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be 0 (greedy) or a positive number; got {temperature}.")
    limit = prompt_limit(model, max_prompt_tokens, max_new_tokens)
    answers: list[Answer] = []
    sampler = None
    if temperature > 0:
        draws = sampling_draws(prompts, seed, max_new_tokens)

        def sampler(row: int) -> np.ndarray:
            return draws(len(answers) + row)  # rows are numbered within a window; earlier ones are answered

    ends = end_tokens(model, tokenizer)
    settings = DecodeSettings(max_new_tokens, ends, None, False, temperature, sampler)
    for encoded, results in run_windows(
        model, tokenizer, prompts, limit, batch_tokens, settings, window, progress
    ):
        found = [Answer("", False)] * len(encoded.ids)
        for rows, batch in results:
            for number, row in enumerate(rows):
                tokens = batch.steps["token_id"][number, : batch.counts[number]]
                ended = bool(tokens[-1] in ends)
                text = str(tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True))
                found[row] = Answer(text, ended)
        answers.extend(found)
    return answers


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    max_prompt_tokens: int,
    batch_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    window: int = WINDOW,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """The texts of :func:`generate_answers`, whose arguments and errors these are."""
    answers = generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
        batch_tokens=batch_tokens,
        temperature=temperature,
        seed=seed,
        window=window,
        progress=progress,
    )
    return [answer.text for answer in answers]
