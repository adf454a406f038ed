"""What stands in front of the web server: requests that another site's page had a browser send are refused.

A browser reaches servers on loopback too. A page of another site can have it send requests there, and by DNS
rebinding (a name of that site's that suddenly means 127.0.0.1) even read the answers. Three rules end this:

- ``Host`` is one of the names that the server is known by;
- ``Origin``, which browsers put on every POST and web socket, is the server itself;
- GraphQL comes by POST: a browser sends a GET for a picture of any page, without an ``Origin``.

And no page of another site may show ours in a frame: a click meant for that site would be ours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PORTS = {"http": 80, "https": 443}
#: Of every answer. The second header says the same to browsers that do not know the first.
HEADERS = {"Content-Security-Policy": "frame-ancestors 'self'", "X-Frame-Options": "SAMEORIGIN"}


def guarded(app: "ASGIApp", host: str, names: Sequence[str]) -> "ASGIApp":
    """``app`` behind the three rules, and its pages in no frame of another site.

    Args:
        host: what the server listens on.
        names: names that it is reached by besides, such as that of a proxy in front of it.
    """
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    known = [*LOOPBACK, f"[{host}]" if ":" in host else host, *names]
    return Unframed(TrustedHostMiddleware(OwnPages(app, names), allowed_hosts=known, www_redirect=False))


class Unframed:
    """Adds ``HEADERS`` to every answer, beside what it has: of two policies a browser keeps both."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.datastructures import MutableHeaders

        async def add(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.append(name, value)
            await send(message)

        await self._app(scope, receive, add)


class OwnPages:
    """Refuses with 403 what a page of another site sent, by HTTP or web socket, and GraphQL in an address."""

    def __init__(self, app: "ASGIApp", names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.responses import PlainTextResponse

        reason = self._refused(scope) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse(f"{reason}\n", status_code=403)(scope, receive, send)

    def _refused(self, scope: "Scope") -> str | None:
        from starlette.datastructures import Headers, QueryParams

        headers = Headers(scope=scope)
        for origin in headers.getlist("origin"):
            if not self._own(origin, headers.get("host", "")):
                return f"A page of {origin!r} may not use this server. Allow it by edsel ui --allow-host."
        by_address = (
            scope["type"] == "http" and scope["method"] != "POST" and scope["path"].endswith("/graphql")
        )
        if by_address and "query" in QueryParams(scope["query_string"]):
            return "GraphQL is taken by POST, not in an address."
        return None

    def _own(self, origin: str, host: str) -> bool:
        """Whether ``origin`` is the server as it was asked for, or a name that stands for it."""
        try:
            page = urlsplit(origin.lower())
            port = page.port or _PORTS[page.scheme]
            asked = urlsplit(f"//{host.lower()}")
            same = page.hostname == asked.hostname and port == (asked.port or _PORTS[page.scheme])
        except (ValueError, KeyError):  # "null", another scheme, or no address at all
            return False
        return same or page.hostname in self._names
