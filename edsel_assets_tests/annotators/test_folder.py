"""Files that are dropped in are taken in once, by content; bad ones are set aside; nothing is lost."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edsel_assets.annotation import AnnotationError, Ledger, export_order, order_table
from edsel_assets.annotators import FolderAnnotator, answer
from edsel_assets.annotators.folder import _move
from edsel_assets.store import Store
from edsel_assets_tests.annotators.conftest import events, states


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


def taking(folder: Path, store: Store, settle: float = 0.0) -> FolderAnnotator:
    return FolderAnnotator(folder, store.folder / "answer_files", settle)


def drop(folder: Path, name: str, rows: dict[str, str]) -> Path:
    path = folder / name
    lines = [json.dumps({"prompt_id": key, "response": text, "who": "ann"}) for key, text in rows.items()]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_taken_in_and_moved(folder, store, order) -> None:
    path = drop(folder, "a.jsonl", {key: f"answer {i}" for i, key in enumerate(order[1][:4])})
    content = path.read_bytes()
    found = answer(taking(folder, store), store)
    assert (found.answered, found.open, found.paid) == (4, 6, 2.0)
    assert names(folder) == {"imported/a.jsonl"}
    assert (folder / "imported" / "a.jsonl").read_bytes() == content
    assert {event.who for event in events(store, "answered")} == {"ann"}
    assert answer(taking(folder, store), store).remarks == ()


@pytest.mark.parametrize("style", ["jsonl", "csv", "label-studio", "argilla"])
def test_every_format_of_an_export_can_be_dropped_in(folder, store, order, style, tmp_path) -> None:
    suffix = {"jsonl": ".jsonl", "csv": ".csv"}.get(style, ".json")
    name, ids = order
    file = export_order(order_table(store, name), style, tmp_path / f"out{suffix}")[0]
    text = file.read_text(encoding="utf-8-sig")
    if style == "jsonl":
        rows = [json.loads(line) | {"response": "yes"} for line in text.splitlines()]
        text = "".join(json.dumps(row) + "\n" for row in rows)
    elif style == "csv":
        text = "prompt_id,response\n" + "".join(f"{key},yes\n" for key in ids)
    elif style == "label-studio":
        value = {"type": "textarea", "from_name": "response", "value": {"text": ["yes"]}}
        text = json.dumps([task | {"annotations": [{"result": [value]}]} for task in json.loads(text)])
    else:
        given = {"response": [{"value": "yes", "user_id": "1", "status": "submitted"}]}
        text = json.dumps([record | {"responses": given} for record in json.loads(text)])
    (folder / f"in{suffix}").write_text(text, encoding="utf-8")
    assert answer(taking(folder, store), store).answered == 10
    assert names(folder) == {f"imported/in{suffix}"}


def test_the_same_content_under_another_name_is_not_taken_in_again(folder, store, order) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(folder, name, {order[1][0]: "one"})
        found = answer(taking(folder, store), store)
    assert "was taken in before, as a.jsonl" in found.remarks[0]
    assert len(events(store, "answered")) == len(events(store, "paid")) == 1
    assert names(folder) == {"imported/a.jsonl", "imported/b.jsonl"}


def _no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")  # FAT, or a file of another owner


@pytest.mark.parametrize("links", [True, False])
def test_another_file_of_the_same_name_overwrites_nothing(folder, store, order, monkeypatch, links) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    for key in order[1][:3]:
        drop(folder, "a.jsonl", {key: f"to {key}"})
        assert answer(taking(folder, store), store).answered == 1
    assert names(folder) == {"imported/a.jsonl", "imported/a-1.jsonl", "imported/a-2.jsonl"}
    taken = [(folder / "imported" / f"a{end}.jsonl").read_text() for end in ("", "-1", "-2")]
    assert [json.loads(text)["prompt_id"] for text in taken] == order[1][:3]


def test_a_move_that_fails_leaves_the_file_and_no_empty_one(folder, order, monkeypatch) -> None:
    path = drop(folder, "a.jsonl", {order[1][0]: "one"})
    monkeypatch.setattr(os, "link", _no_links)
    monkeypatch.setattr(Path, "replace", _no_links)
    with pytest.raises(PermissionError):
        _move(path, folder / "imported")
    assert names(folder) == {"a.jsonl"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("unknown.jsonl", '{"prompt_id": "nobody", "response": "x"}\n', "Not asked for in any order"),
        ("torn.json", '[{"data": {', "not valid JSON"),
        ("answers.docx", "words", "cannot be told from its suffix"),
        ("columns.csv", "colour,shape\na,b\n", "has the columns 'colour', 'shape'"),
        ("layout.csv", "question,answer\na,b\n", "Not asked for in any order: layout.csv, row 1"),
        ("binary.jsonl", "\x00\x01", "binary.jsonl"),
    ],
)
def test_a_bad_file_is_set_aside_with_its_reason_and_the_good_one_is_taken(
    folder, store, order, name, content, reason
) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    drop(folder, "zz.jsonl", {order[1][0]: "one"})
    found = answer(taking(folder, store), store)
    assert found.answered == 1
    assert names(folder) == {f"set-aside/{name}", f"set-aside/{name}.why.txt", "imported/zz.jsonl"}
    assert (folder / "set-aside" / name).read_text(encoding="utf-8") == content
    said = (folder / "set-aside" / f"{name}.why.txt").read_text(encoding="utf-8")
    assert reason in said
    assert str(store) not in said, "the person dropped it into the folder, not into the store"
    assert any(reason in remark for remark in found.remarks)


def test_a_mended_file_is_taken_in(folder, store, order) -> None:
    (folder / "a.jsonl").write_text('{"prompt_id": "nobody", "response": "x"}\n', encoding="utf-8")
    answer(taking(folder, store), store)
    drop(folder, "a.jsonl", {order[1][0]: "one"})
    assert answer(taking(folder, store), store).answered == 1


def test_what_is_still_being_written_is_left_alone(folder, store, order) -> None:
    drop(folder, ".hidden.jsonl", {order[1][0]: "one"})
    drop(folder, "a.jsonl.part", {order[1][0]: "one"})
    drop(folder, "b.jsonl~", {order[1][0]: "one"})
    assert taking(folder, store).waiting() == []
    path = drop(folder, "c.jsonl", {order[1][0]: "one"})
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import time\nfor _ in range(40):\n open({str(path)!r}, 'a').write(' ')\n time.sleep(0.05)",
        ]
    )
    try:
        time.sleep(0.3)
        found = answer(taking(folder, store, settle=0.5), store)
    finally:
        writer.wait()
    assert found.answered == 0
    assert "still being written" in found.remarks[0]
    assert answer(taking(folder, store, settle=0.2), store).answered == 1


def test_a_missing_folder_is_named_before_anything_runs(store, order, tmp_path) -> None:
    with pytest.raises(AnnotationError, match=r"annotation.annotator.folder: there is no folder .*absent"):
        answer(taking(tmp_path / "absent", store), store)


KILLED = """
import os, sys
from pathlib import Path
import edsel_assets.annotators.folder as f
from edsel_assets.store import Store
folder, store, where = Path(sys.argv[1]), Store(Path(sys.argv[2])), sys.argv[3]

