"""One client for chat over any endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from ..reading.endpoints import PROVIDERS, RETRIED, PassingFailure
from .ledger import CostStop, Ledger, content_key
from .replies import Reply, billed_tokens, read_reply

Value = TypeVar("Value")
Messages = Sequence[Mapping[str, str]]
"""Each with ``role`` and ``content``."""

WRONG_SETTINGS = frozenset({401, 403, 404})
"""Statuses that every further request would get too."""

FORMAT_TOKENS = 16
"""At most so many tokens does a chat format add to each message."""


class JudgeError(RuntimeError):
    """The endpoint cannot be asked, or the run was to end at a failure; one line, never with a key."""


class _Refused(Exception):
    """The server will not answer this one request."""


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What the parser made of a reply, or None and in one line why there is nothing.

    ``invalid``: there was a reply, but of the wrong form; else the request failed.
    """

    value: Value | None
    failure: str = ""
    invalid: bool = False


@dataclass(frozen=True)
class Prices:
    """In any one currency per 1,000 tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def __post_init__(self) -> None:
        if not (self.prompt >= 0 and self.completion >= 0):
            raise ValueError(f"prices must be 0 or more; got {self.prompt!r} and {self.completion!r}.")

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1000


class ChatClient:
    """Asks many things at once, pays for nothing twice, and stops before it costs too much.

    Replies are kept by content in ``folder``: by model, URL, messages and parameters. What was asked before
    is answered from there. The stop counts a request, before it is sent, at the most that it can cost: a
    token per byte of its messages, and ``max_tokens``. A request whose answer never came is counted at that
    too, since it may have been billed.

    Args:
        model: name of the model, as the server knows it.
        folder: of the kept replies and of the spending; several processes may share it.
        base_url: of the server; OpenAI's own without it. It must hold no credentials.
        key_variable: environment variable that holds the key; ``OPENAI_API_KEY`` without it. A server of
            one's own that needs no key may leave it unset.
        concurrency: requests under way at a time.
        requests_per_minute: at most, evenly spaced; None for no limit.
        attempts: how often a request is tried where the failure may pass.
        replies: how many replies are bought at most until one has the right form.
        timeout: of connecting, and of waiting for the answer, in seconds.
        max_pause: between two tries, in seconds.
        prices, max_cost: the meter, and where it stops; what the folder has spent before counts.
        on_failure: ``raise`` ends the run at the first request that is refused, given up or over the stop;
            ``skip`` goes on without its value (after the stop, with kept replies alone).
        on_invalid: the same for replies of the wrong form.
        tokens_parameter: how this server calls the longest reply.

    Raises:
        ValueError: a number out of range, a URL with credentials, or a stop without prices.
        JudgeError: no key for OpenAI's own server.
    """

    def __init__(
        self,
        model: str,
        folder: str | os.PathLike[str],
        *,
        base_url: str | None = None,
        key_variable: str | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        attempts: int = 6,
        replies: int = 1,
        timeout: float = 120.0,
        max_pause: float = 60.0,
        prices: Prices | None = None,
        max_cost: float | None = None,
        on_failure: Literal["raise", "skip"] = "raise",
        on_invalid: Literal["raise", "skip"] = "skip",
        tokens_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not model:
            raise ValueError("a chat endpoint needs the name of a model.")
        for name, value in {"concurrency": concurrency, "attempts": attempts, "replies": replies}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
        for name, wanted in {"on_failure": on_failure, "on_invalid": on_invalid}.items():
            if wanted not in ("raise", "skip"):
                raise ValueError(f"{name} must be 'raise' or 'skip'; got {wanted!r}.")
        self._prices = prices or Prices()
        if max_cost is not None and not (self._prices.prompt or self._prices.completion):
            raise ValueError("max_cost needs the prices of 1,000 prompt and completion tokens.")
        self._model, self._url = model, _checked_url(base_url)
        self._key = _key(key_variable, own_server=base_url is not None)
        self._ledger = Ledger(folder, max_cost)
        self._turns = _Turns(requests_per_minute, sleep, clock)
        self._concurrency, self._attempts, self._buys = concurrency, attempts, replies
        self._timeout, self._max_pause, self._sleep = timeout, max_pause, sleep
        self._on_failure, self._on_invalid = on_failure, on_invalid
        self._tokens_parameter = tokens_parameter
        self._client: Any = None
        self._connecting = threading.Lock()

    @property
    def spent(self) -> float:
        """What the folder's requests cost so far, in the currency of the prices."""
        return self._ledger.spent

    def ask(
        self,
        conversations: Sequence[Messages],
        parse: Callable[[Reply], Value],
        *,
        max_tokens: int,
        parameters: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Outcome[Value]]:
        """One outcome per conversation, in their order; equal ones are asked once.

        Args:
            parse: the value of a reply; it raises ``ValueError`` for a reply of the wrong form.
            max_tokens: the longest reply.
            parameters: further ones of the protocol, such as ``temperature``, ``logprobs``.
            progress: called with (done, different conversations).

        Raises:
            JudgeError: as ``on_failure`` and ``on_invalid`` say, and for a wrong key, model or address.
            CostStop: before the first request that could cost more than is left, if ``on_failure`` is
                ``raise``.
            Requests under way are waited for, and their replies are kept.
        """
        requests = [self._request(messages, max_tokens, parameters or {}) for messages in conversations]
        keys = [content_key(request, 0) for request in requests]
        different = dict(zip(keys, requests, strict=True))
        stop = _Stop()
        found: dict[str, Outcome[Value]] = {}
        with ThreadPoolExecutor(self._concurrency) as pool:
            try:
                outcomes = pool.map(lambda each: self._guarded(each, parse, stop), different.values())
                for key, outcome in zip(different, outcomes, strict=True):
                    found[key] = outcome
                    if progress is not None:
                        progress(len(found), len(different))
            except BaseException as error:
                stop.at(error)
                pool.shutdown(cancel_futures=True)
                # Not the error of a request that was left out because of it.
                raise stop.error or error from None
        return [found[key] for key in keys]

    def _request(self, messages: Messages, max_tokens: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1; got {max_tokens!r}.")
        if parameters.get("n", 1) != 1 or parameters.get("stream"):
            raise ValueError("a request is for one reply, in one piece; leave out n and stream.")
        body = {self._tokens_parameter: max_tokens, **parameters}
        plain = [dict(message) for message in messages]
        return {"model": self._model, "url": self._url, "messages": plain, "parameters": body}

    def _guarded(
        self, request: dict[str, Any], parse: Callable[[Reply], Value], stop: _Stop
    ) -> Outcome[Value]:
        try:
            return self._outcome(request, parse, stop)
        except BaseException as error:
            stop.at(error)
            raise

    def _outcome(
        self, request: dict[str, Any], parse: Callable[[Reply], Value], stop: _Stop
    ) -> Outcome[Value]:
        failure = ""
        for number in range(self._buys):
            key = content_key(request, number)
            try:
                body = self._ledger.reply(key) or self._bought(request, key, stop)
            except (PassingFailure, _Refused, CostStop) as error:
                return self._failed(error, stop)
            try:
                return Outcome(parse(read_reply(body)))
            except ValueError as error:
                failure = self._hide(str(error))
        if self._on_invalid == "raise":
            raise JudgeError(f"{self._url}: {failure}. What was paid for is kept.")
        return Outcome(None, failure, invalid=True)

    def _failed(self, error: Exception, stop: _Stop) -> Outcome[Value]:
        if self._on_failure == "skip":
            if isinstance(error, CostStop):
                stop.at(error)
            return Outcome(None, str(error))
        if isinstance(error, CostStop):
            raise error
        raise JudgeError(f"{error}. What was paid for is kept.") from None

    def _bought(self, request: dict[str, Any], key: str, stop: _Stop) -> str:
        """The reply after as many tries as it takes."""
        import tenacity

        growing = tenacity.wait_exponential(multiplier=0.5) + tenacity.wait_random(0, 0.5)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after if isinstance(error, PassingFailure) else None
            return min(growing(state) if asked is None else asked, self._max_pause)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailure),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, request, key, stop)
        except PassingFailure as error:
            raise PassingFailure(f"{error}; given up after {self._attempts} tries") from None

    def _once(self, request: dict[str, Any], key: str, stop: _Stop) -> str:
        self._turns.wait()
        if stop.error is not None:
            raise CostStop(f"not asked any more: {stop.error}")
        bound = self._bound(request)
        ticket = self._ledger.reserve(key, bound)
        body, failure, cost = None, None, bound  # at its most, unless the answer says otherwise
        try:
            body, failure, cost = self._send(request, bound)
        finally:
            said = {"reply": body, "request": request} if body is not None else {"failure": str(failure)}
            self._ledger.settle(ticket, key, cost, **said)
        if body is None:
            assert failure is not None
            raise failure
        return body

    def _send(self, request: dict[str, Any], bound: float) -> tuple[str | None, Exception | None, float]:
        """(the answer as it was sent or None, else the failure, what it cost)."""
        import openai

        try:
            answer = self._connected().chat.completions.with_raw_response.create(
                model=request["model"],
                messages=request["messages"],
                extra_headers=None if self._key else {"Authorization": openai.Omit()},
                extra_body=request["parameters"],
            )
        except openai.APIConnectionError as error:  # a time-out is one
            unsent = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")
            reason = f"{self._url} gives no answer ({type(error).__name__})"
            return None, PassingFailure(reason), 0.0 if unsent else bound
        except openai.APIStatusError as error:
            return None, self._status(error.status_code, error.response), 0.0
        body = self._hide(answer.http_response.text)
        prompt, completion = billed_tokens(body)
        if prompt is None or completion is None:
            return body, None, bound
        return body, None, self._prices.of(prompt, completion)

    def _status(self, status: int, response: Any) -> Exception:
        reason = self._hide(" ".join(response.text.split()))[:300]
        if status in RETRIED:
            return PassingFailure(f"{self._url} answers {status}", _retry_after(response.headers))
        if status in WRONG_SETTINGS:
            return JudgeError(f"{self._url} answers {status}: {reason}. Mend key, model or address.")
        return _Refused(f"{self._url} answers {status}: {reason}")

    def _bound(self, request: dict[str, Any]) -> float:
        """The most that a request can cost: no token is shorter than a byte."""
        texts = [text for message in request["messages"] for text in message.values()]
        written = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        prompt = written + FORMAT_TOKENS * (len(request["messages"]) + 1)
        return self._prices.of(prompt, request["parameters"][self._tokens_parameter])

    def _connected(self) -> Any:
        import openai

        with self._connecting:
            if self._client is None:
                self._client = openai.OpenAI(
                    base_url=self._url,
                    api_key=self._key or "none",  # the package demands one, which is not sent
                    max_retries=0,
                    timeout=self._timeout,
                    http_client=openai.DefaultHttpxClient(follow_redirects=False),
                )
        return self._client

    def _hide(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _Stop:
    """The first error that ended the asking."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._lock = threading.Lock()

    def at(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error


class _Turns:
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


def _key(variable: str | None, own_server: bool) -> str | None:
    name = variable or PROVIDERS["openai"].key_variable
    key = os.environ.get(name)
    if not key and (variable is not None or not own_server):
        raise JudgeError(f"the key of the chat endpoint is missing: set {name} in the environment.")
    return key


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # absent, or a date, which the growing pauses stand in for
        return None
