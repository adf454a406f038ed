"""One client for chat over any endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from ..servers.asking import Asker, PassingFailure
from ..servers.server import Post, one_line
from .connection import Connection, Sent
from .ledger import CostStop, Ledger, Prices, content_key
from .refusals import JudgeError, Refused, written
from .replies import Reply, billed_tokens, read_reply

Value = TypeVar("Value")
Messages = Sequence[Mapping[str, str]]
"""Each with ``role`` and ``content``."""

FORMAT_TOKENS = 16
"""At most so many tokens does a chat format add to each message."""


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What the parser made of a reply, or None and in one line why there is nothing.

    ``invalid``: there was a reply, but of the wrong form; else the request failed. ``refused``: the server
    will not answer this one for its text (too long, a filter), now or later. ``may_pass``: it was given up
    after its tries, or not sent because of the stop. ``cost``: of the replies that it rests on, whenever
    they were bought; 0 in every outcome but the first of equal conversations.
    """

    value: Value | None
    failure: str = ""
    invalid: bool = False
    refused: bool = False
    may_pass: bool = False
    cost: float = field(default=0.0, compare=False)


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
        timeout: of one whole request, from connecting to the last byte, in seconds.
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
        for name, value in {"concurrency": concurrency, "replies": replies}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
        for name, wanted in {"on_failure": on_failure, "on_invalid": on_invalid}.items():
            if wanted not in ("raise", "skip"):
                raise ValueError(f"{name} must be 'raise' or 'skip'; got {wanted!r}.")
        self._prices = prices or Prices()
        if max_cost is not None and not (self._prices.prompt or self._prices.completion):
            raise ValueError("max_cost needs the prices of 1,000 prompt and completion tokens.")
        self._model = model
        self._connection = Connection(base_url, key_variable, timeout)
        self._ledger = Ledger(folder, max_cost)
        self._asker = Asker(
            attempts, max_pause=max_pause, per_minute=requests_per_minute, sleep=sleep, clock=clock
        )
        self._concurrency, self._buys = concurrency, replies
        self._on_failure, self._on_invalid = on_failure, on_invalid
        self._tokens_parameter = tokens_parameter

    @property
    def spent(self) -> float:
        """What the folder's requests cost so far, in the currency of the prices."""
        return self._ledger.spent

    @property
    def unanswered(self) -> tuple[int, float]:
        """How many requests got no answer and may be billed all the same, and their part of ``spent``."""
        return self._ledger.unanswered

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
            JudgeError: as ``on_failure`` and ``on_invalid`` say, and for settings that no request can pass
                with: key, model, address, a parameter, no credit.
            CostStop: before the first request that could cost more than is left, if ``on_failure`` is
                ``raise``.
            Requests under way are waited for, and their replies are kept.
        """
        requests = [self._request(messages, max_tokens, parameters or {}) for messages in conversations]
        keys = [content_key(request, 0) for request in requests]
        different = dict(zip(keys, requests, strict=True))
        stop = _Stop()
        found: dict[str, Outcome[Value]] = {}
        with self._connection.open() as post, ThreadPoolExecutor(self._concurrency) as pool:
            try:
                outcomes = pool.map(lambda each: self._guarded(post, each, parse, stop), different.values())
                for key, outcome in zip(different, outcomes, strict=True):
                    found[key] = outcome
                    if progress is not None:
                        progress(len(found), len(different))
            except BaseException as error:
                stop.at(error)
                pool.shutdown(cancel_futures=True)
                # Not the error of a request that was left out because of it.
                raise stop.error or error from None
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        return [
            found[key] if first[key] == place else replace(found[key], cost=0.0)
            for place, key in enumerate(keys)
        ]

    def _request(self, messages: Messages, max_tokens: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1; got {max_tokens!r}.")
        if parameters.get("n", 1) != 1 or parameters.get("stream"):
            raise ValueError("a request is for one reply, in one piece; leave out n and stream.")
        body = {self._tokens_parameter: max_tokens, **parameters}
        plain = [dict(message) for message in messages]
        return {"model": self._model, "url": self._connection.url, "messages": plain, "parameters": body}

    def _guarded(
        self, post: Post, request: dict[str, Any], parse: Callable[[Reply], Value], stop: _Stop
    ) -> Outcome[Value]:
        try:
            return self._outcome(post, request, parse, stop)
        except BaseException as error:
            stop.at(error)
            raise

    def _outcome(
        self, post: Post, request: dict[str, Any], parse: Callable[[Reply], Value], stop: _Stop
    ) -> Outcome[Value]:
        failure, cost = "", 0.0
        for number in range(self._buys):
            key = content_key(request, number)
            try:
                kept = self._ledger.reply(key)
                once = partial(self._once, post, request, key, stop)
                body = self._asker.ask(once) if kept is None else kept
            except (PassingFailure, Refused, CostStop) as error:
                return self._failed(error, stop)
            cost += self._ledger.cost(key)
            try:
                return Outcome(parse(read_reply(body)), cost=cost)
            except ValueError as error:
                failure = one_line(self._connection.hide(str(error)))
        if self._on_invalid == "raise":
            raise JudgeError(f"{self._connection.url}: {failure}. What was paid for is kept.")
        return Outcome(None, failure, invalid=True, cost=cost)

    def _failed(self, error: Exception, stop: _Stop) -> Outcome[Value]:
        if self._on_failure == "skip":
            if isinstance(error, CostStop):
                stop.at(error)
            if isinstance(error, Refused):
                return Outcome(None, str(error), refused=error.for_its_text)
            return Outcome(None, str(error), may_pass=True)
        if isinstance(error, CostStop):
            raise error
        raise JudgeError(f"{error}. What was paid for is kept.") from None

    def _once(self, post: Post, request: dict[str, Any], key: str, stop: _Stop) -> str:
        stop.check()
        self._asker.wait_for_turn()
        stop.check()
        bound = self._bound(request)
        ticket = self._ledger.reserve(key, bound)
        if ticket is None:  # another process has paid for it meanwhile
            return str(self._ledger.reply(key))
        sent = Sent(None, None, may_be_billed=True)
        try:
            sent = self._connection.send(post, request, request["parameters"][self._tokens_parameter])
        finally:
            said = {"reply": sent.body, "request": request}
            if sent.body is None:
                said = {"failure": str(sent.failure)}
            self._ledger.settle(ticket, key, self._cost(sent, bound), **said)
        if sent.body is not None:
            return sent.body
        assert sent.failure is not None
        raise sent.failure

    def _cost(self, sent: Sent, bound: float) -> float:
        """As the server counted; at its most where it may have done the work and does not say."""
        if sent.body is None:
            return bound if sent.may_be_billed else 0.0
        prompt, completion = billed_tokens(sent.body)
        return bound if prompt is None or completion is None else self._prices.of(prompt, completion)

    def _bound(self, request: dict[str, Any]) -> float:
        """The most that a request can cost: no token is shorter than a byte."""
        prompt = written(request["messages"]) + FORMAT_TOKENS * (len(request["messages"]) + 1)
        return self._prices.of(prompt, request["parameters"][self._tokens_parameter])


class _Stop:
    """The first error that ended the asking."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        if self.error is not None:
            raise CostStop(f"not asked any more: {self.error}")

    def at(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
