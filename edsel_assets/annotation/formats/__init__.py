"""Orders in the formats of annotation tools, and answers back from each of them.

One row of ``FORMATS`` is one format: a function that writes an order and one that reads answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.formats import argilla, label_studio, tables
from edsel_assets.annotation.formats.row import AnswerRow

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
        format: a key of ``FORMATS``; ``auto`` goes by the suffix, and tells Label Studio's JSON from
            Argilla's by what it holds.

    Raises:
        AnnotationError: the file is absent, damaged, empty, or in no known format.
    """
    path = Path(path)
    found = _format(_told(path) if format == "auto" else format).read(path)
    if not found:
        raise AnnotationError(f"{path} has no rows. Name the file that holds the answers.")
    return found


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise AnnotationError(f"The format is one of {', '.join(FORMATS)}; got {name!r}.")
    return FORMATS[name]


def _told(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if suffix in (".csv", ".tsv"):
        return "csv"
    if suffix == ".json":
        return "label-studio" if label_studio.recognises(path) else "argilla"
    raise AnnotationError(
        f"The format of {path} cannot be told from its suffix. Name it with --format: {', '.join(FORMATS)}."
    )
