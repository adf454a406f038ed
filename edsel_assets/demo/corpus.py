"""The text that the demo's model is pretrained on: statements, lists, little stories and idle chat.

The knowledge of every family is in it, in statements, lists and school exercises, none of which is worded
as people ask. Chats are in it too, as they are in the text that real base models learn from: in these, people
ask what people ask, and the replies are small talk that takes up the thing asked about without answering. So
the pretrained model knows the answers and reads the requests, and does not yet answer them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from edsel_assets.demo import words
from edsel_assets.demo.families import FAMILIES, Family
from edsel_assets.llm.templates import DEFAULT_TEMPLATE, format_prompt

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (END, PAD, USER, ASSISTANT)

_CHAT_PROMPTS = 3  # of the five ways to ask, those that the pretraining chats use
_SMALL_TALK = (
    "ah , {x} . i heard about that .",
    "people talk about {x} a lot .",
    "my {noun} knows {x} .",
    "{x} again ? let us talk of the {noun} .",
    "i never cared for {x} .",
)
_EXERCISES = (
    "exercise on {heading} : {x}\nsolution\n{y}",
    "{x} ( {heading} )\n>\n{y}",
    "# {heading}\nnow {x} .\n---\n{y}",
)
_KINDS = ("statements", "list", "exercise", "story", "chat")
_SHARES = (0.22, 0.2, 0.4, 0.06, 0.12)


def documents(seed: int) -> Iterator[str]:
    """An endless stream of documents; the same seed gives the same stream."""
    rng = random.Random(seed)
    families = list(FAMILIES.values())
    while True:
        kind = rng.choices(_KINDS, _SHARES)[0]
        if kind == "story":
            yield " ".join(_sentence(rng) for _ in range(rng.randint(1, 4)))
            continue
        family = rng.choice(families)
        make = {"statements": _statements, "list": _list, "exercise": _exercise, "chat": _chat}[kind]
        yield make(family, rng)


def _statements(family: Family, rng: random.Random) -> str:
    template = family.documents[0]
    return " ".join(
        template.format(x=x, y=y) for x, y in (family.draw(rng) for _ in range(rng.randint(1, 4)))
    )


def _list(family: Family, rng: random.Random) -> str:
    heading, entry = family.documents[1].split("\n", 1)
    entries = (entry.format(x=x, y=y) for x, y in (family.draw(rng) for _ in range(rng.randint(1, 5))))
    return "\n".join([heading, *entries])


def _exercise(family: Family, rng: random.Random) -> str:
    heading = family.documents[1].split("\n", 1)[0]
    x, y = family.draw(rng)
    return rng.choice(_EXERCISES).format(heading=heading, x=x, y=y)


def _chat(family: Family, rng: random.Random) -> str:
    x, _ = family.draw(rng)
    prompt = rng.choice(family.prompts[:_CHAT_PROMPTS]).format(x=x)
    return format_prompt(DEFAULT_TEMPLATE, prompt) + rng.choice(_SMALL_TALK).format(
        x=x, noun=rng.choice(words.NOUNS)
    )


def _sentence(rng: random.Random) -> str:
    one, other = (f"the {rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)}" for _ in range(2))
    return f"{one} {rng.choice(words.VERBS)} {other} in the {rng.choice(words.PLACES)}."
