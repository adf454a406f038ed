"""What to read, as the caller says it; what is read, as rows in columns; and the error of this package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FORMATS = ("auto", "parquet", "arrow", "jsonl", "json", "csv", "hf")
#: Numbers of at least 0 that are read only where they are mapped.
NUMBERS = ("price", "quality", "complexity")
COLUMNS = ("prompt", "response", "context", "task", "source", *NUMBERS)
#: Rows of a batch, at most.
BATCH = 8192
#: Columns that name rows and say nothing: not reported as unread.
ROW_NAMES = frozenset({"id", "_id", "idx", "index", "uid", "uuid", "prompt_id", "row_id", "url"})

#: Of a file's columns, those to read: others may be large (embeddings) and are left on the disk.
Wanted = Callable[[Sequence[str]], Sequence[str]]


class PoolError(ValueError):
    """Input that cannot be read as prompts: one line of the file, the row and the remedy."""


@dataclass(frozen=True)
class PoolSource:
    """Where the prompts are, and how to read them.

    Attributes:
        path: one of, or a list of: a file; a glob; a directory, of which every file of a known
            suffix is read; a URL that fsspec understands, with a glob or without (over
            HTTP one file, without); the name of a Hugging Face data set, ``OWNER/NAME`` or
            ``OWNER/NAME:CONFIG``; a directory that ``save_to_disk`` wrote or that has a data-set card;
            ``builtin:demo``. Text formats may be compressed (.gz, .bz2, .xz, .zst); of a
            .zip, every file of a known suffix is read.
        format: ``auto`` goes by the suffix; any other is taken for every file.
        columns: our column (one of ``COLUMNS``) to the file's. Once
            ``prompt`` is mapped, nothing is guessed: a response or a context is read only if
            mapped too. Without, the layout is recognised. ``task`` and ``source`` default to
            columns of these names; without a source column, ``source`` is the file's name.
            ``price`` (what an answer costs), ``quality`` and ``complexity`` are numbers of at least 0,
            read only if mapped.
        split: the split to read, of a data set.
        revision: the revision to read, of a data set of the hub.
        limit: keep this many unique prompts, those whose id hashes lowest with ``seed``. The
            choice depends on neither the order of rows nor the other prompts' number: a
            prompt kept at one limit is kept at every larger one.
        seed: of that choice.
    """

    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str = "train"
    revision: str | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise PoolError(f"format must be one of {', '.join(FORMATS)}; got {self.format!r}.")
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown:
            raise PoolError(f"columns maps {', '.join(COLUMNS)} to columns of the file; got {unknown[0]!r}.")
        if self.limit is not None and self.limit < 1:
            raise PoolError(f"limit must be at least 1; got {self.limit}. Leave it out to keep every prompt.")
        if not self.paths:
            raise PoolError("path is empty; name a file, a glob, a directory, a URL or a data set.")

    @property
    def paths(self) -> list[str]:
        """``path`` as a list of text."""
        one = isinstance(self.path, (str, os.PathLike))
        paths: list[str | os.PathLike[str]] = [self.path] if one else list(self.path)  # type: ignore[list-item, arg-type]
        return [os.fspath(path) for path in paths if os.fspath(path)]


@dataclass(frozen=True)
class Batch:
    """Rows as columns: ``names`` of all, ``columns`` read, and the ``numbers`` of the rows.

    A row's number counts from 1: the line in JSON lines, the record in other formats.
    ``texts`` says of columns that were not read how many of the rows have text in them.
    """

    names: Sequence[str]
    columns: Mapping[str, list[Any]]
    numbers: range | list[int]
    texts: Mapping[str, int] = field(default_factory=dict)


def record_batch(records: list[dict[str, Any]], numbers: range | list[int]) -> Batch:
    """Rows that are mappings as a batch; a row without a column has None there."""
    names = dict.fromkeys(key for record in records for key in record)
    return Batch(list(names), {key: [record.get(key) for record in records] for key in names}, numbers)


def record_batches(records: list[dict[str, Any]]) -> Iterator[Batch]:
    """``records``, numbered from 1, in batches."""
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        yield record_batch(part, range(start + 1, start + 1 + len(part)))
