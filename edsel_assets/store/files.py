"""Parquet tables and arrays in files: whole or absent, and the same bytes for the same input."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import safetensors.numpy

from edsel_assets.store.atomic import atomic_path
from edsel_assets.store.errors import StoreError

_ROW_GROUP_BYTES = 64 << 20
_TEXT_BYTES = 1024  # assumed for a column of variable width, when row groups are sized


class DamagedFile(StoreError):
    """A file that is there and does not hold what was written."""


def write_table(path: str | os.PathLike[str], table: pa.Table) -> Path:
    """Write ``table`` as Parquet, atomically; the same table gives the same bytes.

    Neither the table's chunks nor the time reach the file: rows are re-grouped by a size that
    depends on the schema alone, compression is zstd, and every page carries a checksum.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        _write_parquet(temporary, table)
    return path


def _write_parquet(path: Path, table: pa.Table) -> None:
    rows = _row_group_rows(table.schema)
    # A dictionary does not pay for real numbers, and is tried first on every page.
    with_dictionary = [f.name for f in table.schema if not _holds_floats(f.type)]
    with pq.ParquetWriter(
        path,
        table.schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=with_dictionary,
        write_page_checksum=True,
    ) as writer:
        for start in range(0, table.num_rows, rows):
            group = table.slice(start, rows).combine_chunks()
            writer.write_table(group, row_group_size=rows)


def _row_group_rows(schema: pa.Schema) -> int:
    width = sum(_byte_width(field.type) for field in schema)
    return max(256, min(131_072, _ROW_GROUP_BYTES // max(1, width)))


def _byte_width(kind: pa.DataType) -> int:
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size * _byte_width(kind.value_type)
    return kind.byte_width if pa.types.is_primitive(kind) and kind.bit_width >= 8 else _TEXT_BYTES


def _holds_floats(kind: pa.DataType) -> bool:
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_floats(kind.value_type)
    return pa.types.is_floating(kind)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write ``text`` as UTF-8, atomically."""
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def read_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The Parquet file at ``path``, its checksums verified; ``columns`` in the order given.

    Raises:
        StoreError: when there is no such file, it is damaged (``DamagedFile``), or lacks a column.
    """
    path = Path(path)
    try:
        # Not through the data-set reader, which would take "key=value" folders for columns.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            absent = [c for c in columns or () if c not in file.schema_arrow.names]
            if absent:
                raise StoreError(
                    f"{path} has no column {', '.join(absent)}; it has {', '.join(file.schema_arrow.names)}."
                )
            # Group by group: decoding a list column at once would hold its levels for every row.
            wanted = None if columns is None else list(columns)
            groups = [file.read_row_group(i, wanted) for i in range(file.num_row_groups)]
            table = pa.concat_tables(groups) if groups else file.read(columns=wanted)
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}. Materialize what makes it.") from error
    except (StoreError, MemoryError):
        raise
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise StoreError(f"Cannot read {path}: {os.strerror(error.errno)}.") from error
        raise DamagedFile(_damaged(path, error)) from error
    return table if columns is None else table.select(list(columns))


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> Path:
    """Write named arrays (any shape; no objects) as safetensors, atomically."""
    path = Path(path)
    data = safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in arrays.items()})
    # safetensors' own save_file renames over its target, which would drop the lock.
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays that ``write_arrays`` wrote."""
    with _open_arrays(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)


@contextlib.contextmanager
def _open_arrays(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            yield file
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}. Materialize what makes it.") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise DamagedFile(_damaged(Path(path), error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{path} is damaged ({reason.rstrip('.')}). Delete it and run again: it is then computed afresh."


def embeddings_table(prompt_ids: Sequence[str] | pa.Array, matrix: np.ndarray) -> pa.Table:
    """``prompt_id`` and ``embedding``, a fixed-size list: one row per prompt, no copy.

    Args:
        prompt_ids: N ids.
        matrix: (N, d) float16 or float32, copied only if not C-contiguous.

    The column is cut into chunks that keep each below Arrow's 2^31 values.
    """
    if matrix.ndim != 2 or matrix.dtype not in (np.float16, np.float32):
        raise ValueError(
            f"embeddings must be (N, d) float16 or float32; got {matrix.shape} {matrix.dtype}. Convert first."
        )
    if len(prompt_ids) != len(matrix):
        raise ValueError(f"One id per embedding is needed; got {len(prompt_ids)} ids, {len(matrix)} rows.")
    rows, dimension = matrix.shape
    matrix = np.ascontiguousarray(matrix)
    step = max(1, (2**31 - 1) // max(1, dimension))
    kind = pa.list_(pa.from_numpy_dtype(matrix.dtype), dimension)
    chunks = [
        pa.FixedSizeListArray.from_arrays(pa.array(matrix[i : i + step].reshape(-1)), dimension)
        for i in range(0, rows, step)
    ]
    embedding = pa.chunked_array([c.cast(kind) for c in chunks], type=kind)
    ids = (
        prompt_ids
        if isinstance(prompt_ids, (pa.Array, pa.ChunkedArray))
        else pa.array(prompt_ids, pa.string())
    )
    return pa.table({"prompt_id": ids, "embedding": embedding})


def table_embeddings(table: pa.Table, column: str = "embedding") -> tuple[list[str], np.ndarray]:
    """The ids and the (N, d) array of an ``embeddings_table``.

    The array is a read-only view of a table of one chunk; otherwise one copy is made.
    """
    return table.column("prompt_id").to_pylist(), list_matrix(table.column(column))


def list_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """(N, d) of a column of fixed-size lists of numbers without nulls; a view if of one chunk."""
    kind = column.type
    if not pa.types.is_fixed_size_list(kind):
        raise ValueError(f"A column of fixed-size lists is needed; got {kind}.")
    parts = [_chunk_matrix(chunk) for chunk in column.chunks]
    if len(parts) == 1:
        return parts[0]
    matrix = np.empty((len(column), kind.list_size), dtype=kind.value_type.to_pandas_dtype())
    start = 0
    for part in parts:
        matrix[start : start + len(part)] = part
        start += len(part)
    return matrix


def _chunk_matrix(chunk: pa.FixedSizeListArray) -> np.ndarray:
    size = chunk.type.list_size
    if chunk.null_count:
        raise ValueError(f"An embedding must not be null; {chunk.null_count} are.")
    values = chunk.values.slice(chunk.offset * size, len(chunk) * size)
    return values.to_numpy(zero_copy_only=True).reshape(len(chunk), size)
