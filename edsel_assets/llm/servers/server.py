"""POST of JSON to one server, bounded in time and in size, from as many threads as ask.

The time is that of the whole request: connecting, sending, waiting, and reading to the last byte. With
time-outs from byte to byte, a server that sends one letter a second would hold a request for ever. With
answers that are read as a whole, it could fill the memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from edsel_assets.secret import Secret

_PIECE = 2**16  # bytes


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        headers: their names in lower case.
        data: the first bytes, as many as were allowed, without the content encoding and without the key.
        cut: whether more followed, which was not read.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes
    cut: bool

    @property
    def text(self) -> str:
        """The data as UTF-8; what is none of it becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


class NoAnswer(Exception):
    """There is no whole answer; ``sent``: whether the server may have seen the request. One line."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


Post = Callable[[str, Mapping[str, Any], int], Answer]
"""From (path below the server's address, what to send as JSON, most bytes of an answer) to the answer; it
raises ``NoAnswer``."""


class Server:
    """A server, and the key that it is shown.

    Args:
        url: its address, which paths are appended to.
        key: sent as ``Authorization: Bearer``; None sends none.
        timeout: of one whole request, in seconds.
    """

    def __init__(self, url: str, key: Secret | None, timeout: float) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds; got {timeout!r}.")
        self.url = url
        self._key, self._timeout = key, timeout

    @contextmanager
    def open(self) -> Iterator[Post]:
        """In the block, what to POST with, from any thread; connections stay open from one to the next.

        Redirects are not followed: they would take the key along. Proxies are those of the environment.
        """
        with _loop() as loop:

            def run(work: Any) -> Any:
                future = asyncio.run_coroutine_threadsafe(work, loop)
                try:
                    return future.result()
                except BaseException:
                    future.cancel()  # where a signal came while it was waited for
                    raise

            session = run(_session(self._key))
            try:
                yield lambda path, body, most: run(self._post(session, path, body, most))
            finally:
                run(session.close())

    async def _post(self, session: Any, path: str, body: Mapping[str, Any], most: int) -> Answer:
        import aiohttp

        sending = threading.Event()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(session, f"{self.url}{path}", body, most, sending)
        except TimeoutError:
            reason = f"{self.url} gives no whole answer within {self._timeout:g} s"
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            what = "breaks off" if sending.is_set() else "cannot be reached"
            reason = f"{self.url} {what} ({type(error).__name__})"
        raise NoAnswer(reason, sending.is_set())

    async def _exchange(
        self, session: Any, url: str, body: Mapping[str, Any], most: int, sending: threading.Event
    ) -> Answer:
        request = session.post(
            url,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            proxy=_proxy(url),
            allow_redirects=False,
            trace_request_ctx=sending,
        )
        data = bytearray()
        async with request as answer:
            async for piece in answer.content.iter_chunked(_PIECE):
                data += piece
                if len(data) > most:
                    break
            headers = {name.lower(): value for name, value in answer.headers.items()}
            shown = self._hidden(bytes(data))
            return Answer(answer.status, headers, shown[:most], len(data) > most)

    def _hidden(self, data: bytes) -> bytes:
        return data.replace(self._key.reveal().encode(), b"***") if self._key else data

    def hide(self, text: str) -> str:
        """``text`` without the key."""
        return self._key.hide(text) if self._key else text

    def words(self, text: str, most: int = 300) -> str:
        """The server's own words for a message: without the key, in one line, cut."""
        return one_line(self.hide(text))[:most]


def one_line(text: str) -> str:
    """``text`` with a space for what is not shown in a line: breaks, control characters, half surrogates."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def json_of(text: str) -> Any:
    """The JSON in ``text``; ValueError where there is none, also where it is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, as the caller's thread may have one that runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _session(key: Secret | None) -> Any:
    import aiohttp

    async def mark(_session: Any, request: Any, _parameters: Any) -> None:
        request.trace_request_ctx.set()  # called before the first byte is written

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(mark)
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key.reveal()}"} if key else None,
        connector=aiohttp.TCPConnector(ssl=_certificates(), limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
    )


def _certificates() -> ssl.SSLContext:
    """The authorities of the environment's SSL_CERT_FILE or SSL_CERT_DIR, else those of certifi."""
    import certifi

    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=None if named else certifi.where())


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    found = getproxies()
    return found.get(parts.scheme) or found.get("all")
