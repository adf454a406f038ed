"""Uniform draws for sampled answers, fixed by the seed and the text alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np


def sampling_draws(texts: Sequence[str], seed: int, steps: int) -> Callable[[int], np.ndarray]:
    """A function from a text's number to its (steps,) float64 draws in [0, 1).

    A text's draws depend on the seed, the text, and how often the same text came before it, so that neither
    row order nor batches change an answer, and a repeated text gets a new one.
    """
    seen: Counter[str] = Counter()
    keys = []
    for text in texts:
        keys.append(_key(seed, text, seen[text]))
        seen[text] += 1
    return lambda row: np.random.default_rng(keys[row]).random(steps)


def _key(seed: int, text: str, occurrence: int) -> list[int]:
    digest = hashlib.sha256(text.encode()).digest()
    return [seed, occurrence, *np.frombuffer(digest[:16], dtype="<u4").tolist()]
