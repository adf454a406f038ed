"""Rows gathered from all inputs, batch by batch, before duplicates are removed."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.demo import DEMO
from edsel_assets.pools.chats import may_be_chat
from edsel_assets.pools.files import Opened, without_query
from edsel_assets.pools.layouts import Example, Layout, example, recognise, unfolded
from edsel_assets.pools.report import FileCount, Skipped
from edsel_assets.pools.source import NUMBERS, ROW_NAMES, Batch, PoolError, PoolSource
from edsel_assets.pools.text import UnusableRow, is_unicode, normalise, shown, text_of

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
    responses_unread: int = 0
    faults: list[Skipped] = field(default_factory=list)
    more_turns: int = 0
    positions: list[np.ndarray] = field(default_factory=list)  # of each row kept, among all that were read

    def fault(self, file: str, row: int, reason: str) -> None:
        self.responses_unread += 1
        if len(self.faults) < _SHOWN:
            self.faults.append(Skipped(file, row, reason))

    def skip(self, file: str, row: int, reason: str) -> None:
        self.rows_skipped += 1
        if len(self.skipped) < _SHOWN:
            self.skipped.append(Skipped(file, row, reason))


def add_batch(opened: Opened, batch: Batch, layout: Layout, source: PoolSource, rows: Gathered) -> None:
    """Add the rows of ``batch`` to ``rows``.

    Raises:
        PoolError: naming the row that is malformed.
    """
    batch, layout = unfolded(batch, layout)
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
    found = _examples(batch, layout)
    kept = [i for i, each in enumerate(found) if each.prompt]
    for i in sorted(set(range(len(found))).difference(kept)):
        if prompts[i] is None and "prompt" not in source.columns:
            _refuse_mixture(opened, batch, i, layout)
        empty = "no prompt" if prompts[i] is None else "the prompt is empty"
        rows.skip(opened.name, batch.numbers[i], found[i].fault or empty)
    for i in kept:
        if (reason := found[i].fault) is not None:
            rows.fault(opened.name, batch.numbers[i], reason)
        rows.more_turns += found[i].more
    tasks = _column(batch, source.columns.get("task", "task"))
    origins = _column(batch, source.columns.get("source", "source"))
    default = opened.name if opened.name == DEMO else PurePosixPath(without_query(opened.name)).name
    columns: dict[str, list[Any]] = {
        "prompt": [found[i].prompt for i in kept],
        "response": [found[i].response for i in kept],
        "task": [_label(tasks[i]) for i in kept],
        "source": [_label(origins[i]) or default for i in kept],
    }
    rows.ids.extend(hashlib.blake2b(t.encode(), digest_size=16).digest() for t in columns["prompt"])
    table = pa.table({name: pa.array(v, pa.large_string()) for name, v in columns.items()})
    for name in (name for name in NUMBERS if name in source.columns):
        given = _column(batch, source.columns[name])
        numbers = [_number(name, given[i], f"{opened.name}, row {batch.numbers[i]}") for i in kept]
        table = table.append_column(name, pa.array(numbers, pa.float64()))
    rows.tables.append(table)
    rows.positions.append(rows.rows_read - len(batch.numbers) + np.asarray(kept, dtype=np.int64))


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


def _examples(batch: Batch, layout: Layout) -> list[Example]:
    """What each row gives."""
    names = (layout.prompt, layout.context, layout.response, layout.system, layout.history)
    columns = (_column(batch, name) for name in names)
    found: list[Example] = []
    for prompt, context, response, system, history in zip(*columns, strict=True):
        try:
            plain = layout.is_plain and _plain(prompt, response)
            found.append(plain or example(prompt, context, response, system, history, layout.form))
        except UnusableRow as error:
            found.append(Example("", fault=str(error)))
    return found


def _plain(prompt: Any, response: Any) -> Example | None:
    """What ``example`` gives of two texts, in a third of the time; None where it has more to do."""
    if not (_is_plain(prompt) and (response is None or _is_plain(response))):
        return None
    return Example(normalise(prompt), (normalise(response) or None) if response else None)


def _is_plain(text: Any) -> bool:
    """Whether ``text`` is text, and no chat that was stored as text."""
    return isinstance(text, str) and not may_be_chat(text) and (text.isascii() or is_unicode(text))


def _label(value: Any) -> str | None:
    """A task or source as text: numbers are labels there, and lists and objects as they stand."""
    try:
        return text_of("a label", value)
    except UnusableRow:
        return shown(value, 200)


def _refuse_mixture(opened: Opened, batch: Batch, i: int, layout: Layout) -> None:
    """A row without this layout's prompt that has another layout's is no empty row."""
    present = [name for name, values in batch.columns.items() if values[i] is not None]
    other = recognise(present)
    if other is not None and other.prompt != layout.prompt:
        raise PoolError(
            f"{opened.name}, row {batch.numbers[i]}: this row has the layout {other.name} ({other.prompt}), "
            f"others {layout.name} ({layout.prompt}). Put rows of each layout into a file of their own."
        )
