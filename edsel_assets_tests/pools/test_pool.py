import csv
import gzip
import hashlib
import json
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.pools import DEMO, POOL_SCHEMA, PoolError, PoolSource, pool_files, prompt_id, read_pool

ROWS = [
    {"prompt": 'What is\n"this", then?', "response": "A test.", "task": "qa", "source": "x"},
    {"prompt": "Sing é", "response": None, "task": "song", "source": "x"},
    {"prompt": "Count, 1", "response": "2", "task": None, "source": "y"},
]


def write(path: Path, rows: list[dict]) -> Path:
    """Write ``rows`` in the format of the suffix."""
    if ".parquet" in path.name:
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ".jsonl" in path.name:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    elif ".json" in path.name:
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def expected(rows: list[dict]) -> list[dict]:
    with_ids = [{"prompt_id": prompt_id(row["prompt"]), **row} for row in rows]
    return sorted(with_ids, key=lambda row: row["prompt_id"])


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.tsv"])
def test_every_format_gives_the_same_pool(tmp_path, name):
    report = read_pool(PoolSource(write(tmp_path / name, ROWS)))
    assert report.table.to_pylist() == expected(ROWS)
    assert report.table.schema == POOL_SCHEMA
    assert (report.rows_read, report.duplicates, report.rows_skipped) == (3, 0, 0)
    assert report.files == {str(tmp_path / name): "prompt + response"}


def test_json_lines_under_another_suffix_and_a_wrapped_list(tmp_path):
    lines = write(tmp_path / "a.jsonl", ROWS).rename(tmp_path / "lines.json")
    wrapped = tmp_path / "wrapped.json"
    wrapped.write_text(json.dumps({"version": 1, "data": ROWS}))
    for path in (lines, wrapped):
        assert read_pool(PoolSource(path)).table.to_pylist() == expected(ROWS)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    for name in ("a.jsonl", "a.csv", "a.json"):
        path = write(tmp_path / name, ROWS)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert read_pool(PoolSource(path)).table.to_pylist() == expected(ROWS)


def test_directories_globs_lists_and_urls(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".cache").mkdir()
    write(tmp_path / "a.jsonl", ROWS[:1])
    write(tmp_path / "sub" / "b.csv", ROWS[1:])
    write(tmp_path / ".cache" / "c.csv", [{"prompt": "hidden"}])
    (tmp_path / "notes.txt").write_text("not a pool")
    whole = expected(ROWS)
    paths = [tmp_path / "a.jsonl", str(tmp_path / "sub" / "*.csv"), str(tmp_path / "a.jsonl")]
    for path in (tmp_path, str(tmp_path / "**" / "[ab].*"), paths, f"file://{tmp_path}"):
        report = read_pool(PoolSource(path))
        assert report.table.to_pylist() == whole
        assert report.rows_read == 3
    listed = pool_files(PoolSource(tmp_path))
    assert [(file.path, file.bytes) for file in listed] == [
        (str(p), p.stat().st_size) for p in (tmp_path / "a.jsonl", tmp_path / "sub" / "b.csv")
    ]
    stamps = [os.stat(file.path).st_mtime for file in listed]
    assert [file.modified for file in listed] == pytest.approx(stamps)
    assert pool_files(PoolSource(DEMO)) == []


def test_a_data_set_saved_to_disk(tmp_path):
    datasets = pytest.importorskip("datasets")
    both = datasets.DatasetDict(
        train=datasets.Dataset.from_list(ROWS), test=datasets.Dataset.from_list([{"prompt": "held out"}])
    )
    both.save_to_disk(tmp_path / "both")
    both["train"].select([2, 0, 1]).save_to_disk(tmp_path / "one")
    for name in ("both", "one"):
        assert read_pool(PoolSource(tmp_path / name)).table.to_pylist() == expected(ROWS)
    held_out = read_pool(PoolSource(tmp_path / "both", split="test"))
    assert held_out.table["prompt"].to_pylist() == ["held out"]
    with pytest.raises(PoolError, match="has no split 'dev'; it has train, test"):
        read_pool(PoolSource(tmp_path / "both", split="dev"))
    assert len(pool_files(PoolSource(tmp_path / "one"))) >= 2


