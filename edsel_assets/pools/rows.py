"""Reading the rows of one input, in batches of columns."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from edsel_assets.demo import DEMO
from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import Opened, first_line, suffix
from edsel_assets.pools.source import PoolSource

_BATCH = 8192

#: Of a file's columns, those to read: others may be large (embeddings) and are left on the disk.
Wanted = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class Batch:
    """Rows as columns: ``names`` of all, ``columns`` read, and the ``numbers`` of the rows.

    A row's number counts from 1: the line in JSON lines, the record in other formats.
    """

    names: Sequence[str]
    columns: Mapping[str, list[Any]]
    numbers: range | list[int]


def batches(opened: Opened, source: PoolSource, wanted: Wanted) -> Iterator[Batch]:
    """The rows of one input, in order.

    Raises:
        PoolError: naming the row where the input breaks off or is malformed.
    """
    try:
        if opened.format == "demo":
            yield from _demo_batches(wanted)
        elif opened.format == "hf":
            yield from _data_set_batches(opened, source, wanted)
        elif opened.format == "parquet":
            with opened.fs.open(opened.path, "rb") as file:
                yield from _parquet_batches(file, opened.name, wanted)
        else:
            read = {"jsonl": _jsonl_batches, "json": _json_batches, "csv": _csv_batches}[opened.format]
            with opened.fs.open(opened.path, "rb", compression="infer") as file:
                yield from read(file, opened.name)
    except EOFError as error:
        raise PoolError(f"{opened.name} breaks off: {first_line(error)}. Copy or export it again.") from error
    except OSError as error:
        raise PoolError(f"Cannot read {opened.name}: {first_line(error)}. Check the file.") from error


def _demo_batches(wanted: Wanted) -> Iterator[Batch]:
    from edsel_assets.demo.pool import demo_pool

    yield _arrow_batch(pa.Table.from_pandas(demo_pool(), preserve_index=False), 1, DEMO, wanted)


def _parquet_batches(file: IO[bytes], name: str, wanted: Wanted) -> Iterator[Batch]:
    try:
        parquet = pq.ParquetFile(file)
        names, first = parquet.schema_arrow.names, 1
        read = list(wanted(names))
        for batch in parquet.iter_batches(_BATCH, columns=read):
            numbers = range(first, first + batch.num_rows)
            yield Batch(names, {c: _values(batch.column(c), first, name, c) for c in read}, numbers)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise PoolError(
            f"{name} is not a whole Parquet file ({first_line(error)}). Copy or export it again."
        ) from error


def _arrow_batch(table: pa.Table, first: int, name: str, wanted: Wanted) -> Batch:
    columns = {column: _values(table[column], first, name, column) for column in wanted(table.column_names)}
    return Batch(table.column_names, columns, range(first, first + table.num_rows))


def _values(column: pa.ChunkedArray | pa.Array, first: int, name: str, label: str) -> list[Any]:
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise PoolError(f"{name}, column {label}: not valid UTF-8. Export it as UTF-8.") from error
        for i, value in enumerate(column.cast(pa.large_binary())):
            _decoded(value.as_py() or b"", name, first + i, label)
        raise


def _decoded(data: bytes, name: str, row: int, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PoolError(
            f"{name}, row {row}: {where} is not valid UTF-8 (byte 0x{data[error.start]:02x} at "
            f"{error.start}). Convert the file to UTF-8."
        ) from error


def _lines(file: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file, start=1):
        text = _decoded(line, name, number, "the line")
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _jsonl_batches(file: Iterable[bytes], name: str) -> Iterator[Batch]:
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in _lines(file, name):
        if not line.strip():
            continue
        records.append(_record(line, name, number))
        numbers.append(number)
        if len(records) == _BATCH:
            yield _record_batch(records, numbers)
            records, numbers = [], []
    if records:
        yield _record_batch(records, numbers)


def _record(line: str, name: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PoolError(
            f"{name}, row {number}: not valid JSON ({first_line(error)}). Each line must be one whole "
            "object; repair or remove it."
        ) from error
    return _checked_record(record, name, number)


def _checked_record(record: Any, name: str, number: int) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise PoolError(f"{name}, row {number}: a JSON object is needed, but it is {type(record).__name__}.")
    return record


def _record_batch(records: list[dict[str, Any]], numbers: range | list[int]) -> Batch:
    names = dict.fromkeys(key for record in records for key in record)
    return Batch(list(names), {key: [record.get(key) for record in records] for key in names}, numbers)


def _json_batches(file: IO[bytes], name: str) -> Iterator[Batch]:
    """A list of objects, one object around such a list, or JSON lines under another suffix."""
    data = file.read()
    text = "".join(line for _, line in _lines(io.BytesIO(data), name))
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise PoolError(f"{name}: not valid JSON (nested too deeply).") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            yield from _jsonl_batches(io.BytesIO(data), name)
            return
        raise PoolError(
            f"{name}: not valid JSON ({error.msg} at line {error.lineno}). Repair it, or copy it again."
        ) from error
    lists = [v for v in content.values() if isinstance(v, list)] if isinstance(content, dict) else [content]
    if len(lists) != 1 or not isinstance(lists[0], list):
        if not isinstance(content, dict) or lists:
            raise PoolError(f"{name}: a list of objects is needed, but it is {type(content).__name__}.")
        lists = [[content]]
    records = [_checked_record(record, name, i) for i, record in enumerate(lists[0], start=1)]
    for start in range(0, len(records), _BATCH):
        part = records[start : start + _BATCH]
        yield _record_batch(part, range(start + 1, start + 1 + len(part)))


def _csv_batches(file: Iterable[bytes], name: str) -> Iterator[Batch]:
    delimiter = "\t" if suffix(name) == ".tsv" else ","
    with _long_fields():
        reader = csv.reader((line for _, line in _lines(file, name)), delimiter=delimiter, strict=True)
        rows: list[list[str | None]] = []
        header: list[str] = []
        first = 1
        try:
            for row in reader:
                if not row:
                    continue
                if not header:
                    header = row
                    continue
                if len(row) != len(header):
                    raise PoolError(
                        f"{name}, row {first + len(rows)} (line {reader.line_num}): the header has "
                        f"{len(header)} fields, this row {len(row)}. Quote fields that hold a "
                        f"{delimiter!r} or a line end."
                    )
                rows.append([value or None for value in row])
                if len(rows) == _BATCH:
                    yield _csv_batch(header, rows, first)
                    first, rows = first + len(rows), []
        except csv.Error as error:
            raise PoolError(
                f"{name}, row {first + len(rows)} (line {reader.line_num}): {error}. Repair the quotes "
                "there, or copy the file again."
            ) from error
        if rows or header:
            yield _csv_batch(header, rows, first)


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


def _data_set_batches(opened: Opened, source: PoolSource, wanted: Wanted) -> Iterator[Batch]:
    data = _load_data_set(opened, source)
    first = 1
    for table in data.with_format("arrow").iter(_BATCH):
        yield _arrow_batch(table, first, opened.name, wanted)
        first += table.num_rows


def _load_data_set(opened: Opened, source: PoolSource) -> Any:
    import datasets

    name, _, config = opened.path.partition(":") if opened.fs is None else (opened.path, "", "")
    try:
        if opened.fs is not None and not opened.fs.exists(f"{opened.path}/README.md"):
            data = datasets.load_from_disk(opened.path)
            if isinstance(data, datasets.DatasetDict):
                data = _split(data, opened.name, source.split)
            return data
        return datasets.load_dataset(name, config or None, split=source.split, revision=source.revision)
    except PoolError:
        raise
    except Exception as error:  # the library raises many kinds, its own and others'
        raise PoolError(
            f"Cannot load {opened.name} as a data set, split {source.split!r}: {first_line(error)}. Check "
            "the name (OWNER/NAME:CONFIG where it has several), the split and the connection; if a file is "
            "meant, it does not exist."
        ) from error


def _split(data: Any, name: str, split: str) -> Any:
    if split not in data:
        raise PoolError(
            f"{name} has no split {split!r}; it has {', '.join(data)}. Set split to one of these."
        )
    return data[split]
