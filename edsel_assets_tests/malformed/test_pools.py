"""Pools that cannot be read: each ends the command with one line of file, row and remedy."""

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets_tests.malformed.conftest import artifacts, assert_says

ROW = b'{"prompt": "Say one.", "response": "One."}\n'
LINES = b"".join(json.dumps({"prompt": f"Say {n}.", "response": f"{n}."}).encode() + b"\n" for n in range(50))


def parquet(**columns: object) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path)


def flipped(path: Path) -> None:
    pq.write_table(pa.table({"prompt": [f"Say {n}." for n in range(500)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[40:400] = bytes(360)
    path.write_bytes(content)


def zstd_cut(path: Path) -> None:
    path.write_bytes(pa.compress(LINES * 50, codec="zstd", asbytes=True)[:-20])


def folder(*files: tuple[str, bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for name, content in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)

    return make


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def gone(path: Path) -> None:
    path.symlink_to("nowhere.jsonl")


def pipe(path: Path) -> None:
    os.mkfifo(path)


Content = bytes | Callable[[Path], None] | None
#: what: (name of the pool, its content, further settings of the section pool, what the line says)
POOLS: dict[str, tuple[str, Content, dict, str]] = {
    "gzip cut in the middle": (
        "a.jsonl.gz",
        gzip.compress(LINES)[:200],
        {},
        "is not a whole gzip file (Compressed file ended ... Copy or pack it again.",
    ),
    "gzip with a wrong checksum": (
        "a.jsonl.gz",
        gzip.compress(LINES)[:-8] + bytes(8),
        {},
        "is not a whole gzip file (CRC check failed ... Copy or pack it again.",
    ),
    "an empty gzip file": ("a.jsonl.gz", b"", {}, "no rows. ... Name a file that has some."),
    "bzip2 cut": (
        "a.jsonl.bz2",
        bz2.compress(LINES)[:-20],
        {},
        "is not a whole bzip2 file (Compressed file ended ... Copy or pack it again.",
    ),
    "xz cut": (
        "a.jsonl.xz",
        lzma.compress(LINES)[:-20],
        {},
        "is not a whole xz file (Compressed file ended ... Copy or pack it again.",
    ),
    "zstd cut": (
        "a.jsonl.zst",
        zstd_cut,
        {},
        "is not a whole zstd file (Truncated ... Copy or pack it again.",
    ),
    "gzip named zst": (
        "a.jsonl.zst",
        gzip.compress(LINES),
        {},
        "is not a whole zstd file (ZSTD decompress ... Copy or pack it again.",
    ),
    "UTF-16 cut in gzip": (
        "a.jsonl.gz",
        gzip.compress(ROW.decode().encode("utf-16")[:-1]),
        {},
        "a.jsonl.gz is not valid UTF-16 (truncated data). ... Save it as UTF-8.",
    ),
    "UTF-32": (
        "a.jsonl",
        ROW.decode().encode("utf-32"),
        {},
        "row 1: it holds a zero byte, so it is damaged, ... Copy it again, or save it as UTF-8.",
    ),
    "a NUL in a line": (
        "a.jsonl",
        LINES + b"\x00\x00\x00\n",
        {},
        "row 51: it holds a zero byte, so it is damaged, ... Copy it again, or save it as UTF-8.",
    ),
    "no value at all in JSON": (
        "a.jsonl",
        LINES + b"{\n",
        {},
        "row 51: not valid JSON (Expecting property ... whole object; repair or remove it.",
    ),
    "a comma after the last key": (
        "a.jsonl",
        LINES + b'{"prompt": "x",}\n',
        {},
        "row 51: not valid JSON (Expecting property ... whole object; repair or remove it.",
    ),
    "single quotes": (
        "a.jsonl",
        b"{'prompt': 'x'}\n",
        {},
        "row 1: not valid JSON (Expecting property ... whole object; repair or remove it.",
    ),
    "a list in one line": (
        "a.jsonl",
        b'[{"prompt": "x"}]\n',
        {},
        'row 1: a JSON object is needed, but it is ... {"prompt": ..., "response": ...}.',
    ),
    "a number that is a line": (
        "a.jsonl",
        LINES + b"7\n",
        {},
        'row 51: a JSON object is needed, but it is ... {"prompt": ..., "response": ...}.',
    ),
    "null that is a line": (
        "a.jsonl",
        LINES + b"null\n",
        {},
        'row 51: a JSON object is needed, but it is ... {"prompt": ..., "response": ...}.',
    ),
    "JSON cut in a string": (
        "a.json",
        b'[{"prompt": "x"}, {"prompt": "y',
        {},
        "not valid JSON (Unterminated string starting ... Repair it, or copy it again.",
    ),
    "two lists in one JSON": (
        "a.json",
        b'[{"prompt": "x"}]\n[{"prompt": "y"}]\n',
        {},
        "not valid JSON (Extra data at line 2). ... Repair it, or copy it again.",
    ),
    "an empty list": ("a.json", b"[]", {}, "no rows. ... Name a file that has some."),
    "an object without rows": (
        "a.json",
        b'{"version": 1}',
        {},
        "has the columns version, of which no layout ... with columns: {prompt: NAME}.",
    ),
    "white space alone": ("a.jsonl", b" \n\n \n", {}, "no rows. ... Name a file that has some."),
    "CSV without a header": (
        "a.csv",
        b"Say one.,One.\nSay two.,Two.\n",
        {},
        "has the columns Say one., One., of which no ... with columns: {prompt: NAME}.",
    ),
    "CSV with a wide row": (
        "a.csv",
        b"prompt,response\nx,y\nx,y,z\n",
        {},
        "row 2 (line 3): the header has 2 fields, this ... that hold a ',' or a line end.",
    ),
    "CSV named tsv": (
        "a.tsv",
        b"prompt,response\nx,y\n",
        {},
        "has the columns prompt,response, of which no ... with columns: {prompt: NAME}.",
    ),
    "a header alone": ("a.csv", b"prompt\n", {}, "no rows. ... Name a file that has some."),
    "empty prompts alone": (
        "a.csv",
        b'prompt,response\n"",y\n" ",z\n',
        {},
        "none of the 2 rows has a prompt (row 1: no ... with columns: {prompt: NAME}.",
    ),
    "an Excel workbook": (
        "a.xlsx",
        b"PK\x03\x04" + bytes(100),
        {},
        "(1) pool.path: The format of ... or hf for a data set's directory.",
    ),
    "a picture": (
        "a.jsonl",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        {},
        "row 1: the line is not valid UTF-8 (byte 0x89 ... Convert the file to UTF-8.",
    ),
    "HTML that a server sent": (
        "a.jsonl",
        b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n",
        {},
        "a.jsonl is a web page, not data. ... not /blob/).",
    ),
    "a pointer of Git LFS": (
        "a.parquet",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        {},
        "a.parquet is a Git LFS pointer, not the data. ... Fetch it by git lfs pull.",
    ),
    "an empty Parquet file": (
        "a.parquet",
        b"",
        {},
        "is not a whole Parquet file (Parquet file ... Copy or export it again.",
    ),
    "Parquet with damaged pages": (
        "a.parquet",
        flipped,
        {},
        "is not a whole Parquet file (ZSTD ... Copy or export it again.",
    ),
    "Parquet without rows": (
        "a.parquet",
        parquet(prompt=pa.array([], pa.string())),
        {},
        "no rows. ... Name a file that has some.",
    ),
    "Parquet with nulls alone": (
        "a.parquet",
        parquet(prompt=pa.array([None, None], pa.string())),
        {},
        "none of the 2 rows has a prompt (row 1: no ... with columns: {prompt: NAME}.",
    ),
    "Parquet with bytes": (
        "a.parquet",
        parquet(prompt=[b"\xff\x00"]),
        {},
        "(row 1: the prompt is not valid UTF-8). ... with columns: {prompt: NAME}.",
    ),
    "Parquet without a prompt": (
        "a.parquet",
        parquet(question_id=[1], label=["x"]),
        {},
        "has the columns question_id, label, of which ... with columns: {prompt: NAME}.",
    ),
    "an empty folder": ("pool", folder(), {}, "(1) pool.path: Directory ... Name its files, or set format."),
    "a folder of other files": (
        "pool",
        folder(("readme.txt", b"x"), ("a.py", b"x")),
        {},
        "(1) pool.path: Directory ... Name its files, or set format.",
    ),
    "a folder with one bad file": (
        "pool",
        folder(("a.jsonl", LINES), ("b.jsonl", b"{")),
        {},
        "row 1: not valid JSON (Expecting property ... whole object; repair or remove it.",
    ),
    "a folder with a broken column": (
        "pool",
        folder(("a.jsonl", LINES), ("b.csv", b"label\nx\n")),
        {},
        "has the columns label, of which no layout is ... with columns: {prompt: NAME}.",
    ),
    "a folder named as a file": (
        "a.jsonl",
        folder(),
        {},
        "(1) pool.path: Directory ... Name its files, or set format.",
    ),
    "a link to nothing": (
        "a.jsonl",
        gone,
        {},
        "(1) pool.path: There is no file or directory ... set of the hub is named OWNER/NAME.",
    ),
    "a link to itself": (
        "a.jsonl",
        loop,
        {},
        "(1) pool.path: There is no file or directory ... set of the hub is named OWNER/NAME.",
    ),
    "a glob that matches nothing": (
        "*.parquet",
        None,
        {},
        "(1) pool.path: No file matches ... and the directory it starts from.",
    ),
    "a protocol that is none": (
        "ftpx://host/a.jsonl",
        None,
        {},
        "(1) pool.path: Cannot look up ... Check the path and its access.",
    ),
    "a price below 0": (
        "a.jsonl",
        b'{"prompt": "x", "cost": -1}\n',
        {"columns": {"price": "cost"}},
        "row 1: a price is a number of at least 0, but ... Repair the row.",
    ),
    "a price that is NaN": (
        "a.jsonl",
        b'{"prompt": "x", "cost": NaN}\n',
        {"columns": {"price": "cost"}},
        "row 1: a price is a number of at least 0, but ... Repair the row.",
    ),
    "a price in words": (
        "a.jsonl",
        b'{"prompt": "x", "cost": "one"}\n',
        {"columns": {"price": "cost"}},
        "row 1: a price is a number of at least 0, but ... Repair the row.",
    ),
    "a column that is not there": (
        "a.jsonl",
        LINES,
        {"columns": {"prompt": "question"}},
        "has no column question (columns maps prompt: ... Map one of these.",
    ),
    "a format that it is not": (
        "a.jsonl",
        LINES,
        {"format": "parquet"},
        "is not a whole Parquet file (Parquet magic ... Copy or export it again.",
    ),
    "a pipe": (
        "a.jsonl",
        pipe,
        {},
        "(1) pool.path: There is no file or directory ... set of the hub is named OWNER/NAME.",
    ),
}


@pytest.mark.parametrize("case", POOLS)
def test_a_wrong_pool_is_one_line_of_file_row_and_remedy(case, edsel, study_with, tmp_path) -> None:
    name, content, settings, message = POOLS[case]
    path = tmp_path / name
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    where = name if "://" in name else str(path)
    study = study_with(pool={"path": where, "limit": None, **settings})
    said = edsel.refuses("run", "--study", study, "--only", "embeddings")
    assert_says(said, message)
    assert name in said


def test_annotations_that_are_not_there_are_named(edsel, study_with) -> None:
    study = study_with(pool={"annotations": "/nowhere/answers.jsonl"})
    said = edsel.refuses("run", "--study", study, "--only", "annotations")
    message = (
        "(1) pool.annotations: There is no file or directory /nowhere/answers.jsonl. Check the path; a data"
    )
    assert said == f"{message} set of the hub is named OWNER/NAME."


def test_an_annotation_without_a_prompt_is_named(edsel, study_with, tmp_path) -> None:
    (tmp_path / "answers.jsonl").write_bytes(b'{"response": "x"}\n')
    study = study_with(pool={"annotations": str(tmp_path / "answers.jsonl")})
    said = edsel("run", "--study", study, "--only", "annotations")
    assert said.code == 1
    last = said.error.splitlines()[-1]  # the lines before it are of the pool, which is whole
    assert last.startswith(f"edsel: annotations: {tmp_path / 'answers.jsonl'} has the columns 'response'")
    assert "prompt_id" in last
    assert last.endswith("Rename the columns.")
    assert not {name for name in artifacts(edsel.home) if name.startswith("store/tiny/annotations")}
