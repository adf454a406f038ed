"""Rows of text formats: JSON lines, JSON, CSV."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import itertools
import json
from collections.abc import Iterator
from typing import IO, Any

from edsel_assets.pools.files import first_line, suffix
from edsel_assets.pools.layouts import recognise
from edsel_assets.pools.source import BATCH, Batch, PoolError, record_batch, record_batches
from edsel_assets.pools.text import shown

#: Bytes of a line: a row is no longer in JSON lines, and no line of a CSV.
LONGEST = 64 << 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def decoded(data: bytes, name: str, row: int, where: str) -> str:
    """``data`` as text; a PoolError that names the row where it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PoolError(
            f"{name}, row {row}: {where} is not valid UTF-8 (byte 0x{data[error.start]:02x} at "
            f"{error.start}). Convert the file to UTF-8."
        ) from error


def _lines(file: IO[bytes], name: str, longest: int = LONGEST) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from UTF-8 or, where a mark says so, UTF-16."""
    first = file.readline(longest + 1)
    if first.startswith(_UTF_16):
        file = _as_utf_8(first + file.read(), name)
        first = file.readline(longest + 1)
    rest = iter(functools.partial(file.readline, longest + 1), b"")
    for number, line in enumerate(itertools.chain([first] if first else [], rest), start=1):
        if len(line) > longest:
            raise PoolError(
                f"{name}, row {number}: the line is longer than {longest >> 20} MiB. Check the file."
            )
        if b"\x00" in line:
            raise PoolError(
                f"{name}, row {number}: it holds a zero byte, so it is damaged, UTF-16 without a mark, or no "
                "text. Copy it again, or save it as UTF-8."
            )
        text = decoded(line, name, number, "the line")
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _as_utf_8(data: bytes, name: str) -> IO[bytes]:
    try:
        return io.BytesIO(data.decode("utf-16").encode("utf-8"))
    except UnicodeDecodeError as error:
        raise PoolError(f"{name} is not valid UTF-16 ({error.reason}). Save it as UTF-8.") from error


def jsonl_batches(file: IO[bytes], name: str) -> Iterator[Batch]:
    """One object a line; empty lines are left out."""
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in _lines(file, name):
        if not line.strip():
            continue
        records.append(_record(line, name, number))
        numbers.append(number)
        if len(records) == BATCH:
            yield record_batch(records, numbers)
            records, numbers = [], []
    if records:
        yield record_batch(records, numbers)


def _record(line: str, name: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=_object)
    except _DuplicateKey as error:
        raise PoolError(f"{name}, row {number}: the key {error} is there twice. Keep one of them.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise PoolError(
            f"{name}, row {number}: not valid JSON ({first_line(error)}). Each line must be one whole "
            "object; repair or remove it."
        ) from error
    return _checked_record(record, name, number)


def _checked_record(record: Any, name: str, number: int) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise PoolError(
            f"{name}, row {number}: a JSON object is needed, but it is {type(record).__name__}. Write rows "
            'as {"prompt": ..., "response": ...}.'
        )
    return record


def json_batches(file: IO[bytes], name: str) -> Iterator[Batch]:
    """A list of objects, one object around such a list, or JSON lines under another suffix."""
    data = file.read()
    text = "".join(line for _, line in _lines(io.BytesIO(data), name, len(data)))
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except _DuplicateKey as error:
        row = _row_of_duplicate(text)
        where = f"{name}, row {row}" if row else name
        raise PoolError(f"{where}: the key {error} is there twice. Keep one of them.") from error
    except RecursionError as error:
        raise PoolError(f"{name}: not valid JSON (nested too deeply). Repair it.") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            yield from jsonl_batches(io.BytesIO(data), name)
            return
        raise PoolError(
            f"{name}: not valid JSON ({error.msg} at line {error.lineno}). Repair it, or copy it again."
        ) from error
    rows = _rows_of(content)
    if rows is None:
        keys = f" with the keys {', '.join(shown(key, 30) for key in content)[:120]}" if content else ""
        kind = type(content).__name__ + (keys if isinstance(content, dict) else "")
        raise PoolError(
            f"{name}: a list of objects is needed, but it is {kind}. Write rows as "
            '[{"prompt": ..., "response": ...}].'
        )
    records = [_checked_record(record, name, i) for i, record in enumerate(rows, start=1)]
    yield from record_batches(records)


def _rows_of(content: Any) -> list[Any] | None:
    """The rows of a JSON document; None where it has none.

    They are a list; the one list in an object; columns, as lists or by the names of rows (pandas); rows by
    name; or one row.
    """
    if not isinstance(content, dict):
        return content if isinstance(content, list) else None
    values = list(content.values())
    layout = recognise(content)
    lists = [value for value in values if isinstance(value, list)]
    if layout and len(lists) == len(values) and len({len(each) for each in lists}) == 1:
        chats = [content[layout.prompt], *([content[layout.response]] if layout.response else [])]
        if not any(isinstance(each, dict) for chat in chats for each in chat):
            return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    if values and all(isinstance(value, dict) for value in values):
        if layout is None:
            return values
        names = dict.fromkeys(name for value in values for name in value)
        return [{column: value.get(name) for column, value in content.items()} for name in names]
    if layout is None and {"columns", "data"} <= content.keys() and len(lists) in (2, 3):
        rows = content["data"]
        if all(isinstance(row, list) and len(row) == len(content["columns"]) for row in rows):
            return [dict(zip(map(str, content["columns"]), row, strict=True)) for row in rows]
    if layout is None and len(lists) == 1:
        return lists[0]
    return [content] if layout or not lists else None


class _DuplicateKey(Exception):
    """A key that an object has more than once; its text is the key."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKey(repr(next(name for name in names if names.count(name) > 1))[:80])
    return record


