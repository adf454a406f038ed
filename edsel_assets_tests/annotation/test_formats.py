import csv
import json

import pyarrow as pa
import pytest

from edsel_assets.annotation import FORMATS, ORDER_SCHEMA, AnnotationError, export_order, read_answers
from edsel_assets.annotation.formats.tables import guarded, unguarded
from edsel_assets.pools import prompt_id

ID = "0123456789abcdef0123456789abcdef"
NASTY = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\nx",
    "'=1",
    "''=1",
    "'plain",
    "'",
    "",
    "plain",
    "\uff1d1",
    'a "quoted", text\r\nwith lines',
    '=HYPERLINK("http://x","y")',
]


def order(prompts: list[str]) -> pa.Table:
    count = len(prompts)
    return pa.table(
        [
            ["order-0001"] * count,
            range(count),
            [f"{i:032x}" for i in range(count)],
            prompts,
            ["qa"] + [None] * (count - 1),
            [-0.5] * count,
            ["=why"] * count,
            [None] * count,
        ],
        schema=ORDER_SCHEMA,
    )


def test_a_guarded_cell_is_no_formula_and_comes_back():
    for text in NASTY:
        cell = guarded(text)
        assert not cell or cell[0] not in "=+-@\t\r\n\uff1d"
        assert unguarded(cell) == text
    assert guarded(-0.5) == -0.5
    assert guarded(None) is None


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_tables_are_filled_in_and_read_back(tmp_path, format):
    path = tmp_path / f"order.{format}"
    assert export_order(order(NASTY), format, path) == [path]
    if format == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["prompt"] for row in rows] == NASTY
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert not any(cell and cell[0] in "=+@\t\r\n" for row in rows for cell in row.values())
    assert list(rows[0]) == [*ORDER_SCHEMA.names, "response", "status", "who"]
    for row, text in zip(rows, NASTY, strict=True):
        row["response"] = text
    rows[1].update(status="Rejected", who="ann", response="")
    if format == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    answers = read_answers(path)
    assert [answer.prompt_id for answer in answers] == order(NASTY)["prompt_id"].to_pylist()
    kept = [text for i, text in enumerate(NASTY) if i != 1]
    assert [a.response or "" for i, a in enumerate(answers) if i != 1] == kept
    assert (answers[1].rejected, answers[1].who) == (True, "ann")
    assert answers[0].place == f"{path}, row 1"


def test_a_spreadsheet_may_save_with_semicolons_and_other_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"\ufeffprompt_id;response;note\r\n{ID};yes, indeed;n\r\n", encoding="utf-8")
    answers = read_answers(path)
    assert [(a.prompt_id, a.response) for a in answers] == [(ID, "yes, indeed")]


