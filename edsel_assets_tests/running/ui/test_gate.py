"""Which requests reach the web server: those of its own pages, under a name that it is known by."""

import asyncio

import pytest

from edsel_assets.running.ui.gate import guarded

GIVEN = "edsel.example.org"


async def _page(scope, receive, send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def ask(
    *headers: tuple[str, str], host="127.0.0.1", method="POST", query="", names=(GIVEN,)
) -> tuple[int, str]:
    """Status and text of the answer to a request of /graphql."""
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": "/graphql",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(guarded(_page, host, list(names))(scope, None, send))
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST", "[::1]:3000", "10.1.2.3:3000", GIVEN]
)
def test_names_that_the_server_is_known_by_pass(host: str) -> None:
    assert ask(("host", host), host="10.1.2.3")[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example:3000",
        "127.0.0.1.rebound.example",
        "localhost.rebound.example",
        f"{GIVEN}.rebound.example",
        "127.0.0.1@rebound.example",
        "10.9.9.9",
        "0.0.0.0",
        "",
        "[::1",
    ],
)
def test_every_other_host_is_refused(host: str) -> None:
    assert ask(("host", host))[0] == 400


def test_a_request_without_a_host_is_refused() -> None:
    assert ask()[0] == 400


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("localhost:3000", "http://LOCALHOST:3000"),
        ("[::1]:3000", "http://[::1]:3000"),
        (GIVEN, f"https://{GIVEN}"),
        (GIVEN, f"http://{GIVEN}:80"),
        ("127.0.0.1:3000", f"https://{GIVEN}"),  # a proxy that names the server by its address
    ],
)
def test_its_own_pages_pass(host: str, origin: str) -> None:
    assert ask(("host", host), ("origin", origin))[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://rebound.example",
        "http://127.0.0.1:8000",  # another server of this machine
        "http://localhost:3000",  # another name is another site
        "https://127.0.0.1:3000.rebound.example",
        "http://127.0.0.1:3000@rebound.example",
        "null",
        "file://",
        "",
        "http://[",
        "http://127.0.0.1:port",
    ],
)
def test_pages_of_other_sites_are_refused_with_the_remedy(origin: str) -> None:
    status, text = ask(("host", "127.0.0.1:3000"), ("origin", origin))
    assert status == 403
    assert "--allow-host" in text


def test_one_foreign_origin_among_two_is_refused() -> None:
    both = [("origin", "http://127.0.0.1:3000"), ("origin", "http://rebound.example")]
    assert ask(("host", "127.0.0.1:3000"), *both)[0] == 403


def test_graphql_in_an_address_is_refused_as_pictures_of_any_page_send_it() -> None:
    status, text = ask(("host", "127.0.0.1"), method="GET", query="query=mutation%7Bx%7D")
    assert (status, "POST" in text) == (403, True)
    assert ask(("host", "127.0.0.1"), method="GET")[0] == 200  # the page on which queries are typed


@pytest.mark.parametrize("host", ["127.0.0.1", "rebound.example"])  # a page, and a refusal
def test_no_other_site_shows_an_answer_in_a_frame(host: str) -> None:
    sent: list[dict] = []

    async def page(scope, receive, send) -> None:
        own = [(b"content-security-policy", b"base-uri 'none'")]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b""})

    async def send(message) -> None:
        sent.append(message)

    headers = [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    asyncio.run(guarded(page, "127.0.0.1", [])(scope, None, send))
    policies = [value for name, value in sent[0]["headers"] if name == b"content-security-policy"]
    assert policies[-1] == b"frame-ancestors 'self'"
    assert (b"base-uri 'none'" in policies) == (host == "127.0.0.1"), "the page keeps its own policy"
    assert (b"x-frame-options", b"SAMEORIGIN") in sent[0]["headers"]
