"""What an artifact holds, as a short digest: of its content, and of the settings that made it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.store.atomic import is_temporary
from edsel_assets.store.errors import StoreError


def content_hash(content: Any) -> str:
    """Hex digest of what ``content`` holds: a Dagster DataVersion is made of it.

    Args:
        content: a table, an array, bytes, text, a path of a file or directory, or a mapping
            from names to any of these.

    A table's digest covers the names, types, order and values of its columns and the order
    of its rows, but not its chunks, its metadata, or whether text and lists have 32-bit or
    64-bit offsets; so it survives a round trip through a file. A directory's covers
    relative names and contents. O(bytes) time, without a copy of fixed-width columns.
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, content)
    return digest.hexdigest()


def table_hashes(table: pa.Table) -> tuple[str, dict[str, str]]:
    """``content_hash(table)``, and the hex digest of each column's values by name, in one pass."""
    digest = hashlib.blake2b(digest_size=16)
    columns = _feed_table(digest, table)
    return digest.hexdigest(), {name: value.hex() for name, value in columns.items()}


def _feed_table(digest: Any, table: pa.Table) -> dict[str, bytes]:
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        columns[name] = _column_digest(column.type, column.chunks)
        _frame(digest, b"column", name.encode(), columns[name])
    _frame(digest, b"rows", str(table.num_rows).encode())
    return columns


def _feed(digest: Any, content: Any) -> None:
    if isinstance(content, pa.Table):
        _feed_table(digest, content)
    elif isinstance(content, np.ndarray):
        if content.dtype.hasobject:
            raise ValueError("An array of objects has no content hash; convert it to text or numbers.")
        _frame(digest, b"array", content.dtype.str.encode(), str(content.shape).encode())
        digest.update(np.ascontiguousarray(content).reshape(-1).view(np.uint8))
    elif isinstance(content, (bytes, bytearray, memoryview)):
        _frame(digest, b"bytes", bytes(content))
    elif isinstance(content, str):
        _frame(digest, b"text", content.encode())
    elif isinstance(content, Mapping):
        for name in sorted(content):
            _frame(digest, b"entry", name.encode(), content_hash(content[name]).encode())
    elif isinstance(content, os.PathLike):
        _feed_path(digest, Path(content))
    else:
        raise TypeError(f"No content hash for {type(content).__name__}; pass a table, array, bytes or Path.")


def _feed_path(digest: Any, path: Path) -> None:
    if path.is_dir():
        files = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        for name in files:
            if not is_temporary(Path(name).name):
                _frame(digest, b"file", name.encode(), _file_digest(path / name))
    elif path.is_file():
        _frame(digest, b"content", _file_digest(path))
    else:
        raise StoreError(f"There is no file or directory {path}. Materialize what makes it.")


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _frame(digest: Any, *parts: bytes) -> None:
    """Feed ``parts`` with their lengths, so that no two sequences feed the same bytes."""
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)


def _column_digest(kind: pa.DataType, chunks: Sequence[pa.Array]) -> bytes:
    """Digest of the values of ``chunks`` one after another; masked values do not count."""
    if isinstance(kind, pa.DictionaryType):
        return _column_digest(kind.value_type, [c.dictionary_decode() for c in chunks])
    digest, valid = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    nulls = sum(chunk.null_count for chunk in chunks)
    for chunk in chunks if nulls else ():
        valid.update(memoryview(pc.is_valid(chunk).cast(pa.uint8()).to_numpy()))
    _frame(digest, str(nulls).encode(), valid.digest() if nulls else b"")
    present = [chunk.drop_null() if chunk.null_count else chunk for chunk in chunks]
    if pa.types.is_struct(kind):
        for i, field in enumerate(kind):
            _frame(digest, field.name.encode(), _column_digest(field.type, [c.field(i) for c in present]))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = hashlib.blake2b(digest_size=16)
        for chunk in present:
            lengths.update(memoryview(pc.list_value_length(chunk).cast(pa.int64()).to_numpy()))
        kept = [chunk.flatten() for chunk in present]
        _frame(digest, b"list", lengths.digest(), _column_digest(kind.value_type, kept))
    elif pa.types.is_null(kind):
        _frame(digest, b"null")
    else:
        _frame(digest, *_values_digest(kind, present))
    return digest.digest()


def _values_digest(kind: pa.DataType, chunks: Sequence[pa.Array]) -> tuple[bytes, bytes, bytes]:
    """Name, lengths and bytes of a column of text, bytes, numbers or times without nulls."""
    lengths, values = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(kind, kind)
    variable = wide in (pa.large_string(), pa.large_binary())
    for chunk in (c for c in chunks if len(c)):
        if variable:
            text = chunk.cast(wide)  # its offset is not the chunk's
            offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset :][: len(text) + 1]
            lengths.update(np.diff(offsets).tobytes())
            values.update(memoryview(text.buffers()[2] or b"")[offsets[0] : offsets[-1]])
        elif pa.types.is_boolean(kind):
            values.update(memoryview(chunk.cast(pa.uint8()).to_numpy()))
        elif hasattr(kind, "byte_width"):
            width = kind.byte_width
            values.update(memoryview(chunk.buffers()[1])[chunk.offset * width :][: len(chunk) * width])
        else:
            raise TypeError(f"No content hash for a column of {kind}; cast it first.")
    return str(wide).encode(), lengths.digest(), values.digest()
