"""What an answer other than a chat completion means: try again, mend the settings, or leave this one out.

Servers agree on statuses but not on words. A request counts as refused for its text only where the server
names length or a filter, and as wrong settings only where it names a parameter; where it names neither, or
both, nothing is concluded beyond this one request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..servers.asking import RETRIED, PassingFailure, pause_asked_for
from ..servers.server import json_of

TOKENS_PARAMETERS = frozenset({"max_tokens", "max_completion_tokens"})
_LENGTH = re.compile(
    r"context.?(length|size|window)|too.?(long|large|many (input |prompt )?tokens)|reduce the length"
    r"|input token",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content.?(filter|policy|management|exists)|filtered|safety|moderat|flagged|usage polic|invalid_prompt"
    r"|inappropriate|inspection",
    re.IGNORECASE,
)
_PARAMETER = re.compile(
    r"(unsupported|unrecognized|unknown|unexpected).{0,10}(parameter|argument|field|value|keyword)"
    r"|extra.(inputs?|forbidden)|not supported|does not (support|exist)|model_not_found",
    re.IGNORECASE,
)


class JudgeError(RuntimeError):
    """The endpoint cannot be asked, or the run was to end at a failure; one line, never with a key."""


class Refused(Exception):
    """The server will not answer this one request; ``for_its_text`` where it says that the text is why."""

    def __init__(self, reason: str, for_its_text: bool) -> None:
        super().__init__(reason)
        self.for_its_text = for_its_text


def failure_of(
    url: str, status: int, headers: Mapping[str, str], reason: str, request: Mapping[str, Any]
) -> Exception:
    """What a status other than 200 means for ``request``; ``reason`` is the server's own words in one line.

    ``PassingFailure`` for a server's fault and for too many requests, ``Refused`` for 413, and for 400 and
    422 unless they name a parameter; ``JudgeError`` for all else, as every further request would get it too.
    """
    said = f"{url} answers {status}: {reason[:300]}"
    if status in RETRIED or status >= 500:
        return PassingFailure(f"{url} answers {status}", pause_asked_for(headers))
    if status == 413:
        return Refused(said, for_its_text=True)
    if status == 402:
        return JudgeError(f"{said}. The account has no credit: add some, and run again.")
    if status not in (400, 422):
        return JudgeError(f"{said}. Mend key, model or address.")
    text, settings = _blamed(reason, request)
    if settings and not text:
        return JudgeError(f"{said}. Mend the model or the parameters: {', '.join(request['parameters'])}.")
    return Refused(said, for_its_text=text and not settings)


def _blamed(reason: str, request: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the server's words blame (the text, the settings) of a request."""
    parameters = request["parameters"]
    sent = set(re.findall(r"\w+", reason)) & set(parameters)
    settings = bool(sent - TOKENS_PARAMETERS or _PARAMETER.search(reason) or _field(reason) == "model")
    if _LENGTH.search(reason):  # of text and reply together: no token is shorter than a byte
        longest = max((parameters[name] for name in TOKENS_PARAMETERS & set(parameters)), default=0)
        text = written(request["messages"]) > longest
        return text, settings or not text
    return bool(_FILTER.search(reason)), settings or bool(sent)


def _field(reason: str) -> str | None:
    """The part of the request that OpenAI's own form of an error names."""
    try:
        return str(json_of(reason)["error"]["param"])
    except (KeyError, TypeError, ValueError):  # another form, which has its words alone
        return None


def written(messages: Any) -> int:
    """Bytes of the texts of messages."""
    texts = [text for message in messages for text in message.values()]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
