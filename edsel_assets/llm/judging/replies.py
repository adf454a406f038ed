"""What an OpenAI-compatible chat endpoint answers, taken apart and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..servers.server import json_of, one_line

MOST_TOKENS = 10**12
"""A bill for more counts as one for so many: it stops every budget, and is still a number."""


@dataclass(frozen=True)
class Reply:
    """One chat completion.

    Attributes:
        text: of the first choice.
        finish_reason: ``stop``, ``length`` and so on, as the server says.
        logprobs: per token of the text, the likeliest tokens there with log p in nats; None without them.
        prompt_tokens, completion_tokens: as billed; None where the server does not say.
    """

    text: str
    finish_reason: str
    logprobs: tuple[dict[str, float], ...] | None
    prompt_tokens: int | None
    completion_tokens: int | None


def read_reply(body: str) -> Reply:
    """The chat completion in ``body``; ``ValueError`` in one line where it is none."""
    try:
        answer = json_of(body)
        choice = answer["choices"][0]
        text = choice["message"].get("content")
        logprobs = _logprobs(choice.get("logprobs"))
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        reason = _error(body) or type(error).__name__
        raise ValueError(f"the server's answer is no chat completion ({reason})") from None
    if not isinstance(text, str):
        refusal = choice["message"].get("refusal")
        said = one_line(f" but a refusal: {refusal}")[:200] if refusal else ""
        raise ValueError(f"the reply has no text {said}".rstrip())
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the reply holds half a surrogate pair, which is not valid Unicode") from None
    prompt, completion = billed_tokens(body)
    return Reply(text, str(choice.get("finish_reason")), logprobs, prompt, completion)


def is_completion(body: str) -> bool:
    """Whether ``body`` is a chat completion, with or without a text in it."""
    try:
        return isinstance(json_of(body)["choices"][0]["message"], dict)
    except (IndexError, KeyError, TypeError, ValueError):  # another form, or no JSON
        return False


def is_error(body: str) -> bool:
    """Whether ``body`` is an error in OpenAI's form, which some servers send with status 200."""
    return bool(_error(body))


def _error(body: str) -> str:
    """What an error in OpenAI's form says, in one line; empty where ``body`` is none."""
    try:
        error = json_of(body)["error"]
    except (KeyError, TypeError, ValueError):  # another form, or no JSON
        return ""
    said = error.get("message") if isinstance(error, dict) else error
    return one_line(str(said or error or ""))[:200]


def billed_tokens(body: str) -> tuple[int | None, int | None]:
    """(prompt, completion) tokens of the answer's ``usage``; None for each that it does not state."""
    try:
        usage = json_of(body)["usage"]
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (AttributeError, KeyError, TypeError, ValueError):  # what has no usage states no tokens
        return None, None
    prompt, completion = (min(n, MOST_TOKENS) if type(n) is int and n >= 0 else None for n in counts)
    return prompt, completion


def _logprobs(found: Any) -> tuple[dict[str, float], ...] | None:
    if not found or found.get("content") is None:
        return None
    tokens = []
    for place in found["content"]:
        likeliest = {}
        for some in [place, *(place.get("top_logprobs") or [])]:
            value = float(some["logprob"])
            if math.isnan(value):
                raise ValueError("a log-probability is no number")
            likeliest[str(some["token"])] = value
        tokens.append(likeliest)
    return tuple(tokens)
