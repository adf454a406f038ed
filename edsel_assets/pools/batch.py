"""A part of an input: its rows as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Rows of a batch, at most.
BATCH = 8192
#: Columns that name rows and say nothing: not reported as unread.
ROW_NAMES = frozenset({"id", "_id", "idx", "index", "uid", "uuid", "prompt_id", "row_id", "url"})

#: Of a file's columns, those to read: others may be large (embeddings) and are left on the disk.
Wanted = Callable[[Sequence[str]], Sequence[str]]


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