def test_an_id_may_be_computed_from_the_prompt(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": " p\\n", "response": "r"}\n')
    assert read_answers(path)[0].prompt_id == prompt_id("p")


def label_studio_task(annotations: list[dict], key: str = ID) -> dict:
    """A task as labelstud.io/guide/task_format documents the JSON export."""
    return {
        "id": 1,
        "created_at": "2021-03-09T21:52:49.513742Z",
        "updated_at": "2021-03-09T22:16:08.746926Z",
        "project": 83,
        "data": {"prompt": "p", "prompt_id": key},
        "annotations": annotations,
        "drafts": [{"result": [{"type": "textarea", "value": {"text": ["a draft"]}}]}],
        "predictions": [],
    }


def label_studio_annotation(*texts: str, cancelled: bool = False, name: str = "response", **more) -> dict:
    result = [
        {
            "value": {"text": list(texts)},
            "id": "Dx_aB91ISN",
            "from_name": name,
            "to_name": "prompt",
            "type": "textarea",
            "origin": "manual",
        }
    ]
    return {
        "id": 1001,
        "completed_by": 10,
        "result": result if texts else [],
        "was_cancelled": cancelled,
        "ground_truth": False,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "updated_at": "2021-03-09T22:16:09.728378Z",
        "lead_time": 4.288,
        "task": 1,
        **more,
    }


def test_label_studio_tasks_have_data_and_the_interface_shows_it(tmp_path):
    files = export_order(order(["=p", "q"]), "label-studio", tmp_path / "tasks.json")
    assert [file.name for file in files] == ["tasks.json", "tasks.config.xml"]
    tasks = json.loads(files[0].read_text())
    assert tasks[0] == {
        "data": {
            "order": "order-0001",
            "rank": 0,
            "prompt_id": "0" * 32,
            "prompt": "=p",
            "task": "qa",
            "why": "=why",
        }
    }
    assert 'value="$prompt"' in files[1].read_text()
    assert '<TextArea name="response" toName="prompt"' in files[1].read_text()
    assert [(a.prompt_id, a.response) for a in read_answers(files[0])] == [
        ("0" * 32, None),
        (f"{1:032x}", None),
    ]


def test_label_studio_json_is_read_as_documented(tmp_path):
    path = tmp_path / "export.json"
    other = label_studio_annotation("by name", name="text")
    both = label_studio_annotation("right")
    both["result"].insert(0, {"type": "textarea", "from_name": "remark", "value": {"text": ["wrong"]}})
    both["result"].insert(0, {"type": "choices", "from_name": "x", "value": {"choices": ["c"]}})
    tasks = [
        label_studio_task([label_studio_annotation("one\ntwo")]),
        label_studio_task([label_studio_annotation("par 1", "par 2", completed_by={"email": "a@b"})]),
        label_studio_task([label_studio_annotation(cancelled=True)]),
        label_studio_task([]),
        label_studio_task([label_studio_annotation("x"), label_studio_annotation("y")]),
        label_studio_task([other]),
        label_studio_task([both]),
        label_studio_task([label_studio_annotation()]),
    ]
    path.write_text(json.dumps(tasks))
    answers = read_answers(path)
    assert [(a.response, a.rejected) for a in answers] == [
        ("one\ntwo", False),
        ("par 1\npar 2", False),
        (None, True),
        (None, False),
        ("x", False),
        ("y", False),
        ("by name", False),
        ("right", False),
        (None, False),
    ]
    assert {a.prompt_id for a in answers} == {ID}
    assert (answers[0].who, answers[1].who) == ("10", "a@b")
    assert answers[0].when == "2021-03-09T22:16:09.728378Z"
    assert answers[5].place == f"{path}, row 5"


def test_label_studio_json_min_is_read(tmp_path):
    path = tmp_path / "min.json"
    rows = [
        {"id": 1, "annotator": 2, "prompt_id": ID, "prompt": "p", "response": "r", "updated_at": "2026"},
        {"id": 2, "annotator": 2, "prompt_id": ID, "prompt": "p", "response": {"text": ["a", "b"]}},
        {"id": 3, "annotator": 2, "prompt_id": ID, "prompt": "p"},
    ]
    path.write_text(json.dumps(rows))
    assert [(a.response, a.who, a.when) for a in read_answers(path)] == [
        ("r", "2", "2026"),
        ("a\nb", "2", ""),
        (None, "2", ""),
    ]


def test_argilla_records_and_settings(tmp_path):
    files = export_order(order(["p", "q"]), "argilla", tmp_path / "records.json")
    assert [file.name for file in files] == ["records.json", "records.settings.json"]
    assert json.loads(files[0].read_text())[0] == {
        "id": "0" * 32,
        "fields": {"prompt": "p"},
        "metadata": {"prompt_id": "0" * 32, "order": "order-0001", "rank": 0, "task": "qa", "why": "=why"},
        "suggestions": {},
        "responses": {},
        "vectors": {},
    }
    settings = json.loads(files[1].read_text())
    assert [field["name"] for field in settings["fields"]] == ["prompt"]
    assert [question["name"] for question in settings["questions"]] == ["response"]
    assert [(a.prompt_id, a.response) for a in read_answers(files[0])] == [
        ("0" * 32, None),
        (f"{1:032x}", None),
    ]


def test_argilla_responses_of_each_documented_form(tmp_path):
    path = tmp_path / "records.json"
    user = "5a3ae1c9-0000-0000-0000-000000000000"
    metadata = {"prompt_id": ID}
    nested = {"id": ID, "fields": {"prompt": "p"}, "metadata": {}, "vectors": {}}
    records = [
        {**nested, "responses": {"response": [{"value": "r", "user_id": user}]}},
        {**nested, "status": "pending", "responses": {"response": [{"value": "r", "user_id": user}]}},
        {**nested, "responses": {"response": [{"value": "r", "user_id": user, "status": "discarded"}]}},
        {**nested, "responses": {}},
        {
            "id": ID,
            "prompt": "p",
            "response.responses": ["a", "b", "c"],
            "response.responses.users": [user] * 3,
            "response.responses.status": ["submitted", "discarded", "draft"],
        },
        {
            "id": "a-server-id",
            "external_id": ID,
            "responses": [
                {
                    "values": {"response": {"value": "s"}},
                    "status": "submitted",
                    "user_id": user,
                    "updated_at": "2026-01-01",
                },
                {"values": {}, "status": "discarded", "user_id": user},
                {"values": None, "status": "draft", "user_id": user},
            ],
        },
        {"id": "a-server-id", "external_id": "other", "metadata": metadata, "responses": None},
    ]
    path.write_text(json.dumps({"items": records, "total": len(records)}))
    answers = read_answers(path, "argilla")
    assert [(a.response, a.rejected) for a in answers] == [
        ("r", False),
        (None, False),
        (None, True),
        (None, False),
        ("a", False),
        (None, True),
        (None, False),
        ("s", False),
        (None, True),
        (None, False),
        (None, False),
    ]
    assert {a.prompt_id for a in answers} == {ID}
    assert (answers[7].who, answers[7].when) == (user, "2026-01-01")


BAD = {
    "absent.jsonl": (None, "There is no file"),
    "absent.json": (None, "There is no file .*absent.json"),
    "a.txt": (b"", "format of .*a.txt cannot be told from its suffix.*--format"),
    "a.jsonl": (b'{"prompt_id": "x", "note": "y"}\n', "has the columns 'prompt_id', 'note'. An answer needs"),
    "b.jsonl": (b'{"prompt_id": "x", "response"\n', "row 1: not valid JSON"),
    "c.jsonl": (
        b'{"prompt_id": "x", "response": "", "status": "perhaps"}\n',
        "row 1: status is 'rejected' or",
    ),
    "d.jsonl": (
        b'{"prompt_id": "x", "response": "r", "status": "rejected"}\n',
        "row 1: it is rejected, and has a response",
    ),
    "a.csv": (b"prompt_id,response\nx\n", "row 1 .*the header has 2 fields"),
    "b.csv": ("prompt_id,response\nx,é\n".encode("cp1252"), "row 2: .*not valid UTF-8"),
    "a.json": (b"{", "a.json is not valid JSON"),
    "b.json": (b'"x"', "a list of objects is needed, but it is str"),
    "c.json": (b"[3]", "row 1: a JSON object is needed, but it is int"),
    "d.json": (b'[{"data": 3}]', "row 1: a task has data and annotations"),
    "e.json": (b'[{"data": {}, "annotations": [3]}]', "row 1: an annotation is an object with a result"),
    "f.json": (
        b'[{"data": {}, "annotations": [{"result": [{"type": "textarea", "from_name": "a", "value": {}},'
        b'{"type": "textarea", "from_name": "b", "value": {}}]}]}]',
        "text areas a, b, none of them named response",
    ),
    "g.json": (b'[{"annotator": 1}]', "row 1: it has no prompt_id"),
    "h.json": (b'[{"id": "x", "responses": [{"values": {}, "status": "lost"}]}]', "got 'lost'"),
    "i.json": (b'[{"id": "x", "responses": {"response": 3}}]', "row 1: responses are a list; got int"),
    "j.json": (b'[{"id": "x", "responses": [3]}]', "row 1: a response is an object with values"),
    "l.csv": (b"prompt_id,response,notes\nx,,said\n", "no row has an answer, but text stands in 'notes'"),
    "m.json": (
        b'[{"data": {"prompt_id": "x"}, "annotations": [{"result": [{"type": "choices", "value": {}}]}]}]',
        "row 1: an annotation has results of type choices, and no text area",
    ),
    "n.json": (
        b'[{"id": "x", "a.responses": ["1"], "b.responses": ["2"]}]',
        "row 1: it has responses to a, b, none of them named response",
    ),
    "o.json": (b'{"p": "a", "p": "b"}', "o.json is not valid JSON .the key 'p' is there twice"),
    "p.json": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "p.json is a Git LFS pointer, .*git lfs pull",
    ),
    "k.json": (b"\xff\xfe[\x00]\x00", "k.json is not UTF-8 text"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_of_place_and_remedy(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_answers(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_an_unknown_format_is_refused_with_the_choices(tmp_path):
    with pytest.raises(AnnotationError, match=f"one of {', '.join(FORMATS)}; got 'xml'"):
        export_order(order(["p"]), "xml", tmp_path / "a.xml")
    with pytest.raises(AnnotationError, match="got 'xml'"):
        read_answers(tmp_path / "a.xml", "xml")


THE_ID = prompt_id("p")
TURNS = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "'=r"}]
#: The same answer in every layout that is read.
LAYOUTS = {
    "by id": ("a.jsonl", [{"prompt_id": THE_ID, "response": "'=r"}]),
    "by prompt": ("a.jsonl", [{"prompt": " p\n", "response": "'=r"}]),
    "an id among others": ("a.jsonl", [{"id": THE_ID, "output": "'=r"}]),
    "a number of the row": ("a.jsonl", [{"id": 1, "prompt": "p", "completion": "'=r"}]),
    "question and answer": ("a.jsonl", [{"question": "p", "answer": "'=r"}]),
    "label": ("a.jsonl", [{"prompt_id": THE_ID, "label": "'=r"}]),
    "text": ("a.jsonl", [{"prompt_id": THE_ID, "text": "'=r"}]),
    "an empty response beside the answers": (
        "a.jsonl",
        [{"prompt_id": THE_ID, "prompt": "p", "response": None, "answer": "'=r"}],
    ),
    "messages": ("a.jsonl", [{"messages": TURNS}]),
    "messages by id": ("a.jsonl", [{"prompt_id": THE_ID, "messages": TURNS}]),
    "prompt and completion as turns": ("a.jsonl", [{"prompt": TURNS[:1], "completion": TURNS[1:]}]),
    "a server's batch": (
        "a.jsonl",
        [{"custom_id": THE_ID, "response": {"body": {"choices": [{"message": TURNS[1]}]}}, "error": None}],
    ),
    "a list in JSON": ("a.json", [{"prompt_id": THE_ID, "response": "'=r"}]),
    "by id in JSON": ("a.json", {THE_ID: "'=r"}),
    "by prompt in JSON": ("a.json", {"p": "'=r"}),
    "rows by id in JSON": ("a.json", {THE_ID: {"answer": "'=r"}}),
    "Label Studio without our id": (
        "a.json",
        [{"data": {"prompt": "p"}, "annotations": [label_studio_annotation("'=r", name="answer")]}],
    ),
    "Label Studio's JSON-MIN": ("a.json", [{"prompt": "p", "answer": "'=r", "annotator": 1}]),
    "Argilla with another question": (
        "a.json",
        [{"id": "1", "fields": {"prompt": "p"}, "responses": {"answer": [{"value": "'=r"}]}}],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_answer_is_read_in_every_layout(tmp_path, layout):
    name, content = LAYOUTS[layout]
    lines = [json.dumps(row) + "\n" for row in content]
    (tmp_path / name).write_text("".join(lines) if name == "a.jsonl" else json.dumps(content))
    (row,) = read_answers(tmp_path / name)
    assert (row.prompt_id, row.response) == (THE_ID, "'=r")


def test_numbers_are_answers(tmp_path):
    values = [7, 2.5, True, None]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"prompt_id": ID, "response": value}) + "\n" for value in values))
    assert [row.response for row in read_answers(path)] == ["7", "2.5", "true", None]


def test_a_guarded_prompt_names_its_prompt_and_a_quote_of_its_own_does_too(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "response"], ["'=1+1", "'-v' is a switch"]])
    (row,) = read_answers(path)
    assert (row.prompt_id, row.other_id) == (prompt_id("'=1+1"), prompt_id("=1+1"))
    assert row.response == "'-v' is a switch"
