"""Pages of edsel beside those of Dagster: pictures of the metadata, and reports, read from the home."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edsel_assets.planning.cells import Cell
from edsel_assets.store import Home

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

#: Addresses begin with these. Paths without a host, so that they hold wherever the server listens.
PICTURES, REPORTS = "/edsel/pictures/", "/edsel/report/"
_PICTURE = re.compile(rf"{PICTURES}([0-9a-f]{{32}})\.png")
_REPORT = re.compile(rf"{REPORTS}([A-Za-z0-9][A-Za-z0-9_.-]*)")
_DEBUG = re.compile(r"/download_debug/([^/]+)", re.DOTALL)
_YEAR = 365 * 86_400


class OwnFiles:
    """Answers for pictures and reports of ``home``; everything else is ``app``'s."""

    def __init__(self, app: "ASGIApp", home: str | os.PathLike[str] | Home) -> None:
        self._app, self._home = app, Home.at(home)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.responses import FileResponse, PlainTextResponse

        if scope["type"] != "http" or not scope["path"].startswith((PICTURES, REPORTS)):
            await self._app(scope, receive, send)
            return
        found = self._file(scope["path"])
        if found is None or scope["method"] not in ("GET", "HEAD"):
            await PlainTextResponse("There is no such file.\n", status_code=404)(scope, receive, send)
            return
        file, headers = found
        await FileResponse(file, headers=headers)(scope, receive, send)

    def _file(self, path: str) -> tuple[Path, dict[str, str]] | None:
        """The file of an address and the headers it is sent with; None where there is none."""
        headers = {"X-Content-Type-Options": "nosniff"}
        if picture := _PICTURE.fullmatch(path):
            file = self._home.path(self._home.picture(picture[1]))
            headers["Cache-Control"] = f"max-age={_YEAR}, immutable"
        elif report := _REPORT.fullmatch(path):
            file = self._home.store(report[1]).text(Cell("label_efficiency"), ".html")
            headers["Cache-Control"] = "no-cache"
        else:
            return None
        # Path.is_file raises for a name that is too long for the file system.
        return (file, headers) if os.path.isfile(file) else None


class KnownRuns:
    """Answers 404 for the debug file of no run, where Dagster's page fails; everything else is ``app``'s.

    Args:
        known: whether there is a run of this id.
    """

    def __init__(self, app: "ASGIApp", known: Callable[[str], bool]) -> None:
        self._app, self._known = app, known

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.responses import PlainTextResponse

        asked = scope["type"] == "http" and _DEBUG.fullmatch(scope["path"])
        if asked and not self._known(asked[1]):
            await PlainTextResponse("There is no such run.\n", status_code=404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
