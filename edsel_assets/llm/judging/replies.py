"""What an OpenAI-compatible chat endpoint answers, taken apart and checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any


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
        answer = json.loads(body)
        choice = answer["choices"][0]
        text = choice["message"]["content"]
        logprobs = _logprobs(choice.get("logprobs"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the server's answer is no chat completion ({type(error).__name__})") from None
    if not isinstance(text, str):
        refusal = choice["message"].get("refusal")
        raise ValueError(f"the reply has no text{f' but a refusal: {refusal}'[:200] if refusal else ''}")
    prompt, completion = billed_tokens(body)
    return Reply(text, str(choice.get("finish_reason")), logprobs, prompt, completion)


def is_completion(body: str) -> bool:
    """Whether ``body`` is a chat completion, with or without a text in it."""
    try:
        return isinstance(json.loads(body)["choices"][0]["message"], dict)
    except (IndexError, KeyError, TypeError, ValueError):  # another form, or no JSON
        return False


def is_error(body: str) -> bool:
    """Whether ``body`` is an error in OpenAI's form, which some servers send with status 200."""
    try:
        return bool(json.loads(body)["error"])
    except (KeyError, TypeError, ValueError):  # another form, or no JSON
        return False


def billed_tokens(body: str) -> tuple[int | None, int | None]:
    """(prompt, completion) tokens of the answer's ``usage``; None for each that it does not state."""
    try:
        usage = json.loads(body)["usage"]
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (AttributeError, KeyError, TypeError, ValueError):  # what has no usage states no tokens
        return None, None
    prompt, completion = (n if type(n) is int and n >= 0 else None for n in counts)
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
