"""Text that is no table of prompts: one line of the file, the row and the remedy."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.pools import PoolError, PoolSource, read_pool
from edsel_assets.pools.text_rows import LONGEST

GOOD = '{"prompt": "x"}\n'

BAD = {
    "UTF-16 without a mark": ("a.jsonl", GOOD.encode("utf-16-le"), r"row 1: it holds a zero byte, .* UTF-16"),
    "UTF-16 cut": ("a.csv", "prompt\nx\n".encode("utf-16")[:-1], r"a\.csv is not valid UTF-16"),
    "a zero byte": ("a.jsonl", GOOD.encode() + b"{\x00}", r"row 2: it holds a zero byte"),
    "a binary file": ("a.csv", b"PK\x03\x04\x00\x00", r"row 1: it holds a zero byte"),
    "a web page": ("a.csv", b"\n <!DOCTYPE html><p>x", r"a\.csv is a web page, not data\. Download the file"),
    "a pointer of Git LFS": (
        "a.jsonl",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        r"a\.jsonl is a Git LFS pointer, .*Fetch it by git lfs pull",
    ),
    "a line without end": ("a.jsonl", b"x" * (LONGEST + 1), r"row 1: the line is longer than 64 MiB"),
    "two tables in one": (
        "a.json",
        b'{"train": [{"prompt": "x"}], "test": []}',
        r"with the keys 'train', 'test'",
    ),
    "Windows text": (
        "a.csv",
        "prompt\nx\nétait\n".encode("cp1252"),
        r"row 3: .* not valid UTF-8 .*Convert the",
    ),
    "a header twice": (
        "a.csv",
        b"prompt,task,prompt\nx,y,z\n",
        r"row 1: the header has 'prompt' more than once",
    ),
    "two empty headers": ("a.csv", b"prompt,,\nx,,\n", r"row 1: the header has '' more than once"),
    "a header twice in .tsv": ("a.tsv", b"prompt\tprompt\nx\ty\n", r"row 1: the header has 'prompt' more"),
    "a key twice in lines": (
        "a.jsonl",
        (GOOD + '{"prompt": "x", "prompt": "y"}\n').encode(),
        r"a\.jsonl, row 2: the key 'prompt' is there twice\. Keep one of them",
    ),
    "a key twice inside": (
        "a.jsonl",
        b'{"prompt": "x", "meta": {"a": 1, "a": 2}}\n',
        r"row 1: the key 'a' is there twice",
    ),
    "a key twice in a list": (
        "a.json",
        b'[{"prompt": "x"},\n {"prompt": "[y, {"}, {"prompt": "x", "task": 1, "task": 2}]',
        r"a\.json, row 3: the key 'task' is there twice",
    ),
    "a key twice around a list": (
        "a.json",
        b'{"data": [{"prompt": "x", "prompt": "y"}]}',
        r"a\.json: the key 'prompt' is there twice",
    ),
    "a key twice in lines under .json": (
        "a.json",
        (GOOD + '{"prompt": "x", "prompt": "y"}\n').encode(),
        r"a\.json, row 2: the key 'prompt' is there twice",
    ),
    "nothing but a mark": ("a.csv", b"\xef\xbb\xbf", r"a\.csv: no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_of_file_row_and_remedy(tmp_path, case):
    name, content, message = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PoolError, match=message) as caught:
        read_pool(PoolSource(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_column_twice_in_parquet(tmp_path):
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["prompt", "prompt"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(PoolError, match=r"a\.parquet has the column prompt more than once"):
        read_pool(PoolSource(tmp_path / "a.parquet"))


def test_semicolons_part_fields_where_the_header_has_them_and_no_comma(tmp_path):
    (tmp_path / "a.csv").write_text('prompt;response\n"one; two, three";yes, no\n')
    assert read_pool(PoolSource(tmp_path / "a.csv")).table.to_pylist()[0]["prompt"] == "one; two, three"
    (tmp_path / "a.csv").write_text("prompt,a;b\none;two,x\n")
    assert read_pool(PoolSource(tmp_path / "a.csv")).table["prompt"].to_pylist() == ["one;two"]


def test_a_long_list_with_a_bad_row_far_down(tmp_path):
    text = json.dumps([{"prompt": f"p{i}"} for i in range(5000)])
    (tmp_path / "a.json").write_text(text[:-1] + ', {"x": 1, "x": 2}]')
    with pytest.raises(PoolError, match="row 5001: the key 'x' is there twice"):
        read_pool(PoolSource(tmp_path / "a.json"))


ROWS = [{"prompt": "p é", "response": "r"}, {"prompt": "q", "response": "1"}]
CSV = 'prompt,response\r\n"p é",r\r\nq,1\r\n'
#: The same two rows, in every form that is read.
FORMS = {
    "UTF-16 lines": ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS).encode("utf-16")),
    "Excel's Unicode text": ("a.csv", CSV.replace(",", "\t").encode("utf-16")),
    "tabs in .csv": ("a.csv", CSV.replace(",", "\t").encode()),
    "a list": ("a.json", json.dumps(ROWS).encode()),
    "a list in UTF-16": ("a.json", json.dumps(ROWS).encode("utf-16")),
    "a list in an object": ("a.json", json.dumps({"version": "1", "data": ROWS}).encode()),
    "columns": ("a.json", json.dumps({k: [row[k] for row in ROWS] for k in ROWS[0]}).encode()),
    "pandas' columns": (
        "a.json",
        json.dumps({k: {str(i): row[k] for i, row in enumerate(ROWS)} for k in ROWS[0]}).encode(),
    ),
    "pandas' split": (
        "a.json",
        json.dumps(
            {"columns": list(ROWS[0]), "index": [0, 1], "data": [[*r.values()] for r in ROWS]}
        ).encode(),
    ),
    "rows by name": ("a.json", json.dumps(dict(zip("ab", ROWS, strict=True))).encode()),
    "numbers": ("a.jsonl", b'{"prompt": "p \\u00e9", "response": "r"}\n{"prompt": "q", "response": 1}\n'),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_in_every_form(tmp_path, form):
    name, content = FORMS[form]
    (tmp_path / name).write_bytes(content)
    report = read_pool(PoolSource(tmp_path / name))
    found = sorted((row["prompt"], row["response"]) for row in report.table.to_pylist())
    assert found == [("p é", "r"), ("q", "1")]
    assert report.remarks == []


def test_one_chat_in_an_object_is_one_row(tmp_path):
    turns = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    (tmp_path / "a.json").write_text(json.dumps({"messages": turns}))
    (row,) = read_pool(PoolSource(tmp_path / "a.json")).table.to_pylist()
    assert (row["prompt"], row["response"]) == ("u", "a")


def test_arrow_files_and_streams(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    for name, opened in (("a.arrow", pa.ipc.new_stream), ("b.feather", pa.ipc.new_file)):
        with opened(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
        report = read_pool(PoolSource(tmp_path / name))
        assert sorted(report.table["response"].to_pylist()) == ["1", "r"]
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PoolError, match=rf"{name} is not a whole Arrow file \(.*\)\. Copy or export"):
            read_pool(PoolSource(tmp_path / name))
