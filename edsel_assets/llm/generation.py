"""Answers to prompts, by the engine that reads the pool."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ._decode import Settings
from ._tokens import end_tokens, prompt_limit
from .forward import WINDOW, run_windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
    """One answer per prompt, in order, without its end token.

    Args:
        prompts: N texts, the template applied.
        max_new_tokens: at least 1.
        max_prompt_tokens, batch_tokens, window, progress: as in :func:`~edsel_assets.llm.forward_pool`.
        temperature: 0 for greedy decoding, else softmax(logits / temperature) is sampled from.
        seed: of the sampling. A prompt's draws depend on the seed, its text and how often that
            text came before, so that neither row order nor batches change an answer, and a repeated prompt
            gets fresh answers.

    Raises:
        ValueError: an argument out of range, or a prompt without a token.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1 to generate; got {max_new_tokens}.")
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be 0 (greedy) or a positive number; got {temperature}.")
    limit = prompt_limit(model, max_prompt_tokens, max_new_tokens)
    seen: Counter[str] = Counter()
    answers: list[str] = []
    keys: list[list[int]] = []
    if temperature > 0:
        for prompt in prompts:
            keys.append(_key(seed, prompt, seen[prompt]))
            seen[prompt] += 1

    def draws(row: int) -> np.ndarray:
        # Rows are numbered within a window; answers so far are those of the windows before.
        return np.random.default_rng(keys[len(answers) + row]).random(max_new_tokens)

    ends = end_tokens(model, tokenizer)
    settings = Settings(max_new_tokens, ends, None, False, temperature, draws if temperature > 0 else None)
    for encoded, results in run_windows(
        model, tokenizer, prompts, limit, batch_tokens, settings, window, progress
    ):
        texts = [""] * len(encoded.ids)
        for rows, wave in results:
            for number, row in enumerate(rows):
                tokens = wave.steps["token_id"][number, : wave.counts[number]]
                if tokens[-1] in ends:
                    tokens = tokens[:-1]
                texts[row] = tokenizer.decode(tokens, skip_special_tokens=True)
        answers.extend(texts)
    return answers


def _key(seed: int, prompt: str, occurrence: int) -> list[int]:
    digest = hashlib.sha256(prompt.encode()).digest()
    return [seed, occurrence, *np.frombuffer(digest[:16], dtype="<u4").tolist()]
