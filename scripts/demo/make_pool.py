"""The demo study's pool: what a collection of user prompts looks like, at a size that a laptop can finish.

The families are long-tailed (the n-th commonest has a share proportional to 1 / n ** ``SKEW``), some prompts
are near-duplicates or exact duplicates of others, and some rows are junk. No prompt of the benchmarks, and no
item that they ask about, is in the pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from scripts.demo import words
from scripts.demo.families import FAMILIES, Family, Item

ROWS = 2000
SKEW = 1.4
JUNK_SHARE = 0.08
NEAR_DUPLICATE_SHARE = 0.10
DUPLICATE_SHARE = 0.03
HELD_OUT = 8  # items per family and benchmark
SPLIT_SEED = 2024  # what is held out never depends on the seed of the pool
_ITEMS = 800  # the most items of a family that are drawn from its grammar

Row = dict[str, str]


def split_items(family: Family) -> tuple[list[Item], list[Item]]:
    """The family's items: (2 * HELD_OUT for the benchmarks, the rest for the pool), disjoint in x."""
    items = family.items(_ITEMS, random.Random(f"{SPLIT_SEED} {family.name}"))
    return items[: 2 * HELD_OUT], items[2 * HELD_OUT :]


def demo_rows(seed: int = 0) -> list[Row]:
    """The pool's ``ROWS`` rows: prompt, response, task, source, in random order.

    ``source`` is ``questions``, or ``near_duplicate``, ``duplicate``, ``junk`` for rows made to be so. A junk
    row keeps the task that it was made from. The same seed gives the same rows.
    """
    rng = random.Random(f"pool {seed}")
    near, again, junk = (round(ROWS * s) for s in (NEAR_DUPLICATE_SHARE, DUPLICATE_SHARE, JUNK_SHARE))
    questions = _questions(ROWS - near - again - junk, rng)
    rows = list(questions)
    seen = {row["prompt"] for row in rows}
    rows += _distinct(near, seen, lambda: _vary(rng.choice(questions), rng))
    rows += [{**row, "source": "duplicate"} for row in rng.sample(questions, again)]
    rows += _distinct(junk, seen, lambda: _junk(rng.choice(questions), rng))
    rng.shuffle(rows)
    return rows


def family_counts(total: int) -> dict[str, int]:
    """Questions per family, summing exactly to ``total``: Zipf's law by largest remainder."""
    weights = [1 / rank**SKEW for rank in range(1, len(FAMILIES) + 1)]
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return dict(zip(FAMILIES, counts, strict=True))


def _questions(total: int, rng: random.Random) -> list[Row]:
    rows: list[Row] = []
    for name, count in family_counts(total).items():
        family = FAMILIES[name]
        _, items = split_items(family)
        asked = [(template, item) for item in items for template in family.prompts]
        if len(asked) < count:
            raise ValueError(f"family {name} has {len(asked)} questions for {count} rows; give it more items")
        for template, (x, y) in rng.sample(asked, count):
            rows.append({"prompt": template.format(x=x), "response": y, "task": name, "source": "questions"})
    return rows


def _distinct(count: int, seen: set[str], make: Callable[[], Row]) -> list[Row]:
    """``count`` made rows whose prompts are not ``seen`` yet; adds them to ``seen``."""
    rows: list[Row] = []
    while len(rows) < count:
        row = make()
        if row["prompt"] not in seen:
            seen.add(row["prompt"])
            rows.append(row)
    return rows


def _vary(row: Row, rng: random.Random) -> Row:
    """The same request, as another hand would type it."""
    prompt = row["prompt"]
    change = rng.choice(
        (
            lambda: prompt.rstrip("?.:"),
            lambda: prompt + "?",
            lambda: prompt.capitalize() if prompt == prompt.lower() else "please, " + prompt,
            lambda: "please, " + prompt,
            lambda: "hi, " + prompt,
            lambda: prompt + " thanks",
            lambda: prompt.replace(" ", "  ", 1),
        )
    )
    return {**row, "prompt": change(), "source": "near_duplicate"}


def _junk(row: Row, rng: random.Random) -> Row:
    """A row that is worth nothing: garbled, cut off, almost empty, or with a useless answer."""
    kind = rng.choice(("garbled", "garbled", "truncated", "empty", "noise", "useless"))
    prompt, response = row["prompt"], row["response"]
    if kind == "garbled":
        letters = list(prompt)
        for i in rng.sample(range(len(letters)), max(3, len(letters) // 2)):
            letters[i] = rng.choice(words.LETTERS + list("#%&*@ "))
        prompt = "".join(letters).strip()
    elif kind == "truncated":
        prompt = prompt[: rng.randint(3, max(4, len(prompt) // 3))].strip()
    elif kind == "empty":
        prompt = rng.choice(
            ("??", "...", "hm", "ok", "test", "asdf", "x", "-", "hello?", "so", "tell me", "and?")
        )
        prompt += rng.choice(("", " ", ".", "!", " ?", "..")).rstrip(" ") + rng.choice(
            ("", "", " .", " ..", " !!")
        )
    elif kind == "noise":
        prompt = " ".join(
            "".join(rng.choices(words.LETTERS, k=rng.randint(2, 6))) for _ in range(rng.randint(3, 7))
        )
    if kind == "useless" or rng.random() < 0.7:
        response = rng.choice(
            ("i do not know", "sorry", "as an ai i can not say", "n/a", "good question", "...")
        )
    return {"prompt": prompt, "response": response, "task": row["task"], "source": "junk"}
