"""Orders in the formats of annotation tools, and answers back from each of them.

One row of ``FORMATS`` is one format: a function that writes an order and one that reads answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.formats import argilla, documents, label_studio, tables
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.pools.answer_rows import answer_text
from edsel_assets.pools.files import SUFFIXES, suffix

__all__ = ["FORMATS", "AnswerRow", "Format", "export_order", "read_answers"]


@dataclass(frozen=True)
class Format:
    """``write`` returns every file that it made; ``suffix`` is what such a file is named with."""

    write: Callable[[pa.Table, Path], list[Path]]
    read: Callable[[Path], list[AnswerRow]]
    suffix: str


FORMATS: dict[str, Format] = {
    "jsonl": Format(tables.write_jsonl, tables.read_jsonl, ".jsonl"),
    "csv": Format(tables.write_csv, tables.read_csv, ".csv"),
    "label-studio": Format(label_studio.write, label_studio.read, ".json"),
    "argilla": Format(argilla.write, argilla.read, ".json"),
}


def export_order(table: pa.Table, format: str, path: Path) -> list[Path]:
    """Write an order's ``table`` for annotators; return the files made, the tasks first.

    Args:
        table: prompts in ``orders.ORDER_SCHEMA``.
        format: a key of ``FORMATS``.

    Raises:
        AnnotationError: an unknown format.
        StoreError: the place cannot be written.
    """
    return _format(format).write(table, Path(path))


def read_answers(path: Path, format: str = "auto") -> list[AnswerRow]:
    """The rows of a file of answers, open ones among them.

    Args:
        format: a key of ``FORMATS``; ``auto`` goes by the suffix, in any format of a pool, and tells
            Label Studio's JSON and Argilla's from other JSON by what it holds.

    Raises:
        AnnotationError: the file is absent, damaged, empty, or in no known format.
    """
    path = Path(path)
    read = _reader(path) if format == "auto" else _format(format).read
    found = read(path)
    if not found:
        raise AnnotationError(f"{path} has no rows. Name the file that holds the answers.")
    return [replace(row, response=answer_text(row.response)) for row in found]


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise AnnotationError(f"The format is one of {', '.join(FORMATS)}; got {name!r}.")
    return FORMATS[name]


def _reader(path: Path) -> Callable[[Path], list[AnswerRow]]:
    """What reads ``path``, by its suffix and, of JSON, by what it holds."""
    if path.is_dir() or suffix(str(path)) not in SUFFIXES:
        names = ", ".join(FORMATS)
        raise AnnotationError(
            f"The format of {path} cannot be told from its suffix. Name it with --format: {names}."
        )
    if path.suffix.lower() == ".json" and path.exists():
        content = documents.load(path)
        records = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
        if any(label_studio.recognises(each) for each in records):
            return label_studio.read
        if any(argilla.recognises(each) for each in records):
            return argilla.read
        if tables.is_by_prompt(content):
            return tables.read_by_prompt
    return tables.read_table
