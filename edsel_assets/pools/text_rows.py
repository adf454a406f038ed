"""Rows of text formats: JSON lines, JSON, CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from edsel_assets.pools.batch import BATCH, Batch, record_batch, record_batches
from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import first_line, suffix

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


def _lines(file: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file, start=1):
        if number == 1 and (line.startswith(_UTF_16) or b"\x00" in line[:64]):
            raise PoolError(f"{name}, row 1: it is UTF-16 text, or no text. Save the file as UTF-8.")
        text = decoded(line, name, number, "the line")
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def jsonl_batches(file: Iterable[bytes], name: str) -> Iterator[Batch]:
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
    text = "".join(line for _, line in _lines(io.BytesIO(data), name))
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
    lists = [v for v in content.values() if isinstance(v, list)] if isinstance(content, dict) else [content]
    if len(lists) != 1 or not isinstance(lists[0], list):
        if not isinstance(content, dict) or lists:
            raise PoolError(
                f"{name}: a list of objects is needed, but it is {type(content).__name__}. Write rows as "
                '[{"prompt": ..., "response": ...}].'
            )
        lists = [[content]]
    records = [_checked_record(record, name, i) for i, record in enumerate(lists[0], start=1)]
    yield from record_batches(records)


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


def csv_batches(file: Iterable[bytes], name: str) -> Iterator[Batch]:
    """Rows under a header. Fields are parted by tabs in .tsv; else by commas, or by semicolons where
    the header has those and no comma (as spreadsheets write CSV in many countries).
    """
    with _long_fields():
        lines = (line for _, line in _lines(file, name))
        top = next(lines, "")
        delimiter = "\t" if suffix(name) == ".tsv" else ";" if ";" in top and "," not in top else ","
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
            raise PoolError(
                f"{name}, row {first + len(rows)} (line {reader.line_num}): {error}. Repair the quotes "
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
