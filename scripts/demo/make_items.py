"""The held-out items of the demo study: the data of its two lm-eval tasks."""

from __future__ import annotations

import random
from typing import Any

from scripts.demo.families import FAMILIES, Family
from scripts.demo.make_pool import HELD_OUT, SPLIT_SEED, split_items

_CHOICES = 4


def choice_items() -> list[dict[str, Any]]:
    """Prompt, choices (2 to 4, shuffled), label (an index into them) and task of each item."""
    rows = []
    for family in FAMILIES.values():
        rng = random.Random(f"{SPLIT_SEED} choice {family.name}")
        for x, y in split_items(family)[0][:HELD_OUT]:
            choices = [y, *_wrong_answers(family, x, y, rng)]
            rng.shuffle(choices)
            prompt = rng.choice(family.prompts).format(x=x)
            rows.append(
                {"prompt": prompt, "choices": choices, "label": choices.index(y), "task": family.name}
            )
    return rows


def generate_items() -> list[dict[str, Any]]:
    """Prompt, response and task of each item."""
    rows = []
    for family in FAMILIES.values():
        rng = random.Random(f"{SPLIT_SEED} generate {family.name}")
        for x, y in split_items(family)[0][HELD_OUT:]:
            rows.append(
                {"prompt": rng.choice(family.prompts).format(x=x), "response": y, "task": family.name}
            )
    return rows


def _wrong_answers(family: Family, x: str, y: str, rng: random.Random) -> list[str]:
    """Up to three different wrong answers: the family's own, or what is right for other items."""
    if family.wrong is not None:
        candidates = family.wrong(x, y, rng)
    else:
        candidates = [answer for _, answer in family.items(200, random.Random(f"{SPLIT_SEED} {family.name}"))]
        rng.shuffle(candidates)
    return [answer for answer in dict.fromkeys(candidates) if answer != y][: _CHOICES - 1]
