"""The pool: unique prompts from any source, in an order of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from edsel_assets.demo import DEMO
from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import Opened, open_source
from edsel_assets.pools.layouts import LAYOUTS, Layout, RowError, example, layout_of, normalise, recognise
from edsel_assets.pools.rows import Batch, batches
from edsel_assets.pools.source import PoolSource
from edsel_assets.pools.unique import limited, unique_rows

POOL_SCHEMA = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("response", pa.large_string()),
        pa.field("task", pa.large_string()),
        pa.field("source", pa.large_string()),
    ]
)
_SHOWN = 20


class Skipped(NamedTuple):
    """A row that is not in the pool, and why; ``row`` counts from 1."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True)
class PoolReport:
    """The pool and what became of each row read.

    ``rows_read = len(table) + duplicates + rows_skipped + beyond_limit``.

    Attributes:
        table: prompt_id, prompt, response (null where unknown), task, source; one row per prompt,
            ascending by prompt_id.
        rows_read: rows in all files.
        duplicates: rows whose prompt another row has too.
        conflicts: prompts that occur with more than one response.
        rows_skipped: rows without a prompt.
        skipped: the first 20 of these.
        beyond_limit: unique prompts that ``limit`` left out.
        files: the inputs read, each with its layout.
    """

    table: pa.Table
    rows_read: int
    duplicates: int
    conflicts: int
    rows_skipped: int
    skipped: tuple[Skipped, ...]
    beyond_limit: int
    files: dict[str, str]


@dataclass
class _Rows:
    """Rows gathered so far: ids as raw bytes, the rest in Arrow, so that Python holds one batch."""

    ids: list[bytes] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    rows_read: int = 0
    rows_skipped: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, file: str, row: int, reason: str) -> None:
        self.rows_skipped += 1
        if len(self.skipped) < _SHOWN:
            self.skipped.append(Skipped(file, row, reason))


def read_pool(source: PoolSource, *, progress: Callable[[int, int], None] | None = None) -> PoolReport:
    """Read ``source`` into one table of unique prompts.

    Prompts are normalised (``layouts.normalise``) and named by the hash of that form. Of rows
    with the same prompt one is kept, whole: one with a response before one without, then the
    one whose response, task and source hash lowest. So neither the order of rows nor of
    files matters. ``progress`` is called with (files done, files).

    Time O(rows log rows), about 20 seconds for a million rows of 1 KB; memory about four times
    the text of the pool.

    Raises:
        PoolError: on input that cannot be read, naming file, row and remedy; on a pool without
            a single prompt.
    """
    inputs = open_source(source)
    rows, files = _Rows(), {}
    for done, opened in enumerate(inputs):
        files[opened.name] = _read_input(opened, source, rows)
        if progress:
            progress(done + 1, len(inputs))
    if not rows.ids:
        raise PoolError(_nothing_read(rows, list(files)))
    ids = np.frombuffer(b"".join(rows.ids), dtype=">u8").reshape(-1, 2).astype(np.uint64)
    table = pa.concat_tables(rows.tables)
    kept, conflicts = unique_rows(ids, table)
    within = limited(ids[kept], source.limit, source.seed)
    return PoolReport(
        table=_pool_table(ids, table, kept[within]),
        rows_read=rows.rows_read,
        duplicates=len(ids) - len(kept),
        conflicts=conflicts,
        rows_skipped=rows.rows_skipped,
        skipped=tuple(rows.skipped),
        beyond_limit=len(kept) - len(within),
        files=files,
    )


def _nothing_read(rows: _Rows, names: list[str]) -> str:
    where = names[0] if len(names) == 1 else f"{len(names)} files ({names[0]}, ...)"
    if rows.rows_read == 0:
        return f"{where}: no rows. Name a file that has some."
    return (
        f"{where}: none of the {rows.rows_read} rows has a prompt (row {rows.skipped[0].row}: "
        f"{rows.skipped[0].reason}). Map the right column with columns: {{prompt: NAME}}."
    )


def _read_input(opened: Opened, source: PoolSource, rows: _Rows) -> str:
    """Add the rows of one input; return the name of its layout."""
    layout: Layout | None = None
    seen: set[str] = set()
    for batch in batches(opened, source, partial(_wanted, source)):
        seen.update(batch.names)
        layout = _layout(opened, batch, source, seen, layout)
        rows.rows_read += len(batch.numbers)
        _add_batch(opened, batch, layout, source, rows)
    if layout is None:
        return "empty"
    absent = [f"{ours}: {theirs}" for ours, theirs in source.columns.items() if theirs not in seen]
    if absent:
        raise PoolError(
            f"{opened.name} has no column {absent[0].partition(': ')[2]} (columns maps {absent[0]}); "
            f"it has {', '.join(sorted(seen))}."
        )
    return layout.name


def _wanted(source: PoolSource, names: Sequence[str]) -> list[str]:
    layout = layout_of(names, source.columns)
    wanted = [*(layout.columns if layout else ()), source.columns.get("task", "task")]
    wanted.append(source.columns.get("source", "source"))
    return [name for name in dict.fromkeys(wanted) if name in names]