def _row_of_duplicate(text: str) -> int | None:
    """The row of a list whose object has a key twice; None where the text is no list."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    row, position = 0, text.find("[") + 1 if text.lstrip().startswith("[") else len(text)
    while position < len(text):
        row, position = row + 1, position + len(text[position:]) - len(text[position:].lstrip(", \t\r\n"))
        try:
            _, position = decoder.raw_decode(text, position)
        except _DuplicateKey:
            return row
    return None


def csv_batches(file: IO[bytes], name: str) -> Iterator[Batch]:
    """Rows under a header. Fields are parted by tabs in .tsv; else by the first of comma, semicolon and tab
    that the header has (as spreadsheets write CSV in many countries).
    """
    with _long_fields():
        lines = (line for _, line in _lines(file, name))
        top = next(lines, "")
        delimiter = "\t" if suffix(name) == ".tsv" else next((sign for sign in ",;\t" if sign in top), ",")
        reader = csv.reader(itertools.chain([top], lines), delimiter=delimiter, strict=True)
        rows: list[list[str | None]] = []
        header: list[str] = []
        first = 1
        try:
            for row in reader:
                if not row:
                    continue
                if not header:
                    header = _checked_header(row, name)
                    continue
                if len(row) != len(header):
                    raise PoolError(
                        f"{name}, row {first + len(rows)} (line {reader.line_num}): the header has "
                        f"{len(header)} fields, this row {len(row)}. Quote fields that hold a "
                        f"{delimiter!r} or a line end."
                    )
                rows.append([value or None for value in row])
                if len(rows) == BATCH:
                    yield _csv_batch(header, rows, first)
                    first, rows = first + len(rows), []
        except csv.Error as error:
            reason = str(error).replace("\t", "\\t")
            raise PoolError(
                f"{name}, row {first + len(rows)} (line {reader.line_num}): {reason}. Repair the quotes "
                "there, or copy the file again."
            ) from error
        if rows or header:
            yield _csv_batch(header, rows, first)


def _checked_header(header: list[str], name: str) -> list[str]:
    repeated = next((each for each in header if header.count(each) > 1), None)
    if repeated is not None:
        raise PoolError(f"{name}, row 1: the header has {repeated!r} more than once. Rename a column.")
    return header


def _csv_batch(header: list[str], rows: list[list[str | None]], first: int) -> Batch:
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    return Batch(header, columns, range(first, first + len(rows)))


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """A prompt may be longer than the csv module's limit of 131,072 characters."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