def test_a_directory_laid_out_as_on_the_hub(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    hub = tmp_path / "hub"
    (hub / "data").mkdir(parents=True)
    write(hub / "data" / "train-00000-of-00001.parquet", ROWS)
    write(hub / "data" / "test-00000-of-00001.parquet", [{"prompt": "held out"}])
    (hub / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "  - split: test\n    path: data/test-*\n---\n"
    )
    assert read_pool(PoolSource(hub)).table.to_pylist() == expected(ROWS)


def test_the_demo_pool_counts_its_duplicates():
    report = read_pool(PoolSource(DEMO))
    assert report.rows_read == len(report.table) + report.duplicates
    assert report.duplicates > 0
    assert report.table["task"].null_count == 0


def test_a_mapping_names_columns_and_labels_become_text(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"q": "x", "prompt": "not this", "best": "y", "kind": 3}])
    columns = {"prompt": "q", "response": "best", "task": "kind"}
    assert read_pool(PoolSource(path, columns=columns)).table.to_pylist() == [
        {"prompt_id": prompt_id("x"), "prompt": "x", "response": "y", "task": "3", "source": "a.jsonl"}
    ]


def test_nested_columns_and_dictionaries_in_parquet(tmp_path):
    turns = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    table = pa.table({"messages": [turns], "task": pa.array(["t"]).dictionary_encode(), "big": [[0.0] * 8]})
    pq.write_table(table, tmp_path / "a.parquet")
    row = read_pool(PoolSource(tmp_path / "a.parquet")).table.to_pylist()[0]
    assert (row["prompt"], row["response"], row["task"]) == ("u", "a", "t")


def test_duplicates_leave_one_row_whatever_the_order(tmp_path):
    rows = [
        {"prompt": "p", "response": None, "task": "a"},
        {"prompt": " p\r\n", "response": "r1", "task": "a"},
        {"prompt": "p", "response": "r2", "task": "b"},
        {"prompt": "p", "response": "r2", "task": "b"},
        {"prompt": "other", "response": None, "task": "c"},
        {"prompt": "other", "response": "only", "task": "c"},
        {"prompt": "single", "response": None, "task": "c"},
    ]
    shuffle, tables = random.Random(0), set()
    for attempt in range(10):
        shuffle.shuffle(rows)
        folder = tmp_path / str(attempt)
        folder.mkdir()
        write(folder / "a.jsonl", rows)
        report = read_pool(PoolSource(folder))
        assert (report.rows_read, report.duplicates, report.conflicts) == (7, 4, 1)
        tables.add(json.dumps(report.table.to_pylist()))
    assert len(tables) == 1
    kept = {row["prompt"]: row["response"] for row in json.loads(tables.pop())}
    assert kept["other"] == "only"
    assert kept["single"] is None
    assert kept["p"] in ("r1", "r2")


def test_the_limit_is_nested_and_blind_to_order(tmp_path):
    rows = [{"prompt": f"prompt {i}", "source": "s"} for i in range(300)]
    forward = write(tmp_path / "a.jsonl", rows)
    backward = write(tmp_path / "b.jsonl", rows[::-1])
    small = read_pool(PoolSource(forward, limit=50, seed=3))
    assert small.table.equals(read_pool(PoolSource(backward, limit=50, seed=3)).table)
    assert (len(small.table), small.beyond_limit) == (50, 250)
    large = set(read_pool(PoolSource(forward, limit=80, seed=3)).table["prompt_id"].to_pylist())
    assert set(small.table["prompt_id"].to_pylist()) < large
    other = read_pool(PoolSource(forward, limit=50, seed=4)).table["prompt_id"].to_pylist()
    assert other != small.table["prompt_id"].to_pylist()
    assert read_pool(PoolSource(forward, limit=10**6)).beyond_limit == 0
    # By the documented rule: the lowest BLAKE2b-64 of the id's 16 bytes, keyed "limit SEED".
    ids = [prompt_id(row["prompt"]) for row in rows]

    def key(i: str) -> bytes:
        return hashlib.blake2b(bytes.fromhex(i), key=b"limit 3", digest_size=8).digest()

    by_rule = sorted(ids, key=key)
    assert small.table["prompt_id"].to_pylist() == sorted(by_rule[:50])


