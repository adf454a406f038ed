"""Rows gathered from all inputs, batch by batch, before duplicates are removed."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.demo import DEMO
from edsel_assets.pools.batch import ROW_NAMES, Batch
from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import Opened, without_query
from edsel_assets.pools.layouts import Layout, RowError, UnusableRow, example, normalise, recognise, unfolded
from edsel_assets.pools.report import FileCount, Skipped
from edsel_assets.pools.source import NUMBERS, PoolSource

_SHOWN = 20


@dataclass
class Gathered:
    """Rows gathered so far: ids as raw bytes, the rest in Arrow, so that Python holds one batch."""

    ids: list[bytes] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    rows_read: int = 0
    rows_skipped: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    per_file: dict[str, list[int]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)

    def skip(self, file: str, row: int, reason: str) -> None:
        self.rows_skipped += 1
        if len(self.skipped) < _SHOWN:
            self.skipped.append(Skipped(file, row, reason))


def add_batch(opened: Opened, batch: Batch, layout: Layout, source: PoolSource, rows: Gathered) -> None:
    """Add the rows of ``batch`` to ``rows``.

    Raises:
        PoolError: naming the row that is malformed.
    """
    try:
        batch, layout = unfolded(batch, layout)
    except RowError as error:
        raise PoolError(f"{opened.name}, {error}. Repair the row.") from error
    skipped = rows.rows_skipped
    rows.rows_read += len(batch.numbers)
    rows.unread.update(_unread(batch, layout, source))
    _add_rows(opened, batch, layout, source, rows)
    count = rows.per_file.setdefault(opened.name, [0, 0])
    count[0] += len(batch.numbers)
    count[1] += rows.rows_skipped - skipped


def file_counts(rows: Gathered, unique: np.ndarray, kept: np.ndarray) -> dict[str, FileCount]:
    """Counts by input, from the positions of unique rows and of those that the limit keeps."""
    usable = [read - skipped for read, skipped in rows.per_file.values()]
    ends = np.cumsum(usable)
    found = [
        np.bincount(np.searchsorted(ends, part, "right"), minlength=len(ends)) for part in (unique, kept)
    ]
    return {
        name: FileCount(read, int(inside), count - int(each), skipped, int(each) - int(inside))
        for (name, (read, skipped)), count, each, inside in zip(
            rows.per_file.items(), usable, *found, strict=True
        )
    }


def label_columns(source: PoolSource) -> list[str]:
    """The columns read beside prompt and response."""
    labels = [source.columns.get("task", "task"), source.columns.get("source", "source")]
    return [*labels, *(source.columns[name] for name in NUMBERS if name in source.columns)]


def _unread(batch: Batch, layout: Layout, source: PoolSource) -> dict[str, int]:
    """Rows with text in each column that nothing is read from."""
    used = {*layout.columns, *label_columns(source), *ROW_NAMES}
    counts = {name: count for name, count in batch.texts.items() if name not in used}
    for name, values in batch.columns.items():
        if name not in used:
            counts[name] = sum(
                isinstance(value, str) and not value.isspace() and value != "" for value in values
            )
    return counts


def _add_rows(opened: Opened, batch: Batch, layout: Layout, source: PoolSource, rows: Gathered) -> None:
    prompts = _column(batch, layout.prompt)
    texts, answers, unusable = _examples(opened, batch, layout)
    kept = range(len(texts)) if all(texts) else [i for i, text in enumerate(texts) if text]
    for i in sorted(set(range(len(texts))).difference(kept)):
        if prompts[i] is None and "prompt" not in source.columns:
            _refuse_mixture(opened, batch, i, layout)
        empty = "no prompt" if prompts[i] is None else "the prompt is empty"
        rows.skip(opened.name, batch.numbers[i], unusable.get(i, empty))
    tasks = _column(batch, source.columns.get("task", "task"))
    origins = _column(batch, source.columns.get("source", "source"))
    default = opened.name if opened.name == DEMO else PurePosixPath(without_query(opened.name)).name
    columns: dict[str, list[Any]] = {
        "prompt": [texts[i] for i in kept],
        "response": [answers[i] for i in kept],
        "task": [_label(tasks[i]) for i in kept],
        "source": [_label(origins[i]) or default for i in kept],
    }
    try:
        rows.ids.extend(hashlib.blake2b(t.encode(), digest_size=16).digest() for t in columns["prompt"])
        table = pa.table({name: pa.array(v, pa.large_string()) for name, v in columns.items()})
    except UnicodeEncodeError as error:
        whole = (i for i, row in enumerate(zip(*columns.values(), strict=True)) if not _is_unicode(row))
        number = batch.numbers[kept[next(whole)]]
        code = f"\\u{ord(error.object[error.start]):04x}"
        reason = f"it holds half a surrogate pair ({code}), which is not valid Unicode"
        raise PoolError(_bad_row(opened, number, layout, reason)) from error
    for name in (name for name in NUMBERS if name in source.columns):
        given = _column(batch, source.columns[name])
        numbers = [_number(name, given[i], f"{opened.name}, row {batch.numbers[i]}") for i in kept]
        table = table.append_column(name, pa.array(numbers, pa.float64()))
    rows.tables.append(table)


def _number(name: str, value: Any, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise PoolError(
            f"{where}: a {name} is a number of at least 0, but it is {value!r:.60}. Repair the row."
        )
    return number


def _column(batch: Batch, name: str | None) -> list[Any]:
    return batch.columns.get(name or "") or [None] * len(batch.numbers)


def _examples(
    opened: Opened, batch: Batch, layout: Layout
) -> tuple[list[str], list[str | None], dict[int, str]]:
    """Prompt ("" where there is none) and response of each row; of unusable rows, by position, the reason."""
    names = (layout.prompt, layout.context, layout.response)
    prompts, contexts, responses = (_column(batch, name) for name in names)
    plain = {str, type(None)}.issuperset([*map(type, prompts), *map(type, responses)])
    if layout.context is None and plain:  # what ``example`` does, column by column: half the time
        texts = [normalise(prompt) if prompt else "" for prompt in prompts]
        return texts, [(normalise(response) or None) if response else None for response in responses], {}
    pairs: list[tuple[str, str | None]] = []
    unusable: dict[int, str] = {}
    for number, *row in zip(batch.numbers, prompts, contexts, responses, strict=True):
        try:
            pairs.append(example(*row))
        except UnusableRow as error:
            unusable[len(pairs)] = str(error)
            pairs.append(("", None))
        except RowError as error:
            raise PoolError(_bad_row(opened, number, layout, str(error))) from error
    return [text for text, _ in pairs], [answer for _, answer in pairs], unusable


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
