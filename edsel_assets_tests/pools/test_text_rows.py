"""Text that is no table of prompts: one line of the file, the row and the remedy."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.pools import PoolError, PoolSource, read_pool

GOOD = '{"prompt": "x"}\n'

BAD = {
    "UTF-16 lines": (
        "a.jsonl",
        GOOD.encode("utf-16"),
        r"row 1: it is UTF-16 text, or no text\. Save the file as",
    ),
    "UTF-16 without a mark": ("a.jsonl", GOOD.encode("utf-16-le"), r"row 1: it is UTF-16 text"),
    "UTF-16 CSV": ("a.csv", "prompt\nx\n".encode("utf-16"), r"a\.csv, row 1: it is UTF-16 text"),
    "UTF-16 JSON": ("a.json", '[{"prompt": "x"}]'.encode("utf-16-be"), r"a\.json, row 1: it is UTF-16 text"),
    "a binary file": ("a.csv", b"PK\x03\x04\x00\x00", r"row 1: it is UTF-16 text, or no text"),
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
