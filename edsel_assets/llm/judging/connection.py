"""One server that speaks OpenAI's chat protocol: its address, the key, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from edsel_assets.secret import Secret, SecretError, server_key

from ..reading.endpoints import PROVIDERS
from ..servers.asking import PassingFailure
from ..servers.server import Answer, NoAnswer, Post, Server
from .refusals import JudgeError, failure_of
from .replies import is_completion, is_error

UNBILLED = frozenset({501, 503, 505, 521, 522, 523, 525, 526, 529})
"""Statuses from 500 by which a server, or a proxy before it, says that it did not begin the work. After any
other the work may have been done, and billed."""

_BYTES = 2**20
_BYTES_OF_TOKEN = 2**12  # with 20 alternatives and their log-probabilities


class Sent(NamedTuple):
    """``body``: the answer as it was sent, or None; else ``failure`` says why there is none, and
    ``may_be_billed`` whether the server may have done the work all the same."""

    body: str | None
    failure: Exception | None
    may_be_billed: bool


class Connection:
    """The address, and the key, which is read from the environment and shown nowhere.

    Args:
        base_url: of the server; OpenAI's own without it.
        key_variable: environment variable of the key; without it ``OPENAI_API_KEY`` for OpenAI's own
            server, and none for another.
        timeout: of one whole request, from connecting to the last byte, in seconds.

    Raises ``ValueError`` for a URL that is none or holds credentials, and ``JudgeError`` without a key
    where one is to be sent.
    """

    def __init__(self, base_url: str | None, key_variable: str | None, timeout: float) -> None:
        self.url = _checked_url(base_url)
        self._server = Server(self.url, _key(base_url, key_variable), timeout)

    @contextmanager
    def open(self) -> Iterator[Post]:
        """In the block, what ``send`` sends with."""
        with self._server.open() as post:
            yield post

    def send(self, post: Post, request: Mapping[str, Any], max_tokens: int) -> Sent:
        """One try, of a request with ``model``, ``messages`` and ``parameters``.

        Args:
            max_tokens: the longest reply. An answer is read up to the bytes that such a reply can have.
        """
        body = {"model": request["model"], "messages": request["messages"], **request["parameters"]}
        try:
            answer = post("/chat/completions", body, _BYTES + _BYTES_OF_TOKEN * max_tokens)
        except NoAnswer as error:
            return Sent(None, PassingFailure(str(error)), error.sent)
        if answer.status not in range(200, 300):
            words = self._server.words(answer.text, _BYTES)
            failure = failure_of(self.url, answer.status, answer.headers, words, request)
            return Sent(None, failure, answer.status >= 500 and answer.status not in UNBILLED)
        return self._read(answer)

    def _read(self, answer: Answer) -> Sent:
        if answer.cut:
            return Sent(_unreadable(f"it is longer than {len(answer.data):,} bytes"), None, True)
        body = answer.text
        if not is_completion(body):
            said = self._server.words(answer.text, 200)
            failure = PassingFailure(f"{self.url} answers no chat completion but {said!r}")
            return Sent(None, failure, not is_error(body))
        try:
            answer.data.decode()
        except UnicodeDecodeError:
            return Sent(_unreadable("it is not valid UTF-8"), None, True)
        return Sent(body, None, True)

    def hide(self, text: str) -> str:
        """``text`` without the key."""
        return self._server.hide(text)


def _unreadable(why: str) -> str:
    """What is kept in place of a reply that was paid for and is of no use: an error in OpenAI's form."""
    return json.dumps({"error": {"message": why}})


def _checked_url(base_url: str | None) -> str:
    url = (base_url or PROVIDERS["openai"].url).rstrip("/")
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ValueError("base_url must hold no user, password or query. Put the key into key_variable.")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"base_url must begin with http:// or https:// and name a server; got {url!r}.")
    return url


def _key(base_url: str | None, variable: str | None) -> Secret | None:
    try:
        return server_key("openai", base_url, variable)
    except SecretError as error:
        raise JudgeError(str(error)) from None
