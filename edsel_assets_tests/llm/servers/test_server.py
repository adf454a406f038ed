"""A server that misbehaves holds a request for its time, and fills the memory to its bound, no further."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from edsel_assets.llm.servers.server import NoAnswer, Server, json_of, one_line
from edsel_assets.secret import Secret

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@contextmanager
def speaking(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says what it is told once a request is there; its address."""

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # it was closed
            with connection:
                connection.recv(2**16)
                with suppress(OSError):  # the other side has gone, as it should
                    say(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def ask(url: str, timeout: float = 20.0, most: int = 1000, key: Secret | None = None):
    with Server(url, key, timeout).open() as post:
        return post("/x", {"a": "é\ud800"}, most)


def forever(data: bytes, pause: float) -> Callable[[socket.socket], None]:
    def say(connection: socket.socket) -> None:
        while True:
            connection.sendall(data)
            time.sleep(pause)

    return say


def after(head: bytes, then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        then(connection)

    return say


@pytest.mark.parametrize(
    "say",
    [
        after(OK + b"Content-Length: 100000\r\n\r\n", forever(b" ", 0.02)),
        after(OK + b"Transfer-Encoding: chunked\r\n\r\n", forever(b"1\r\n \r\n", 0.02)),
        after(b"HTTP/1.1 200 OK\r\nX: ", forever(b"x", 0.02)),
        forever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
        lambda connection: time.sleep(5),
    ],
    ids=["body", "chunks", "headers", "continue", "silence"],
)
def test_the_time_is_that_of_the_whole_request(say) -> None:
    start = time.monotonic()
    with speaking(say) as url, pytest.raises(NoAnswer, match=r"no whole answer within 0.5 s") as caught:
        ask(url, timeout=0.5)
    assert caught.value.sent
    assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    "say",
    [
        after(OK + b"\r\n", forever(b"x" * 2**16, 0)),
        after(OK + b"Content-Length: 9999999999\r\n\r\n", forever(b"x" * 2**16, 0)),
        after(b"HTTP/1.1 500 No\r\n\r\n", forever(b"x" * 2**16, 0)),
        lambda connection: connection.sendall(
            OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(bytes(2**26))
        ),
    ],
    ids=["endless", "announced", "error", "packed"],
)
def test_no_more_is_read_than_allowed(say) -> None:
    with speaking(say) as url:
        found = ask(url)
    assert found.cut
    assert len(found.data) == 1000


def test_a_request_that_was_never_sent_is_told_from_one_that_was() -> None:
    with pytest.raises(NoAnswer, match="cannot be reached") as caught:
        ask("http://127.0.0.1:9")
    assert not caught.value.sent
    with pytest.raises(NoAnswer, match="cannot be reached") as caught:
        ask("http://nowhere.invalid")
    assert not caught.value.sent
    for part in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"SSH-2.0-x\r\n"):
        with speaking(lambda connection, part=part: connection.sendall(part)) as url:
            with pytest.raises(NoAnswer, match="breaks off") as caught:
                ask(url)
            assert caught.value.sent


def test_an_answer_as_it_came_and_no_redirect() -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 4\r\n\r\n"
    with speaking(lambda connection: connection.sendall(head + b"h\xff k")) as url:
        found = ask(url, key=Secret("k"))
    assert (found.status, found.data, found.cut) == (302, b"h\xff ***", False)  # the key is kept nowhere
    assert found.headers["location"] == "http://127.0.0.1:9/"
    assert Server("http://x", Secret("k"), 1.0).words(found.text + " k") == "h\ufffd *** ***"


def test_it_works_where_a_loop_runs_already_and_from_many_threads() -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    def say(connection: socket.socket) -> None:
        connection.sendall(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")

    async def notebook(url: str) -> bytes:
        return ask(url).data

    with speaking(say) as url:
        assert asyncio.run(notebook(url)) == b"ok"
        with Server(url, None, 20.0).open() as post, ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda number: post("/x", {"number": number}, 10).data, range(12)))
    assert found == [b"ok"] * 12


def test_texts_of_servers_are_made_fit_for_a_line() -> None:
    assert one_line(" a\n\tb\ud800\x1b[31mc\u2028 d ") == "a b [31mc d"
    for text in ("[" * 100_000, "9" * 5000, "", "{"):
        with pytest.raises(ValueError, match=r"."):
            json_of(text)
