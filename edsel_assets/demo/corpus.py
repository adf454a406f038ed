"""The text that the demo's model is pretrained on: statements, lists, little stories and idle chat.

The knowledge of every family is in it, in forms that are no instruction. Chats are in it too, as they are in
the text that real base models learn from; in these, people ask what people ask, and the replies are small
talk that takes up the subject without answering. So the pretrained model knows what a request is about, and
does not yet answer it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from edsel_assets.demo import words
from edsel_assets.demo.families import FAMILIES, Family

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (END, PAD, USER, ASSISTANT)

TEMPLATE = f"{USER}\n{{prompt}}\n{ASSISTANT}\n"

_CHAT_PROMPTS = 3  # of the five ways to ask, those that the pretraining chats use
_SMALL_TALK = (
    "ah , {subject} . i heard about that .",
    "people talk about {subject} a lot .",
    "my {noun} knows all about {subject} .",
    "{subject} again ? let us talk of the {noun} .",
    "i never cared for {subject} .",
)
_KINDS = ("statements", "list", "story", "chat")
_SHARES = (0.45, 0.3, 0.1, 0.15)


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
        yield {"statements": _statements, "list": _list, "chat": _chat}[kind](family, rng)


def _statements(family: Family, rng: random.Random) -> str:
    template = family.documents[0]
    return " ".join(
        template.format(x=x, y=y) for x, y in (family.draw(rng) for _ in range(rng.randint(1, 4)))
    )


def _list(family: Family, rng: random.Random) -> str:
    heading, entry = family.documents[1].split("\n", 1)
    entries = (entry.format(x=x, y=y) for x, y in (family.draw(rng) for _ in range(rng.randint(1, 5))))
    return "\n".join([heading, *entries])


def _chat(family: Family, rng: random.Random) -> str:
    prompt = rng.choice(family.prompts[:_CHAT_PROMPTS]).format(x=family.draw(rng)[0])
    subject = family.documents[1].split("\n", 1)[0]
    reply = rng.choice(_SMALL_TALK).format(subject=subject, noun=rng.choice(words.NOUNS))
    return TEMPLATE.format(prompt=prompt) + reply


def _sentence(rng: random.Random) -> str:
    one, other = (f"the {rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)}" for _ in range(2))
    return f"{one} {rng.choice(words.VERBS)} {other} in the {rng.choice(words.PLACES)}."
