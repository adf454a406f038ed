"""Pools and answers with seeded damage: each is read, or refused in one line that names it."""

import copy
import gzip
import io
import json
import random
import time
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.annotation import AnnotationError, read_answers
from edsel_assets.pools import PoolError, PoolSource, read_annotations, read_pool
from edsel_assets_tests.malformed.test_fuzzed_studies import places

_EACH = 60  # damaged copies of each kind of row
_TURNS = [{"role": "user", "content": "q é"}, {"role": "assistant", "content": "a"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "pairs": [{"prompt": f"p{i} é", "response": "r", "task": "t"} for i in range(12)],
    "chats": [{"messages": _TURNS, "id": str(i)} for i in range(12)],
    "answers": [{"prompt_id": f"{i:032x}", "response": "r", "status": ""} for i in range(12)],
    "tasks of Label Studio": [
        {
            "data": {"prompt_id": "0" * 32},
            "annotations": [{"result": [{"type": "textarea", "value": {"text": ["x"]}}]}],
        }
    ],
    "records of Argilla": [{"id": "0" * 32, "responses": {"response": [{"value": "x", "user_id": "u"}]}}],
}
_VALUES: list[Any] = [
    None, True, -1, 1.5, float("nan"), 10**400, "", "\ud800", "\x00", [], {}, [[]], [{}], ["a"], [_TURNS],
    json.dumps(_TURNS), str(_TURNS), '[{"role": "user"', "Human: a\n\nAssistant: b", "[INST] x [/INST] y",
    [{"role": 3, "content": 4}], [{"role": "user"}], [{"role": "user", "content": [{"type": "image"}]}],
]  # fmt: skip


def changed(rows: list[dict[str, Any]], draw: random.Random) -> list[Any]:
    """``rows`` with another value, another name or another depth in one place."""
    found: Any = copy.deepcopy(rows)
    *inner, last = draw.choice(places(found))
    holder = found
    for part in inner:
        holder = holder[part]
    what = draw.choice(["delete", "value", "value", "list", "object", "rename"])
    if what == "delete":
        del holder[last]
    elif what == "rename" and isinstance(holder, dict):
        names = ["x", "text", "Prompt", "answer", "content", "from", "history", ""]
        holder[draw.choice(names)] = holder.pop(last)
    else:
        holder[last] = {"list": [holder[last]], "object": {"v": holder[last]}}.get(
            what, copy.deepcopy(draw.choice(_VALUES))
        )
    return found


def written(rows: list[Any], suffix: str) -> bytes:
    if suffix == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), file)
        return file.getvalue()
    if suffix == "json":
        return json.dumps(rows).encode()
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return gzip.compress(lines, mtime=0) if suffix == "jsonl.gz" else lines


def spoilt(data: bytes, draw: random.Random) -> bytes:
    """``data`` cut, with flipped bits, with zeros, or with a byte too many."""
    place, found = draw.randrange(len(data)), bytearray(data)
    what = draw.choice(["cut", "flip", "zeros", "insert"])
    if what == "cut":
        return data[:place]
    if what == "flip":
        found[place] ^= 1 << draw.randrange(8)
    elif what == "zeros":
        found[place : place + 8] = bytes(len(found[place : place + 8]))
    else:
        found[place:place] = draw.choice([b'"', b"\xff", b"\n", b"{", b"\x00", b"\xed\xa0\x80"])
    return bytes(found)


@pytest.mark.parametrize("kind", ROWS)
def test_a_changed_file_is_read_or_refused_in_one_line(kind, tmp_path) -> None:
    draw, ends = random.Random(kind), Counter[str]()
    for number in range(_EACH):
        suffix = draw.choice(["jsonl", "json", "parquet", "jsonl.gz"])
        rows = changed(ROWS[kind], draw) if number % 3 else ROWS[kind]
        try:
            data = written(rows, suffix)
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError, AttributeError):
            continue  # a table of Arrow does not hold such rows
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(spoilt(data, draw) if number % 2 else data)
        for read in (lambda path: read_pool(PoolSource(path)), read_answers, read_annotations):
            start = time.process_time()
            try:
                read(path)
                ends["read"] += 1
            except (PoolError, AnnotationError) as error:
                said = str(error)
                assert "\n" not in said, (number, said)
                assert path.name in said, (number, said)
                assert len(said) < 1200, (number, said)
                said.encode()
                ends["refused"] += 1
            assert time.process_time() - start < 2, number
    assert min(ends["read"], ends["refused"]) > 0, "the changes are all harmless, or all deadly"
