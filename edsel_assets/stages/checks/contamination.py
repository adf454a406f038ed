"""Prompts of the pool that are items of a benchmark: what a model was trained on scores too well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edsel_assets.stages.checks import Finding, named

_WORDS = 13  # in a row, the usual measure (Brown et al. 2020, appendix C)
_FEWEST = 8  # a shorter prompt counts with all its words; below this, chance makes such phrases


def benchmark_items(pool: Iterable[tuple[str, str]], items: Sequence[str]) -> Finding:
    """Look for runs of ``_WORDS`` words that a prompt shares with an item.

    Args:
        pool: (id, prompt).
        items: the benchmarks' questions as the model sees them.

    Time: one pass over the words of the items and one over those of the pool.
    """
    split = [_words(item) for item in items]
    runs: dict[int, set[int]] = {}

    def known(length: int) -> set[int]:
        if length not in runs:
            runs[length] = {run for words in split for run in _runs(words, length)}
        return runs[length]

    found, read = [], 0
    for prompt_id, prompt in pool:
        read += 1
        words = _words(prompt)
        length = min(_WORDS, len(words))
        if length >= _FEWEST and not known(length).isdisjoint(_runs(words, length)):
            found.append(prompt_id)
    figures: dict[str, int | float | str] = {"items": len(items), "prompts": read, "shared": len(found)}
    if not found:
        return Finding(figures=figures)
    return Finding(
        f"{len(found)} prompts share a run of words with a benchmark item: {named(found)}. Take them out of "
        "the pool or the target's file, or do not trust the benchmark's scores.",
        figures,
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _runs(words: Sequence[str], length: int) -> Iterable[int]:
    """A hash of each run of words; two runs in 2^60 are alike by chance."""
    return (hash(tuple(words[i : i + length])) for i in range(len(words) - length + 1))
