"""Pictures and reports that the UI's server serves from the home, and nothing else of it."""

import asyncio
import base64
import re
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from edsel_assets.running.ui.pages import PICTURES, REPORTS, KnownRuns, OwnFiles
from edsel_assets.store import Home

NAME = "0123456789abcdef" * 2


async def _dagster(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"Dagster's"})


async def _nothing_more() -> dict:
    """A client that stays: the answer waits for its leaving beside sending."""
    return await asyncio.Event().wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for file, text in (
        ((tmp_path / "pictures") / f"{NAME}.png", b"a picture"),
        (tmp_path / "store" / "demo" / "label_efficiency.html", b"a report"),
        (tmp_path / "secret.txt", b"a secret"),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    return tmp_path


def ask(home: Path, path: str, method: str = "GET") -> tuple[int, bytes, dict[bytes, bytes]]:
    """Status, text and headers of the answer."""
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    asyncio.run(OwnFiles(_dagster, Home.at(home))(scope, _nothing_more, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], body, dict(sent[0]["headers"])


def test_pictures_and_reports_are_served(home: Path) -> None:
    status, body, headers = ask(home, f"{PICTURES}{NAME}.png")
    assert (status, body, headers[b"content-type"]) == (200, b"a picture", b"image/png")
    status, body, headers = ask(home, f"{REPORTS}demo")
    assert (status, body) == (200, b"a report")
    assert headers[b"content-type"].startswith(b"text/html")


def test_everything_else_is_dagsters(home: Path) -> None:
    for path in ("/", "/graphql", "/edsel", "/assets/edsel/report"):
        assert ask(home, path)[:2] == (200, b"Dagster's")


@pytest.mark.parametrize(
    "path",
    [
        f"{PICTURES}{'f' * 32}.png",
        f"{PICTURES}../secret.txt",
        f"{PICTURES}../../secret.txt",
        f"{PICTURES}{NAME}",
        f"{PICTURES}{NAME}.png/",
        f"{PICTURES}{NAME.upper()}.png",
        f"{REPORTS}other",
        f"{REPORTS}..",
        f"{REPORTS}../../secret.txt",
        f"{REPORTS}demo/../../secret.txt",
        f"{REPORTS}demo%2f..",
        f"{REPORTS}",
        f"{REPORTS}{'a' * 5000}",
        f"{REPORTS}a\0b",
        f"{REPORTS}a\udc80",
        f"{PICTURES}{'f' * 5000}.png",
        f"{PICTURES}\0.png",
    ],
)
def test_no_other_file_is(home: Path, path: str) -> None:
    assert ask(home, path)[0] == 404


@pytest.mark.parametrize("run", ["other", "\0", "a\n", "a" * 5000])
def test_the_debug_file_of_no_run_is_not_found(run: str) -> None:
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    def asked(path: str) -> int:
        sent.clear()
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
        asyncio.run(KnownRuns(_dagster, lambda name: name == "known")(scope, _nothing_more, send))
        return sent[0]["status"]

    assert asked(f"/download_debug/{run}") == 404
    assert asked("/download_debug/known") == 200
    assert asked(f"/runs/{run}") == 200


def test_files_are_only_read(home: Path) -> None:
    assert ask(home, f"{REPORTS}demo", method="POST")[0] == 404


def test_a_picture_of_the_metadata_is_short_narrow_and_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from edsel_assets.defs.io_managers import _store_pictures
    from edsel_assets.defs.metadata import _keep, plot
    from edsel_assets.report.plots import histogram

    monkeypatch.setenv("EDSEL_COMMAND", "yes")
    png, kept = histogram(np.arange(9.0), label="score"), dict[str, bytes]()
    shown = [_keep(name, plot(png), kept) for name in ("first", "second")]
    assert all(isinstance(value, dg.MarkdownMetadataValue) for value in shown)
    assert all(len(value.value) < 1000 for value in shown), "the UI shows no longer text in place"
    _store_pictures(Home.at(tmp_path), kept)
    assert not kept
    small, whole = re.findall(rf"{PICTURES}(\w+\.png)", shown[0].value)
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == {small, whole}
    assert ((tmp_path / "pictures") / whole).read_bytes() == png
    sizes = [Image.open((tmp_path / "pictures") / name).size for name in (small, whole)]
    assert sizes[0][0] == 470 < sizes[1][0]
    assert sizes[0][1] / sizes[0][0] == pytest.approx(sizes[1][1] / sizes[1][0], abs=0.01)


def test_without_edsel_a_small_picture_is_in_the_metadata_and_a_large_one_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edsel_assets.defs import metadata
    from edsel_assets.report.plots import histogram

    monkeypatch.delenv("EDSEL_COMMAND", raising=False)
    png, kept = histogram(np.arange(9.0), label="score"), dict[str, bytes]()
    shown = metadata._keep("scores", metadata.plot(png), kept)
    head, _, body = shown.value.removesuffix(")").partition(",")
    assert head == "![scores](data:image/png;base64"
    assert base64.b64decode(body).startswith(b"\x89PNG")
    assert len(shown.value) < 100_000
    monkeypatch.setattr(metadata, "_MOST_INLINE", 10)
    named = metadata._keep("scores", metadata.plot(png), kept)
    assert isinstance(named, dg.PathMetadataValue)
    (digest,) = kept
    assert named.value == f"pictures/{digest}.png", "the whole is kept in the home"
