"""Answers that cannot be taken, orders that cannot be placed: one line each, and the ledger is as it was."""

import json

import pyarrow.parquet as pq
import pytest

from edsel_assets.planning.ledger import mark_store
from edsel_assets.store import Home
from edsel_assets_tests.annotation.conftest import placed
from edsel_assets_tests.malformed.conftest import assert_says


@pytest.fixture
def ids(edsel, monkeypatch) -> list[str]:
    """Prompts of order-0001 of a home of its own; order-0002 asks for others."""
    edsel.home = edsel.home.with_name("orders")
    monkeypatch.setenv("EDSEL_HOME", str(edsel.home))
    store = Home.at(edsel.home).store("tiny")
    if not (store.folder / "orders").exists():
        mark_store(store)
        placed(store, 4)
        placed(store, 4, start=10)
    return pq.read_table(store.folder / "orders" / "order-0001.parquet")["prompt_id"].to_pylist()


def lines(*rows: dict) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def table(*rows: str) -> bytes:
    return "\n".join(rows).encode() + b"\n"


GOOD = {"prompt_id": "ID0", "response": "Yes."}
#: what: (name of the file, its content with ID0 to ID3 for ids, further words, what the line says)
ANSWERS: dict[str, tuple[str, bytes | None, list[str], str]] = {
    "an id that nobody asked for": (
        "a.jsonl",
        lines(GOOD, {**GOOD, "prompt_id": "f" * 32}),
        [],
        "Not asked for in any order: ... such rows out with --skip-unknown.",
    ),
    "an id cut short": (
        "a.jsonl",
        lines({**GOOD, "prompt_id": "abc"}),
        [],
        "Not asked for in any order: ... such rows out with --skip-unknown.",
    ),
    "two answers to one prompt": (
        "a.jsonl",
        lines(GOOD, {**GOOD, "response": "No."}),
        [],
        "row 2: prompt ... with --keep first or --keep last.",
    ),
    "an id of another order": (
        "a.jsonl",
        lines(GOOD),
        ["--order", "order-0002"],
        "Not asked for in order-0002: ... such rows out with --skip-unknown.",
    ),
    "an order that is not there": (
        "a.jsonl",
        lines(GOOD),
        ["--order", "order-0009"],
        "Not asked for in order-0009: ... such rows out with --skip-unknown.",
    ),
    "an id that is a number": (
        "a.jsonl",
        lines({**GOOD, "prompt_id": 5}),
        [],
        "row 1: prompt_id should be text, but is 5. ... Add it or remove the row.",
    ),
    "no id in a row": (
        "a.jsonl",
        lines(GOOD, {"response": "x"}),
        [],
        "row 2: prompt_id should be text, but is None. ... Add it or remove the row.",
    ),
    "an answer that is a list": (
        "a.jsonl",
        lines({**GOOD, "response": ["a", "b"]}),
        [],
        "row 1: response should be text, but is list ... Repair the row.",
    ),
    "an unknown status": (
        "a.jsonl",
        lines({**GOOD, "status": "done"}),
        [],
        "row 1: status is 'rejected' or empty; ... Repair the row.",
    ),
    "a rejection with an answer": (
        "a.jsonl",
        lines({**GOOD, "status": "rejected"}),
        [],
        "row 1: it is rejected, and has a response. ... Empty one of the two columns.",
    ),
    "a time that is none": (
        "a.jsonl",
        lines({**GOOD, "when": "yesterday"}),
        [],
        "row 1: a time is in ISO format, such as ... Repair or empty it.",
    ),
    "a row that breaks off": (
        "a.jsonl",
        lines(GOOD)[:-5],
        [],
        "row 1: not valid JSON (Unterminated string ... whole object; repair or remove it.",
    ),
    "a row that is a list": (
        "a.jsonl",
        b'["x"]\n',
        [],
        'row 1: a JSON object is needed, but it is ... {"prompt": ..., "response": ...}.',
    ),
    "a key twice": (
        "a.jsonl",
        b'{"prompt_id": "ID0", "response": "a", "response": "b"}\n',
        [],
        "row 1: the key 'response' is there twice. ... Keep one of them.",
    ),
    "an empty file": ("a.jsonl", b"", [], " ... the file that holds the answers."),
    "UTF-16 without a mark": (
        "a.jsonl",
        lines(GOOD).decode().encode("utf-16-le"),
        [],
        "row 1: it holds a zero byte, so it is ... Copy it again, or save it as UTF-8.",
    ),
    "half a surrogate pair": (
        "a.jsonl",
        b'{"prompt_id": "ID0", "response": "\\ud800"}\n',
        [],
        "row 1: response holds half a surrogate pair, ... Repair the row.",
    ),
    "a table without ids": ("a.csv", table("note,answer", "x,y"), [], " ... Rename the columns."),
    "a table without answers": ("a.csv", table("prompt_id,note", "ID0,y"), [], " ... Rename the columns."),
    "a header twice": (
        "a.csv",
        table("prompt_id,response,response", "ID0,y,z"),
        [],
        "row 1: the header has 'response' more than ... Rename a column.",
    ),
    "a ragged row": (
        "a.csv",
        table("prompt_id,response", "ID0"),
        [],
        "row 1 (line 2): the header has 2 fields, this ... that hold a ',' or a line end.",
    ),
    "an open quote": (
        "a.csv",
        table("prompt_id,response", 'ID0,"y'),
        [],
        "row 1 (line 2): unexpected end of data. ... there, or copy the file again.",
    ),
    "a header alone": (
        "a.csv",
        table("prompt_id,response"),
        [],
        " ... the file that holds the answers.",
    ),
    "a workbook": (
        "a.xlsx",
        b"PK\x03\x04",
        [],
        "The format of ... jsonl, csv, label-studio, argilla.",
    ),
    "a suffix that says nothing": (
        "a.dat",
        lines(GOOD),
        [],
        "The format of ... jsonl, csv, label-studio, argilla.",
    ),
    "JSON of another tool": ("a.json", b'{"rows": []}', [], " ... the file that holds the answers."),
    "answers in a column of another name": (
        "a.csv",
        table("prompt_id,response,my words", "ID0,,yes"),
        [],
        "no row has an answer, but text stands in 'my words'. ... label, text).",
    ),
    "no file": (
        "a.jsonl",
        None,
        [],
        "There is no file or directory ... set of the hub is named OWNER/NAME.",
    ),
    "a folder": (
        ".",
        None,
        [],
        "The format of ... jsonl, csv, label-studio, argilla.",
    ),
    "a keep that is none": (
        "a.jsonl",
        lines(GOOD),
        ["--keep", "best"],
        "Of several answers to one prompt, keep the ... the first or the last; got 'best'.",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_wrong_answers_are_one_line_and_nothing_is_entered(case, edsel, ids, study_with, tmp_path) -> None:
    name, content, words, message = ANSWERS[case]
    path = tmp_path / name
    if content is not None:
        for number, prompt_id in enumerate(ids):
            content = content.replace(f"ID{number}".encode(), prompt_id.encode())
        path.write_bytes(content)
    said = edsel.refuses("import", str(path), "--study", study_with(), *words)
    assert_says(said, message)


#: what: (the command's words, what the line says)
ORDERS: dict[str, tuple[list[str], str]] = {
    "an unknown strategy": (
        ["order", "--strategy", "best", "--budget", "3"],
        "The study has no strategy best; ... kmq, iterative_kmq_perplexity.",
    ),
    "no amount": (
        ["order", "--strategy", "random"],
        "Say how many prompts to order by --budget, ... for those rejected: one of them.",
    ),
    "two amounts": (
        ["order", "--strategy", "random", "--budget", "3", "--spend", "2"],
        "Say how many prompts to order by --budget, ... for those rejected: one of them.",
    ),
    "no prompt": (
        ["order", "--strategy", "random", "--budget", "0"],
        "An order is of at least 1 prompt; ... is of at least 1 prompt; got 0.",
    ),
    "more than the largest budget": (
        ["order", "--strategy", "random", "--budget", "99"],
        "An order of 99 prompts exceeds the largest ... selection.budgets, or order less.",
    ),
    "no money": (
        ["order", "--strategy", "random", "--spend", "0"],
        "An order is for more than 0 of money; ... for more than 0 of money; got 0.0.",
    ),
    "money that is no number": (
        ["order", "--strategy", "random", "--spend", "nan"],
        "An order is for more than 0 of money; ... for more than 0 of money; got nan.",
    ),
    "nothing to replace": (
        ["order", "--strategy", "random", "--replace"],
        "No prompt was rejected that is not replaced ... so there is nothing to order.",
    ),
    "export of no order": (
        ["export", "order-0009", "--out", "OUT/a.jsonl"],
        "There is no order 'order-0009'. ... so far: order-0001, order-0002.",
    ),
    "export of a path": (
        ["export", "../order-0001", "--out", "OUT/a.jsonl"],
        "There is no order '../order-0001'. ... An order is named like order-0001.",
    ),
    "export to a form that is none": (
        ["export", "order-0001", "--format", "xml", "--out", "OUT/a"],
        "The format is one of jsonl, csv, ... label-studio, argilla; got 'xml'.",
    ),
    "export into a file": (
        ["export", "order-0001", "--out", "OUT/study.yaml/a.jsonl"],
        "Cannot write ... it or set EDSEL_HOME elsewhere.",
    ),
    "an answer of people": (
        ["answer", "order-0001"],
        "The study's answers come from people: edsel ... to pool, folder, openai.",
    ),
    "an answer to no order": (
        ["answer", "order-0009"],
        "The study's answers come from people: edsel ... to pool, folder, openai.",
    ),
}


@pytest.mark.parametrize("case", ORDERS)
def test_a_wrong_order_is_one_line_and_nothing_is_placed(case, edsel, ids, study_with, tmp_path) -> None:
    words, message = ORDERS[case]
    study = study_with()
    said = edsel.refuses(*(word.replace("OUT", str(tmp_path)) for word in words), "--study", study)
    assert_says(said, message)
