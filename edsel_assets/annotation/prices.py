"""What a prompt costs to have answered, in the study's own unit of money."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from edsel_assets.annotation.errors import AnnotationError


def constant_prices(prompts: Sequence[str], price: float) -> list[float]:
    """The same price for each of N prompts."""
    return [_checked(price, "The price of a prompt")] * len(prompts)


def length_prices(
    prompts: Sequence[str],
    response_lengths: Sequence[float],
    *,
    per_thousand_prompt: float,
    per_thousand_response: float,
    length: Callable[[str], int] = len,
) -> list[float]:
    """(length of prompt * its rate + expected length of response * its rate) / 1000, for N prompts.

    Args:
        response_lengths: N expected lengths (``expected_lengths``), at least 0, in the unit of ``length``.
        per_thousand_prompt, per_thousand_response: price of 1,000 units of each, at least 0.
        length: of a text; characters by default. Pass a tokenizer's count for a price by tokens.
    """
    if len(response_lengths) != len(prompts):
        raise AnnotationError(
            f"One expected length is needed for each prompt; got {len(response_lengths)} for {len(prompts)}."
        )
    rates = [
        _checked(per_thousand_prompt, "The price of 1,000 units of a prompt"),
        _checked(per_thousand_response, "The price of 1,000 units of a response"),
    ]
    return [
        (length(prompt) * rates[0] + _checked(expected, "The expected length of a response") * rates[1])
        / 1000
        for prompt, expected in zip(prompts, response_lengths, strict=True)
    ]


def expected_lengths(
    tasks: Sequence[str | None],
    answered: Sequence[tuple[str | None, float]],
    *,
    prior: float,
    weight: float = 5.0,
) -> list[float]:
    """The expected length of a response, for N prompts, from the responses that are there.

    The mean over the answered prompts of the same task, drawn towards the mean over all of them,
    and that towards ``prior``, each as if ``weight`` responses of that length had been seen.

    Args:
        tasks: of the N prompts; None where unknown.
        answered: (task, length of the response) of each answered prompt.
        prior: the length expected before any answer is there.
    """
    overall = _mean([length for _, length in answered], _checked(prior, "The expected length"), weight)
    by_task: dict[str | None, list[float]] = {}
    for task, length in answered:
        by_task.setdefault(task, []).append(length)
    means = {task: _mean(lengths, overall, weight) for task, lengths in by_task.items() if task is not None}
    return [overall if task is None else means.get(task, overall) for task in tasks]


def column_prices(prompt_ids: Sequence[str], prices: Mapping[str, float | None]) -> list[float]:
    """The price of each prompt from a column of the pool.

    Raises:
        AnnotationError: a prompt without a price, or one that is not a number of at least 0.
    """
    found = []
    for key in prompt_ids:
        price = prices.get(key)
        if price is None:
            raise AnnotationError(
                f"Prompt {key} has no price. Fill in the price column of the pool, or price by another rule."
            )
        found.append(_checked(price, f"The price of prompt {key}"))
    return found


def _mean(lengths: Sequence[float], before: float, weight: float) -> float:
    return (sum(lengths) + weight * before) / (len(lengths) + weight)


def _checked(value: float, what: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise AnnotationError(f"{what} is a number of at least 0; got {value!r}.")
    return float(value)
