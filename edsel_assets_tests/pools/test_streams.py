"""Files over HTTP from a local server, and packed files."""

import bz2
import functools
import gzip
import http.server
import json
import lzma
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.pools import PoolError, PoolSource, pool_files, read_pool

ROWS = [{"prompt": f"p{i}", "response": "r"} for i in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path):
    """The address of a server of ``tmp_path``, on the loopback interface only."""
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def prompts(source: PoolSource) -> list[str]:
    return sorted(read_pool(source).table["prompt"].to_pylist())


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_files(tmp_path, packing):
    path = tmp_path / f"a.jsonl.{packing}"
    path.write_bytes(PACKERS[packing](LINES))
    assert prompts(PoolSource(path)) == ["p0", "p1", "p2"]
    assert prompts(PoolSource(tmp_path)) == ["p0", "p1", "p2"]


def test_zstd_in_several_frames_and_other_formats(tmp_path):
    pack = PACKERS["zst"]
    (tmp_path / "a.jsonl.zst").write_bytes(pack(LINES[:40]) + pack(LINES[40:]))
    (tmp_path / "b.csv.zst").write_bytes(pack(b"prompt,response\nx,y\n"))
    (tmp_path / "c.json.zst").write_bytes(pack(json.dumps([{"prompt": "z"}]).encode()))
    assert prompts(PoolSource(tmp_path)) == ["p0", "p1", "p2", "x", "z"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "plain", "head"])
def test_a_damaged_zstd_file_is_named(tmp_path, damage):
    whole = PACKERS["zst"](LINES * 1000)
    path = tmp_path / "a.jsonl.zst"
    data = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:30] + bytes(byte ^ 255 for byte in whole[30:34]) + whole[34:],
        "plain": LINES,
        "head": whole[:3],
    }[damage]
    path.write_bytes(data)
    with pytest.raises(
        PoolError, match=r"a\.jsonl\.zst is not a whole zstd file \(.*\)\. Copy or pack it"
    ) as caught:
        read_pool(PoolSource(path))
    assert "\n" not in str(caught.value)


def test_files_over_http(tmp_path, server):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl.zst").write_bytes(PACKERS["zst"](LINES))
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"prompt\np9\n"))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    for name in ("a.jsonl", "b.jsonl.zst", "d.parquet", "a.jsonl?download=true&x=[1]"):
        report = read_pool(PoolSource(f"{server}/{name}"))
        assert sorted(report.table["prompt"].to_pylist()) == ["p0", "p1", "p2"]
        assert list(report.counts) == [f"{server}/{name}"]
        assert set(report.table["source"].to_pylist()) == {name.partition("?")[0]}
    both = PoolSource([f"{server}/a.jsonl", f"{server}/c.csv.gz", str(tmp_path / "a.jsonl")])
    assert prompts(both) == ["p0", "p1", "p2", "p9"]


def test_a_file_over_http_is_watched(tmp_path, server):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    stamp = int(path.stat().st_mtime)
    (listed,) = pool_files(PoolSource(f"{server}/a.jsonl"))
    assert listed == (f"{server}/a.jsonl", len(LINES), float(stamp), "", False)


def test_watching_a_file_over_http_downloads_nothing_of_it(tmp_path):
    sent = []

    class Counted(_Quiet):
        def copyfile(self, source, outputfile):
            sent.append(len(source.read()))

        def end_headers(self):
            self.send_header("ETag", '"mark-of-content"')
            super().end_headers()

    (tmp_path / "a.jsonl").write_bytes(LINES * 100_000)
    handler = functools.partial(Counted, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        (listed,) = pool_files(PoolSource(f"http://127.0.0.1:{running.server_port}/a.jsonl"))
        running.shutdown()
    assert listed.tag == '"mark-of-content"'
    assert len(sent) <= 1, "one look at whether it is there, which closes before the body"


def test_what_does_not_work_over_http_is_said(tmp_path, server):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "page").write_text("x")
    for name, message in [
        ("*.jsonl", r"a pattern does not work over HTTP\. Name each file"),
        ("[ab].jsonl", r"a pattern does not work over HTTP"),
        ("none.jsonl", r"There is no file http://.*none\.jsonl, or its server does not answer\. Check"),
        ("page", r"format of http://.*page cannot be told"),
    ]:
        with pytest.raises(PoolError, match=message) as caught:
            read_pool(PoolSource(f"{server}/{name}"))
        assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_said():
    with pytest.raises(PoolError, match=r"There is no file http://127\.0\.0\.1:9/a\.jsonl, or its server"):
        read_pool(PoolSource("http://127.0.0.1:9/a.jsonl"))


def test_a_server_that_breaks_off_is_said(tmp_path, server, monkeypatch):
    (tmp_path / "a.jsonl").write_bytes(LINES)

    def cut(self: _Quiet, source: object, outputfile: object) -> None:
        self.wfile.write(LINES[:20])
        self.close_connection = True

    monkeypatch.setattr(_Quiet, "copyfile", cut)
    with pytest.raises(
        PoolError, match=r"Cannot read http://.*a\.jsonl: .*Check the address and the connection"
    ):
        read_pool(PoolSource(f"{server}/a.jsonl"))


def test_a_local_name_with_a_question_mark_is_no_query(tmp_path):
    path = Path(tmp_path / "what?.jsonl")
    path.write_bytes(LINES)
    assert prompts(PoolSource(path)) == ["p0", "p1", "p2"]


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_a_packed_file_is_known_by_what_it_begins_with_too(tmp_path, packing):
    (tmp_path / "a.jsonl").write_bytes(PACKERS[packing](LINES))
    assert prompts(PoolSource(tmp_path / "a.jsonl")) == ["p0", "p1", "p2"]


def test_of_an_archive_each_file_of_a_known_suffix_is_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/a.jsonl", LINES)
        archive.writestr("b.csv.gz", gzip.compress(b"prompt\np9\n"))
        archive.writestr("readme.md", "no data")
        archive.writestr("__MACOSX/a.jsonl", "no data")
    report = read_pool(PoolSource(path))
    assert sorted(report.table["prompt"].to_pylist()) == ["p0", "p1", "p2", "p9"]
    assert list(report.counts) == [f"{path}/b.csv.gz", f"{path}/x/a.jsonl"]
    assert [file.path for file in pool_files(PoolSource(tmp_path))] == [str(path)]
    whole = path.read_bytes()
    for damaged in (whole[:-30], whole[:40] + bytes(8) + whole[48:], b"PK"):
        path.write_bytes(damaged)
        with pytest.raises(
            PoolError, match=r"a\.zip.* is not a whole zip file \(.*\)\. Copy or pack it again"
        ):
            read_pool(PoolSource(path))


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_a_file_that_unpacks_to_far_more_than_text_does_is_refused(tmp_path, packing, monkeypatch):
    monkeypatch.setattr("edsel_assets.pools.packed.FREE", 1 << 20)
    (tmp_path / f"a.jsonl.{packing}").write_bytes(PACKERS[packing](LINES + b" " * (4 << 20)))
    with pytest.raises(PoolError, match=r"unpacks to more than \d+ bytes, over 200 times its size\."):
        read_pool(PoolSource(tmp_path))
