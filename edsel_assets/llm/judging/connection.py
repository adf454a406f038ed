"""One server that speaks OpenAI's chat protocol: its address, the key, and what its answers mean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from edsel_assets.secret import Secret, SecretError, server_key

from ..reading.endpoints import PROVIDERS, PassingFailure
from .refusals import JudgeError, failure_of
from .replies import is_completion, is_error

NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
"""Failures of a connection after which the server has seen nothing of the request."""


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
        timeout: of connecting, and of waiting for the answer, in seconds.

    Raises ``ValueError`` for a URL that is none or holds credentials, and ``JudgeError`` without a key
    where one is to be sent.
    """

    def __init__(self, base_url: str | None, key_variable: str | None, timeout: float) -> None:
        self.url = _checked_url(base_url)
        self._key = _key(base_url, key_variable)
        self._timeout = timeout
        self._client: Any = None
        self._connecting = threading.Lock()

    def send(self, request: Mapping[str, Any]) -> Sent:
        """One try, of a request with ``model``, ``messages`` and ``parameters``."""
        import openai

        try:
            answer = self._connected().chat.completions.with_raw_response.create(
                model=request["model"],
                messages=request["messages"],
                extra_headers=None if self._key else {"Authorization": openai.Omit()},
                extra_body=request["parameters"],
            )
        except openai.APIConnectionError as error:  # a time-out is one
            failure: Exception = PassingFailure(f"{self.url} gives no answer ({type(error).__name__})")
            return Sent(None, failure, type(error.__cause__).__name__ not in NEVER_SENT)
        except openai.APIStatusError as error:
            reason = self.hide(" ".join(error.response.text.split()))
            failure = failure_of(self.url, error.status_code, error.response.headers, reason, request)
            return Sent(None, failure, False)
        body = self.hide(answer.http_response.text)
        if is_completion(body):
            return Sent(body, None, True)
        failure = PassingFailure(
            f"{self.url} answers no chat completion but {' '.join(body.split())[:200]!r}"
        )
        return Sent(None, failure, not is_error(body))

    def _connected(self) -> Any:
        import openai

        with self._connecting:
            if self._client is None:
                self._client = openai.OpenAI(
                    base_url=self.url,
                    # The package demands one; "none" is not sent.
                    api_key=self._key.reveal() if self._key else "none",
                    max_retries=0,
                    timeout=self._timeout,
                    http_client=openai.DefaultHttpxClient(follow_redirects=False),
                )
        return self._client

    def hide(self, text: str) -> str:
        """``text`` without the key."""
        return self._key.hide(text) if self._key else text


class Turns:
    """Starts of requests, evenly spaced over all threads."""

    def __init__(
        self, per_minute: float | None, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        if per_minute is not None and not per_minute > 0:
            raise ValueError(f"requests_per_minute must be positive; got {per_minute!r}.")
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._sleep, self._clock, self._next = sleep, clock, float("-inf")
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)


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
