"""Reading the rows of one input, in batches of columns.

It lies on disk, in an object store or at an HTTP address, packed or not.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edsel_assets.demo import DEMO
from edsel_assets.pools.data_sets import load_data_set
from edsel_assets.pools.files import Opened, first_line, is_http, without_query
from edsel_assets.pools.packed import packing, refuse_stand_in, unpacked
from edsel_assets.pools.source import BATCH, ROW_NAMES, Batch, PoolError, PoolSource, Wanted
from edsel_assets.pools.text_rows import csv_batches, decoded, json_batches, jsonl_batches

_TEXT_FORMATS = {"jsonl": jsonl_batches, "json": json_batches, "csv": csv_batches}


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
            with _opened_bytes(opened) as file:
                yield from _parquet_batches(file, opened.name, wanted)
        elif opened.format == "arrow":
            with _opened_bytes(opened) as file:
                yield from _arrow_batches(file, opened.name, wanted)
        else:
            with _opened_text(opened) as file:
                yield from _TEXT_FORMATS[opened.format](file, opened.name)
    except EOFError as error:
        raise PoolError(f"{opened.name} breaks off: {first_line(error)}. Copy or export it again.") from error
    except OSError as error:
        raise PoolError(f"Cannot read {opened.name}: {first_line(error)}. Check the file.") from error


def _demo_batches(wanted: Wanted) -> Iterator[Batch]:
    from edsel_assets.demo import demo_pool

    yield _arrow_batch(pa.Table.from_pylist(demo_pool()), 1, DEMO, wanted)


def _parquet_batches(file: IO[bytes], name: str, wanted: Wanted) -> Iterator[Batch]:
    try:
        parquet = pq.ParquetFile(file)
        schema, first = parquet.schema_arrow, 1
        _check_names(schema.names, name)
        read = list(dict.fromkeys([*wanted(schema.names), *_text_columns(schema)]))
        for batch in parquet.iter_batches(BATCH, columns=read):
            yield _arrow_batch(pa.Table.from_batches([batch]), first, name, wanted, schema.names)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise PoolError(
            f"{name} is not a whole Parquet file ({first_line(error)}). Copy or export it again."
        ) from error


def _arrow_batches(file: IO[bytes], name: str, wanted: Wanted) -> Iterator[Batch]:
    """Rows of Arrow's IPC format: a file (Feather) or a stream."""
    try:
        try:
            reader = pa.ipc.open_file(file)
            parts = (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            file.seek(0)
            reader = parts = pa.ipc.open_stream(file)
        _check_names(reader.schema.names, name)
        first = 1
        for part in parts:
            part.validate(full=True)  # a damaged file may point anywhere
            table = pa.Table.from_batches([part])
            for start in range(0, table.num_rows, BATCH):
                yield _arrow_batch(table.slice(start, BATCH), first + start, name, wanted)
            first += table.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, PoolError):
            raise
        raise PoolError(
            f"{name} is not a whole Arrow file ({first_line(error)}). Copy or export it again."
        ) from error


def _data_set_batches(opened: Opened, source: PoolSource, wanted: Wanted) -> Iterator[Batch]:
    first = 1
    for table in load_data_set(opened, source).with_format("arrow").iter(BATCH):
        yield _arrow_batch(table, first, opened.name, wanted)
        first += table.num_rows


def _check_names(names: list[str], name: str) -> None:
    repeated = next((each for each in names if names.count(each) > 1), None)
    if repeated is not None:
        raise PoolError(f"{name} has the column {repeated} more than once. Rename or remove one of them.")


def _arrow_batch(
    table: pa.Table, first: int, name: str, wanted: Wanted, names: list[str] | None = None
) -> Batch:
    names = names or table.column_names
    columns = {column: _values(table[column], first, name, column) for column in wanted(names)}
    texts = {column: _texts(table[column]) for column in _text_columns(table.schema) if column not in columns}
    return Batch(names, columns, range(first, first + table.num_rows), texts)


def _text_columns(schema: pa.Schema) -> list[str]:
    texts = (f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type))
    return [name for name in texts if name not in ROW_NAMES]


def _texts(column: pa.ChunkedArray) -> int:
    """How many values are text that is not blank."""
    lengths = pc.binary_length(pc.ascii_trim_whitespace(column))
    return int(pc.sum(pc.greater(lengths, 0)).as_py() or 0)


def _values(column: pa.ChunkedArray | pa.Array, first: int, name: str, label: str) -> list[Any]:
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise PoolError(f"{name}, column {label}: not valid UTF-8. Export it as UTF-8.") from error
        for i, value in enumerate(column.cast(pa.large_binary())):
            decoded(value.as_py() or b"", name, first + i, label)
        raise


@contextlib.contextmanager
def _opened_bytes(opened: Opened) -> Iterator[IO[bytes]]:
    """The bytes of a file as they lie there, readable from any position; of a member of an archive, unpacked.

    Raises:
        PoolError: the file stands in for another, or the archive is damaged.
    """
    with _raw(opened) as file:
        if not opened.member:
            refuse_stand_in(file, opened.name)
            yield file
        else:
            yield io.BytesIO(unpacked(file, "zip", opened.name, opened.member).read())


@contextlib.contextmanager
def _opened_text(opened: Opened) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked by its suffix, or where it begins as a packed one.

    Raises:
        PoolError: the file stands in for another; it is packed, and damaged or too large (``packed``).
    """
    inner = opened.member or without_query(opened.path)
    suffix = inner.rpartition(".")[2].lower()
    with _opened_bytes(opened) as file:
        kind = packing(file, suffix)
        if kind is None:
            yield file
            return
        with unpacked(file, kind, opened.name) as text:
            yield text


def _raw(opened: Opened) -> Any:
    if is_http(opened.path):
        return contextlib.nullcontext(io.BytesIO(_downloaded(opened)))
    return opened.fs.open(opened.path, "rb")


def _downloaded(opened: Opened) -> bytes:
    """The whole file: not every server gives a part of one."""
    try:
        return bytes(opened.fs.cat_file(opened.path))
    except Exception as error:  # the HTTP library raises many kinds of its own
        raise PoolError(
            f"Cannot read {opened.name}: {first_line(error)}. Check the address and the connection."
        ) from error
