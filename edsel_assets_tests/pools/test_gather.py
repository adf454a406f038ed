"""What becomes of the columns of a row: read, counted, or said to be unread."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.pools import FileCount, PoolError, PoolSource, read_pool
from edsel_assets.pools.report import schema_with


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pairs(report) -> set[tuple[str, str | None]]:
    return {(row["prompt"], row["response"]) for row in report.table.to_pylist()}


def read(path: Path, rows: list[dict], **settings):
    return read_pool(PoolSource(lines(path, rows), **settings))


def test_thirty_rows_of_one_instruction_are_thirty_prompts(tmp_path):
    rows = [{"instruction": "Translate.", "input": f"word {i}", "response": f"r{i}"} for i in range(30)]
    report = read(tmp_path / "a.jsonl", rows)
    assert pairs(report) == {(f"Translate.\n\nword {i}", f"r{i}") for i in range(30)}
    assert report.unread == {}


@pytest.mark.parametrize("context", ["input", "context"])
@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("prompt", "response"),
        ("prompt", "completion"),
        ("instruction", "output"),
        ("instruction", "response"),
        ("question", "answer"),
        ("prompt", None),
        ("instruction", None),
        ("question", None),
    ],
)
def test_every_layout_takes_its_context(tmp_path, prompt, response, context):
    row = {prompt: "ask", context: " about\r\nthis "} | ({response: "said"} if response else {})
    report = read(tmp_path / "a.jsonl", [row, {**row, context: " "}, {**row, context: 7}])
    said = "said" if response else None
    assert pairs(report) == {("ask\n\nabout\nthis", said), ("ask", said), ("ask\n\n7", said)}


def test_self_instruct_makes_a_prompt_of_each_instance(tmp_path):
    rows = [
        {
            "id": "seed_task_0",
            "name": "breakfast",
            "instruction": "Suggest.",
            "instances": [{"input": "eggs", "output": "omelette"}, {"input": "oats", "output": "porridge"}],
            "is_classification": False,
        },
        {"instruction": "Greet.", "instances": [{"input": "", "output": "Hello"}]},
        {"instruction": "Alone.", "instances": []},
        {"instruction": "Null.", "instances": None},
    ]
    report = read(tmp_path / "a.jsonl", rows)
    assert pairs(report) == {
        ("Suggest.\n\neggs", "omelette"),
        ("Suggest.\n\noats", "porridge"),
        ("Greet.", "Hello"),
        ("Alone.", None),
        ("Null.", None),
    }
    assert (report.rows_read, report.files) == (5, {str(tmp_path / "a.jsonl"): "instruction + instances"})
    assert report.unread == {"name": 2 / 5}
    table = pa.Table.from_pylist(rows[:2])
    pq.write_table(table, tmp_path / "a.parquet")
    assert len(pairs(read_pool(PoolSource(tmp_path / "a.parquet")))) == 3
    for instances in ("text", ["text"]):
        report = read(tmp_path / "b.jsonl", [{"instruction": "x", "instances": instances}])
        assert pairs(report) == {("x", None)}
        assert report.faults[0][1:] == (1, f"the response should be text, but is list {['text']}")


def test_a_context_that_is_no_text_is_an_error_with_the_way_out(tmp_path):
    rows = [{"question": "q", "answer": "a", "context": {"title": "t"}}]
    with pytest.raises(PoolError, match=r"row 1: the context should be text, but is dict .*Map the right"):
        read(tmp_path / "a.jsonl", rows)
    report = read(tmp_path / "a.jsonl", rows, columns={"prompt": "question", "response": "answer"})
    assert pairs(report) == {("q", "a")}


def test_a_context_is_mapped(tmp_path):
    rows = [{"q": "ask", "passage": "text", "input": "not this", "a": "said"}]
    columns = {"prompt": "q", "context": "passage", "response": "a"}
    report = read(tmp_path / "a.jsonl", rows, columns=columns)
    assert pairs(report) == {("ask\n\ntext", "said")}
    assert report.unread == {"input": 1.0}
    rows = [{"instruction": "ask", "passage": "text", "input": "not this", "output": "said"}]
    report = read(tmp_path / "b.jsonl", rows, columns={"context": "passage"})
    assert pairs(report) == {("ask\n\ntext", "said")}


ROWS = [
    {"prompt": "a", "hint": "one", "notes": None, "score": 3, "id": "x", "list": ["t"]},
    {"prompt": "b", "hint": " ", "notes": "n", "score": 4, "id": "y", "list": []},
    {"prompt": "c", "hint": "three", "notes": None, "score": 5, "id": "z", "list": []},
    {"prompt": "", "hint": "four", "notes": "", "score": 5, "id": "w", "list": []},
]


def test_unread_text_columns_are_named_with_their_share(tmp_path):
    expected = {"hint": 0.75, "notes": 0.25}
    assert read(tmp_path / "a.jsonl", ROWS).unread == expected
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read_pool(PoolSource(tmp_path / "a.parquet")).unread == expected
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    assert read_pool(PoolSource(tmp_path / "a.json")).unread == expected
    (tmp_path / "a.csv").write_text("prompt,hint,notes\na,one,\nb, ,n\nc,three,\n,four,\n")
    assert read_pool(PoolSource(tmp_path / "a.csv")).unread == expected


def test_the_share_is_of_all_rows_of_all_files(tmp_path):
    lines(tmp_path / "a.jsonl", ROWS)
    lines(tmp_path / "b.jsonl", [{"prompt": f"other {i}"} for i in range(4)])
    assert read_pool(PoolSource(tmp_path)).unread == {"hint": 3 / 8, "notes": 1 / 8}


def test_every_row_is_counted_for_its_file(tmp_path):
    lines(tmp_path / "a.jsonl", [{"prompt": f"p{i}"} for i in range(6)] + [{"prompt": ""}])
    lines(tmp_path / "b.jsonl", [{"prompt": f"p{i}"} for i in (4, 5, 6, 6)])
    lines(tmp_path / "c.jsonl", [])
    lines(tmp_path / "d.jsonl", [{"prompt": "d"}])
    report = read_pool(PoolSource(tmp_path, limit=5))
    counts = {Path(name).name: count for name, count in report.counts.items()}
    assert list(counts) == ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"]
    assert counts["c.jsonl"] == FileCount(0, 0, 0, 0, 0)
    for count in counts.values():
        assert count.read == sum(count) - count.read
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    assert totals == [
        report.rows_read,
        len(report.table),
        report.duplicates,
        report.rows_skipped,
        report.beyond_limit,
    ]
    whole = {Path(name).name: count for name, count in read_pool(PoolSource(tmp_path)).counts.items()}
    # p4 and p5 are in both files: whichever row stays, the other is a duplicate.
    assert whole["a.jsonl"].read == 7
    assert whole["a.jsonl"].without_prompt == 1
    assert whole["a.jsonl"].duplicates + whole["b.jsonl"].duplicates == 3
    assert whole["a.jsonl"].kept + whole["b.jsonl"].kept == 7
    assert whole["d.jsonl"] == FileCount(1, 1, 0, 0, 0)


def chat(*turns: tuple[str, object]) -> dict:
    return {"messages": [{"role": role, "content": said} for role, said in turns]}


def test_a_chat_that_needs_a_tool_is_left_out_and_the_rest_is_kept(tmp_path):
    rows = [
        chat(("user", "plain"), ("assistant", "yes")),
        chat(("user", "weather?"), ("function_call", "{}"), ("tool", "sun"), ("assistant", "sun")),
        chat(("user", "later"), ("assistant", "said"), ("tool", "x"), ("assistant", "more")),
        chat(("tool", "x"), ("user", "u")),
        chat(
            ("user", [{"type": "text", "text": "in"}, {"type": "text", "text": "parts"}]), ("assistant", "ok")
        ),
        chat(("user", [{"type": "image_url", "image_url": {"url": "x"}}])),
    ]
    report = read(tmp_path / "a.jsonl", rows)
    assert pairs(report) == {("plain", "yes"), ("later", "said"), ("in\nparts", "ok")}
    assert [(row, reason) for _, row, reason in report.skipped] == [
        (2, "a turn before the first reply has the role 'function_call', which is no speaker's"),
        (4, "a turn before the first reply has the role 'tool', which is no speaker's"),
        (6, "a turn has a part of type 'image_url', which is no text"),
    ]


def test_a_price_is_read_where_it_is_mapped(tmp_path):
    rows = [
        {"prompt": "a", "fee": 2},
        {"prompt": "b", "fee": "0.5"},
        {"prompt": "c"},
        {"prompt": "", "fee": 9},
    ]
    report = read(tmp_path / "a.jsonl", rows, columns={"price": "fee"})
    assert report.table.schema == schema_with(["price"])
    assert {r["prompt"]: r["price"] for r in report.table.to_pylist()} == {"a": 2.0, "b": 0.5, "c": None}
    assert "price" not in read(tmp_path / "a.jsonl", rows).table.column_names
    for fee in (-1, "much", float("nan"), True, [1]):
        with pytest.raises(PoolError, match=r"row 2: a price is a number of at least 0, but it is"):
            read(tmp_path / "b.jsonl", [rows[0], {"prompt": "x", "fee": fee}], columns={"price": "fee"})


def test_which_price_stays_does_not_depend_on_the_order(tmp_path):
    rows = [{"prompt": "a", "source": "s", "fee": fee} for fee in (1, 2, 3)]
    kept = {
        read(tmp_path / f"{i}.jsonl", rows[i:] + rows[:i], columns={"price": "fee"}).table["price"][0].as_py()
        for i in range(3)
    }
    assert len(kept) == 1
