"""What was read: the pool, and what became of each row."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from edsel_assets.pools.source import NUMBERS
from edsel_assets.pools.text import shown

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


class Skipped(NamedTuple):
    """A row that is not read, or not all of it, and why; ``row`` counts from 1."""

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
        responses_unread: rows of the pool whose response is not read, as it is no text (a picture, a list).
        faults: the first 20 of these.
        more_turns: rows of which only the first question and its reply are read.
        beyond_limit: unique prompts that ``limit`` left out.
        files: the inputs read, each with its layout.
        counts: the same inputs, each with its counts of rows.
        unread: text columns that nothing was read from, each with the share of all rows, in (0, 1],
            that have text there; the largest first. Map a column to read it.
        positions: (len(table),) int64, the row of each prompt among the ``rows_read``, counted from 0 over
            the files in order of their names.
    """

    table: pa.Table
    rows_read: int
    duplicates: int
    conflicts: int
    rows_skipped: int
    skipped: tuple[Skipped, ...]
    responses_unread: int
    faults: tuple[Skipped, ...]
    more_turns: int
    beyond_limit: int
    files: dict[str, str]
    counts: dict[str, FileCount]
    unread: dict[str, float]
    positions: np.ndarray

    @property
    def remarks(self) -> list[str]:
        """What of the input is not in the pool, for people; nothing where all of it is."""
        said = []
        if self.rows_skipped:
            said.append(
                f"Rows left out: {self.rows_skipped} of {self.rows_read}, such as {_first(self.skipped)}."
            )
        if self.responses_unread:
            said.append(f"Responses not read: {self.responses_unread}, such as {_first(self.faults)}.")
        if self.more_turns:
            said.append(f"Chats of which only the first question and its reply are read: {self.more_turns}.")
        if self.conflicts:
            said.append(f"Prompts with several responses, of which one is kept: {self.conflicts}.")
        if self.unread:
            shares = (f"{shown(name, 40)} ({share:.0%} of the rows)" for name, share in self.unread.items())
            said.append(
                f"Columns of text that nothing is read from (pool.columns maps columns): {', '.join(shares)}."
            )
        return said


def _first(rows: tuple[Skipped, ...]) -> str:
    return f"{rows[0].file}, row {rows[0].row}: {rows[0].reason}"