def test_rows_without_a_prompt_are_counted_and_the_first_listed(tmp_path):
    rows = [{"prompt": None}, {"prompt": " \n"}, {"prompt": "p"}, {"response": "r"}] + [{"prompt": ""}] * 30
    path = write(tmp_path / "a.jsonl", rows)
    report = read_pool(PoolSource(path))
    assert (report.rows_read, report.rows_skipped, len(report.skipped)) == (34, 33, 20)
    assert [tuple(s) for s in report.skipped[:3]] == [
        (str(path), 1, "no prompt"),
        (str(path), 2, "the prompt is empty"),
        (str(path), 4, "no prompt"),
    ]


def _truncated_parquet(path: Path) -> None:
    write(path, ROWS)
    path.write_bytes(path.read_bytes()[:-30])


def _invalid_text_parquet(path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.array([0, 2, 4], pa.int32()).buffers()[1], pa.py_buffer(b"ok\xff\xfe")]
    )
    pq.write_table(pa.table({"prompt": bad}), path)


BAD_FILES = {
    "truncated Parquet": (
        "a.parquet",
        _truncated_parquet,
        r"parquet is not a whole Parquet file \(.*Copy",
    ),
    "no Parquet": ("a.parquet", b"prompt\nx\n", r"a\.parquet is not a whole Parquet file"),
    "UTF-8 in Parquet": ("a.parquet", _invalid_text_parquet, r"a\.parquet, row 2: prompt is not valid UTF-8"),
    "UTF-8 in JSON lines": (
        "a.jsonl",
        b'{"prompt":"x"}\n\n{"prompt":"\xff"}\n',
        r"row 3: .*UTF-8 .*at 11",
    ),
    "UTF-8 in CSV": (
        "a.csv",
        b"prompt\nx\n\xe9t\xe9\n",
        r"row 3: .* not valid UTF-8 \(byte 0xe9",
    ),
    "UTF-8 in JSON": ("a.json", b'[\n{"prompt":"\xff"}]', r"a\.json, row 2: the line is not valid UTF-8"),
    "truncated JSON lines": ("a.jsonl", b'{"prompt":"x"}\n{"prompt":"y', r"a\.jsonl, row 2: not valid JSON"),
    "truncated JSON": ("a.json", b'[{"prompt":"x"},\n{"prom', r"a\.json: not valid JSON \(.* at line 2\)"),
    "truncated gzip": (
        "a.jsonl.gz",
        gzip.compress(b'{"prompt":"x"}\n')[:-9],
        r"a\.jsonl\.gz is not a whole gzip file",
    ),
    "no gzip": ("a.jsonl.gz", b"plain", r"a\.jsonl\.gz is not a whole gzip file"),
    "JSON list in lines": ("a.jsonl", b'["x"]\n', r"row 1: a JSON object is needed, but it is list"),
    "JSON of text": ("a.json", b'["x"]', r"row 1: a JSON object is needed, but it is str"),
    "JSON without a list": ("a.json", b'"x"', r"a list of objects is needed, but it is str"),
    "a list in Parquet": (
        "a.parquet",
        lambda path: write(path, [{"prompt": [1, 2]}]),
        r"a\.parquet: none of the 1 rows has a prompt \(row 1: a chat turn should be",
    ),
    "half a surrogate pair": (
        "a.jsonl",
        b'{"prompt":"\\ud800"}\n',
        r"row 1: the prompt holds half a surrogate pair",
    ),
    "a bad turn": (
        "a.jsonl",
        b'{"messages":[{"role":"user"}]}\n',
        r"row 1: a turn has no content that is text",
    ),
    "an unknown role": (
        "a.jsonl",
        b'{"messages":[{"role":"x","content":"y"},{"role":"user","content":"u"}]}\n',
        r"role 'x', which is no",
    ),
    "mixed layouts": (
        "a.jsonl",
        b'{"prompt":"x"}\n{"instruction":"y","output":"z"}\n',
        r"row 1: this row has the layout prompt \(prompt\), others instruction \+ output \(inst",
    ),
    "no known column": (
        "a.jsonl",
        b'{"text":"x", "label": "y"}\n',
        r"columns text, label, of which no layout .*prompt: NAME",
    ),
    "ragged CSV": (
        "a.csv",
        b"prompt,task\nx,y\nx\n",
        r"row 2 \(line 3\): the header has 2 fields, this",
    ),
    "open quote in CSV": ("a.csv", b'prompt\n"x\n', r"a\.csv, row 1 .*Repair the quotes"),
    "no rows": ("a.csv", b"prompt,response\n", r"a\.csv: no rows"),
    "an empty file": ("a.jsonl", b"", r"a\.jsonl: no rows"),
    "no prompt at all": (
        "a.jsonl",
        b'{"prompt":""}\n' * 2,
        r"none of the 2 rows has a prompt \(row 1",
    ),
    "an unknown suffix": ("a.txt", b"x", r"format of .*a\.txt cannot be told"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_line_of_file_row_and_remedy(tmp_path, case):
    name, content, message = BAD_FILES[case]
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with pytest.raises(PoolError, match=message) as caught:
        read_pool(PoolSource(path))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_deep_nesting_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt":' + "[" * 100_000 + "\n")
    with pytest.raises(PoolError, match="row 1: not valid JSON"):
        read_pool(PoolSource(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv"])
@pytest.mark.parametrize("column", ["prompt", "response", "task"])
def test_a_mapped_column_that_is_absent_is_named_with_those_present(tmp_path, name, column):
    path = write(tmp_path / name, [{"prompt": "x", "label": "y"}])
    with pytest.raises(PoolError, match=rf"no column nope \(columns maps {column}: nope\); it has .*label"):
        read_pool(PoolSource(path, columns={column: "nope"}))


def test_a_response_may_come_after_the_first_batch(tmp_path):
    rows = [{"prompt": f"p{i}"} for i in range(9000)] + [{"prompt": "last", "response": "r"}]
    report = read_pool(PoolSource(write(tmp_path / "a.jsonl", rows)))
    assert {"last": "r"}.items() <= {r["prompt"]: r["response"] for r in report.table.to_pylist()}.items()
    assert report.files == {str(tmp_path / "a.jsonl"): "prompt + response"}


def test_a_mapped_column_may_appear_in_later_rows(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"prompt": "x"}, {"prompt": "y", "best": "z"}])
    assert len(read_pool(PoolSource(path, columns={"response": "best"})).table) == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.jsonl", "There is no file or directory .*none.jsonl"),
        ("none/*.jsonl", r"No file matches .*none/\*\.jsonl"),
        ("", "holds no file of a known suffix"),
    ],
)
def test_what_names_nothing_is_refused(tmp_path, path, message):
    with pytest.raises(PoolError, match=message):
        read_pool(PoolSource(str(tmp_path / path)))


def test_an_unknown_data_set_and_an_unknown_protocol(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PoolError, match="Cannot load nobody/nothing as a data set, split 'train'"):
        read_pool(PoolSource("nobody/nothing"))
    with pytest.raises(PoolError, match=r"Cannot look up nope://x"):
        read_pool(PoolSource("nope://x"))


def test_a_source_is_checked():
    for changes, message in [
        ({"format": "xml"}, "format must be one of"),
        ({"columns": {"answer": "x"}}, "columns maps"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"path": []}, "path is empty"),
    ]:
        with pytest.raises(PoolError, match=message):
            PoolSource(**{"path": "a.csv", **changes})


def test_progress_counts_files(tmp_path):
    write(tmp_path / "a.jsonl", ROWS)
    write(tmp_path / "b.jsonl", ROWS)
    seen = []
    read_pool(PoolSource(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_the_real_pool():
    data = Path(os.environ.get("EDSEL_DATA", "../shared/data"))
    path = data / "t0_pool.parquet"
    if not path.exists():
        pytest.skip(f"{path} is absent; set EDSEL_DATA to the folder of real data")
    report = read_pool(PoolSource(path))
    prompts = pq.read_table(path, columns=["prompt"])["prompt"].to_pylist()
    unique = {prompt_id(p) for p in prompts}
    assert report.rows_read == len(prompts) == 54_032
    assert report.table["prompt_id"].to_pylist() == sorted(unique)
    assert report.duplicates == len(prompts) - len(unique)
    assert report.rows_skipped == 0
    assert report.table["task"].null_count == 0
