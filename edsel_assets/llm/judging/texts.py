"""Prompts and responses made to fit into a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..models.tokens import max_positions

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def longest(model: PreTrainedModel, max_tokens: int | None) -> int | None:
    """``max_tokens``, lowered to the model's positions; None where neither is known."""
    known = [limit for limit in (max_tokens, max_positions(model)) if limit is not None]
    if known and min(known) < 1:
        raise ValueError(f"max_tokens must be at least 1; got {max_tokens}.")
    return min(known) if known else None


def fitted(
    pairs: Sequence[tuple[str, str]],
    lengths: Callable[[Sequence[tuple[str, str]]], Sequence[int]],
    limit: int | None,
) -> list[tuple[str, str]]:
    """(prompt, response) pairs of ``limit`` tokens at most: the response's end is dropped, then the prompt's.

    ``lengths`` counts the tokens of pairs, with all that is put around them. Raises ``ValueError`` where that
    alone is too long.
    """
    found = list(pairs)
    if limit is None:
        return found
    for row, length in enumerate(lengths(found)):
        if length > limit:
            found[row] = _cut(found[row], lengths, limit, row)
    return found


def _cut(
    pair: tuple[str, str],
    lengths: Callable[[Sequence[tuple[str, str]]], Sequence[int]],
    limit: int,
    row: int,
) -> tuple[str, str]:
    prompt, response = pair

    def kept(characters: int) -> tuple[str, str]:
        return prompt[:characters], response[: max(0, characters - len(prompt))]

    low, high = 0, len(prompt) + len(response)  # low fits, high does not
    if lengths([kept(0)])[0] > limit:
        raise ValueError(f"pair {row}: the template alone is longer than {limit} tokens. Raise max_tokens.")
    while high - low > 1:
        middle = (low + high) // 2
        if lengths([kept(middle)])[0] <= limit:
            low = middle
        else:
            high = middle
    return kept(low)