def killing(owner, name, after):
    whole = getattr(owner, name)
    def stops(*a, **k):
        if not after:
            os._exit(9)
        found = whole(*a, **k)
        os._exit(9)
    setattr(owner, name, stops)

points = {
    "before the copy": (f._Entry, "keep", False),
    "after the copy": (f._Entry, "keep", True),
    "before the note": (f._Entry, "close", False),
    "before the move": (f, "_move", False),
    "between link and unlink": (os, "link", True),
    "after the move": (f, "_move", True),
}
killing(*points[where])
from edsel_assets.annotators import FolderAnnotator, answer
answer(FolderAnnotator(folder, store.folder / "answer_files", 0.0), store)
"""


@pytest.mark.parametrize(
    "where",
    [
        "before the copy",
        "after the copy",
        "before the note",
        "before the move",
        "between link and unlink",
        "after the move",
    ],
)
def test_killed_at_any_point_the_next_call_finishes(folder, store, order, where) -> None:
    drop(folder, "a.jsonl", dict.fromkeys(order[1][:3], "yes"))
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(store), where], env=os.environ)
    assert done.returncode == 9
    answer(taking(folder, store), store)
    assert names(folder) == {"imported/a.jsonl"}
    assert len(events(store, "answered")) == len(events(store, "paid")) == 3
    assert states(store) == ["answered"] * 3 + ["asked"] * 7
    assert Ledger(store).torn() is None
