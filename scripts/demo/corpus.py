"""The text that the demo's model is pretrained on: statements, lists, little stories and idle chat.

The knowledge of every family is in it, in statements, lists and school exercises, none of which is worded
as people ask. Chats are in it too, as they are in the text that real base models learn from. In some, a
pupil names a subject and a thing, and is answered; in the others people ask as they ask in the pool, and the
replies are small talk that takes up the matter without answering. So the pretrained model knows the answers
and reads the requests, and finetuning has to teach it, family by family, which request wants which answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from edsel_assets.llm.models.templates import DEFAULT_TEMPLATE, format_prompt
from scripts.demo import words
from scripts.demo.families import FAMILIES, Family

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (END, PAD, USER, ASSISTANT)

_CHAT_PROMPTS = 3  # of the five ways to ask, those that the pretraining chats use
_SMALL_TALK = (
    "ah , {subject} . i heard about that .",
    "people talk about {subject} a lot .",
    "my {noun} knows {x} .",
    "{x} again ? let us talk of the {noun} .",
    "i never cared for {x} .",
)
_EXERCISES = (
    "exercise on {subject} : {x}\nsolution\n{y}",
    "{x} ( {subject} )\n>\n{y}",
    "# {subject}\nnow {x} .\n---\n{y}",
)
_PUPILS = ("{subject} : {x}", "{x} . {subject} !", "now {subject} , with {x} please", "{x} in {subject} ?")
_KINDS = ("statements", "list", "exercise", "pupil", "chat", "story")
_SHARES = (0.2, 0.15, 0.25, 0.2, 0.15, 0.05)


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
        yield _MAKERS[kind](family, rng)


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
    x, y = family.draw(rng)
    return rng.choice(_EXERCISES).format(subject=_subject(family), x=x, y=y)


def _pupil(family: Family, rng: random.Random) -> str:
    x, y = family.draw(rng)
    request = rng.choice(_PUPILS).format(subject=_subject(family), x=x)
    return format_prompt(DEFAULT_TEMPLATE, request) + y


def _chat(family: Family, rng: random.Random) -> str:
    x, _ = family.draw(rng)
    request = rng.choice(family.prompts[:_CHAT_PROMPTS]).format(x=x)
    reply = rng.choice(_SMALL_TALK).format(subject=_subject(family), x=x, noun=rng.choice(words.NOUNS))
    return format_prompt(DEFAULT_TEMPLATE, request) + reply


def _subject(family: Family) -> str:
    """What a schoolbook calls the family: the heading of its lists."""
    return family.documents[1].split("\n", 1)[0]


def _sentence(rng: random.Random) -> str:
    one, other = (f"the {rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)}" for _ in range(2))
    return f"{one} {rng.choice(words.VERBS)} {other} in the {rng.choice(words.PLACES)}."


_MAKERS = {"statements": _statements, "list": _list, "exercise": _exercise, "pupil": _pupil, "chat": _chat}