def _layout(
    opened: Opened, batch: Batch, source: PoolSource, seen: set[str], before: Layout | None
) -> Layout:
    """The layout by all columns ``seen`` so far: a response may come only in later JSON lines."""
    layout = layout_of(seen, source.columns)
    if before is not None and (layout is None or layout.prompt != before.prompt):
        return before
    if layout is None:
        known = "; ".join(dict.fromkeys(" + ".join(each.columns) for each in LAYOUTS))
        raise PoolError(
            f"{opened.name} has the columns {', '.join(batch.names) or '(none)'}, of which no layout is "
            f"known ({known}). Say which column is the prompt with columns: {{prompt: NAME}}."
        )
    if layout.prompt not in batch.names and not isinstance(batch.numbers, list):
        raise PoolError(
            f"{opened.name} has no column {layout.prompt} (columns maps prompt: {layout.prompt}); it has "
            f"{', '.join(batch.names)}."
        )
    return layout


def _add_batch(opened: Opened, batch: Batch, layout: Layout, source: PoolSource, rows: _Rows) -> None:
    prompts = _column(batch, layout.prompt)
    texts, answers = _examples(opened, batch, layout)
    kept = range(len(texts)) if all(texts) else [i for i, text in enumerate(texts) if text]
    for i in sorted(set(range(len(texts))).difference(kept)):
        if prompts[i] is None and "prompt" not in source.columns:
            _refuse_mixture(opened, batch, i, layout)
        rows.skip(opened.name, batch.numbers[i], "no prompt" if prompts[i] is None else "the prompt is empty")
    tasks = _column(batch, source.columns.get("task", "task"))
    origins = _column(batch, source.columns.get("source", "source"))
    default = opened.name if opened.name == DEMO else PurePosixPath(opened.name).name
    columns: dict[str, list[Any]] = {
        "prompt": [texts[i] for i in kept],
        "response": [answers[i] for i in kept],
        "task": [_label(tasks[i]) for i in kept],
        "source": [_label(origins[i]) or default for i in kept],
    }
    try:
        rows.ids.extend(hashlib.blake2b(t.encode(), digest_size=16).digest() for t in columns["prompt"])
        rows.tables.append(pa.table({name: pa.array(v, pa.large_string()) for name, v in columns.items()}))
    except UnicodeEncodeError as error:
        whole = (i for i, row in enumerate(zip(*columns.values(), strict=True)) if not _is_unicode(row))
        number = batch.numbers[kept[next(whole)]]
        code = f"\\u{ord(error.object[error.start]):04x}"
        reason = f"it holds half a surrogate pair ({code}), which is not valid Unicode"
        raise PoolError(_bad_row(opened, number, layout, reason)) from error


def _column(batch: Batch, name: str | None) -> list[Any]:
    return batch.columns.get(name or "") or [None] * len(batch.numbers)


def _examples(opened: Opened, batch: Batch, layout: Layout) -> tuple[list[str], list[str | None]]:
    """Prompt ("" where there is none) and response of each row."""
    names = (layout.prompt, layout.context, layout.response)
    prompts, contexts, responses = (_column(batch, name) for name in names)
    plain = {str, type(None)}.issuperset([*map(type, prompts), *map(type, responses)])
    if layout.context is None and plain:  # what ``example`` does, column by column: half the time
        texts = [normalise(prompt) if prompt else "" for prompt in prompts]
        return texts, [(normalise(response) or None) if response else None for response in responses]
    pairs = []
    for number, *row in zip(batch.numbers, prompts, contexts, responses, strict=True):
        try:
            pairs.append(example(*row))
        except RowError as error:
            raise PoolError(_bad_row(opened, number, layout, str(error))) from error
    return [text for text, _ in pairs], [answer for _, answer in pairs]


def _label(value: Any) -> str | None:
    """A task or source as text: numbers are labels there."""
    return value if value is None or isinstance(value, str) else str(value)


def _is_unicode(texts: Iterable[str | None]) -> bool:
    try:
        "".join(text or "" for text in texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad_row(opened: Opened, number: int, layout: Layout, reason: str) -> str:
    return (
        f"{opened.name}, row {number}: {reason}. Repair the row, or map another column with columns "
        f"(prompt: {layout.prompt}, response: {layout.response or 'none'} now)."
    )


def _refuse_mixture(opened: Opened, batch: Batch, i: int, layout: Layout) -> None:
    """A row without this layout's prompt that has another layout's is no empty row."""
    present = [name for name, values in batch.columns.items() if values[i] is not None]
    other = recognise(present)
    if other is not None and other.prompt != layout.prompt:
        raise PoolError(
            f"{opened.name}, row {batch.numbers[i]}: this row has the layout {other.name} ({other.prompt}), "
            f"others {layout.name} ({layout.prompt}). Put rows of each layout into a file of their own."
        )


def _pool_table(ids: np.ndarray, table: pa.Table, rows: np.ndarray) -> pa.Table:
    hexadecimal = ids[rows].astype(">u8").tobytes().hex()
    names = [hexadecimal[i : i + 32] for i in range(0, len(hexadecimal), 32)]
    columns = table.take(pa.array(rows)).columns
    return pa.Table.from_arrays([pa.array(names, pa.string()), *columns], schema=POOL_SCHEMA)
