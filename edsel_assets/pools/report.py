"""What was read: the pool, and what became of each row."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from edsel_assets.pools.source import NUMBERS

POOL_SCHEMA = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("response", pa.large_string()),
        pa.field("task", pa.large_string()),
        pa.field("source", pa.large_string()),
    ]
)


def schema_with(columns: Collection[str]) -> pa.Schema:
    """``POOL_SCHEMA`` with those of ``NUMBERS`` that are among ``columns``."""
    schema = POOL_SCHEMA
    for name in NUMBERS:
        if name in columns:
            schema = schema.append(pa.field(name, pa.float64()))
    return schema


#: With a price, as mapped.
PRICED_SCHEMA = schema_with(["price"])


class Skipped(NamedTuple):
    """A row that is not in the pool, and why; ``row`` counts from 1."""

    file: str
    row: int
    reason: str


class FileCount(NamedTuple):
    """Rows of one input: ``read`` is the sum of the others."""

    read: int
    kept: int
    duplicates: int
    without_prompt: int
    beyond_limit: int


@dataclass(frozen=True)
class PoolReport:
    """The pool and what became of each row read.

    ``rows_read = len(table) + duplicates + rows_skipped + beyond_limit``.

    Attributes:
        table: prompt_id, prompt, response (null where unknown), task, source, and those of ``NUMBERS`` that
            are mapped; one row per prompt, ascending by prompt_id.
        rows_read: rows in all files; each instance of a self-instruct row is one.
        duplicates: rows whose prompt another row has too.
        conflicts: prompts that occur with more than one response.
        rows_skipped: rows without a prompt, or with one that cannot be asked on its own.
        skipped: the first 20 of these.
        beyond_limit: unique prompts that ``limit`` left out.
        files: the inputs read, each with its layout.
        counts: the same inputs, each with its counts of rows.
        unread: text columns that nothing was read from, each with the share of all rows, in (0, 1],
            that have text there; the largest first. Map a column to read it.
    """

    table: pa.Table
    rows_read: int
    duplicates: int
    conflicts: int
    rows_skipped: int
    skipped: tuple[Skipped, ...]
    beyond_limit: int
    files: dict[str, str]
    counts: dict[str, FileCount]
    unread: dict[str, float]
