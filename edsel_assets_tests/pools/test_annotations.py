import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.pools import ANNOTATION_SCHEMA, PoolError, prompt_id, read_annotations


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_nothing_is_annotated_at_first():
    assert read_annotations(None).schema == ANNOTATION_SCHEMA
    assert read_annotations(None).num_rows == 0


def test_ids_are_given_or_computed_and_open_rows_left_out(tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        [
            {"prompt": " p ", "response": "r\r\n", "source": "ann", "cost": 2},
            {"prompt_id": "00", "response": "s"},
            {"prompt_id": "01", "response": " "},
            {"prompt_id": "02"},
            {"prompt_id": "00", "response": "s"},
        ],
    )
    assert read_annotations(path).to_pylist() == [
        {"prompt_id": "00", "response": "s", "source": "a.jsonl", "cost": None},
        {"prompt_id": prompt_id("p"), "response": "r", "source": "ann", "cost": 2.0},
    ]


def test_csv_and_parquet(tmp_path):
    (tmp_path / "a.csv").write_text("prompt_id,response,cost\n00,r,1.5\n01,,\n")
    pq.write_table(pa.table({"prompt_id": ["02"], "response": ["t"], "other": [1]}), tmp_path / "b.parquet")
    assert read_annotations(tmp_path).to_pylist() == [
        {"prompt_id": "00", "response": "r", "source": "a.csv", "cost": 1.5},
        {"prompt_id": "02", "response": "t", "source": "b.parquet", "cost": None},
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt_id": "0", "note": "x"}], "has the columns 'prompt_id', 'note'. An answer needs prompt_id"),
        ([{"response": "x"}], "has the columns 'response'. An answer needs prompt_id or prompt"),
        ([{"prompt": "", "response": "x"}], "row 1: an annotation needs a prompt_id or a prompt"),
        ([{"prompt_id": "0", "response": [3]}], r"row 1: response should be text, but is \[3\]"),
        ([{"prompt_id": "0", "response": "x", "cost": "much"}], "cost should be a number, but is 'much'"),
        ([{"prompt_id": "0", "response": "x", "cost": -1}], "cost should be a number of at least 0"),
        (
            [{"prompt_id": "0", "response": "x"}, {"prompt_id": "0", "response": "y"}],
            "row 2: prompt 0 is annotated twice, differently",
        ),
    ],
)
def test_a_bad_annotation_is_named(tmp_path, rows, message):
    with pytest.raises(PoolError, match=message):
        read_annotations(lines(tmp_path / "a.jsonl", rows))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(PoolError, match="There is no file"):
        read_annotations(tmp_path / "none.csv")
