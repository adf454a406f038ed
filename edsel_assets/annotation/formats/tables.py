"""JSON lines and CSV: one row for each prompt, with a column ``response`` to fill in.

Columns read: ``prompt_id`` (or ``prompt``, from which the id is computed), ``response``, and where
present ``status`` (``rejected``), ``who`` and ``when``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.formats.documents import rows, text_or_none, write_text
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.pools import PoolError, prompt_id
from edsel_assets.pools.files import Opened, open_source
from edsel_assets.pools.rows import batches
from edsel_assets.pools.source import PoolSource

_TO_FILL = ("response", "status", "who")
#: What makes a spreadsheet take a cell for a formula, after any number of our own marks. OWASP,
#: "CSV Injection" (owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = re.compile("^'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_REJECTED = ("rejected", "reject", "discarded", "skipped", "cancelled")
_ANSWERED = ("", "answered", "submitted", "completed", "asked", "open", "draft", "pending")


def write_jsonl(table: pa.Table, path: Path) -> list[Path]:
    """One object a line: the order's columns, and ``response``, ``status``, ``who`` to fill in."""
    lines = (json.dumps({**row, **dict.fromkeys(_TO_FILL)}, ensure_ascii=False) for row in rows(table))
    return [write_text(path, "".join(line + "\n" for line in lines))]


def write_csv(table: pa.Table, path: Path) -> list[Path]:
    """The same columns as CSV in UTF-8 with a mark that spreadsheets know it by.

    A text that a spreadsheet would run as a formula gets a ``'`` before it; ``read_csv`` takes it
    away again.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([*table.column_names, *_TO_FILL])
    for row in rows(table):
        writer.writerow([guarded(value) for value in row.values()] + [""] * len(_TO_FILL))
    return [write_text(path, "\ufeff" + text.getvalue())]


def guarded(value: Any) -> Any:
    """``value`` as a cell that no spreadsheet runs."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unguarded(cell: str) -> str:
    """The value of such a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_jsonl(path: Path) -> list[AnswerRow]:
    """The answers of a file that ``write_jsonl`` made and somebody filled in."""
    return [_answer(place, row) for place, row in _read(path, "jsonl")]


def read_csv(path: Path) -> list[AnswerRow]:
    """The answers of a file that ``write_csv`` made and somebody filled in."""
    return [
        _answer(place, {k: unguarded(v) if isinstance(v, str) else v for k, v in row.items()})
        for place, row in _read(path, "csv")
    ]


def _read(path: Path, format: str) -> list[tuple[str, dict[str, Any]]]:
    source = PoolSource(path, format=format)
    try:
        return [pair for opened in open_source(source) for pair in _rows_of(opened, source)]
    except PoolError as error:
        raise AnnotationError(str(error)) from error


def _rows_of(opened: Opened, source: PoolSource) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for batch in batches(opened, source, lambda names: names):
        names = set(batch.names)
        if len(batch.numbers) and (not names & {"prompt_id", "prompt"} or not names & {"response", "status"}):
            raise AnnotationError(
                f"{opened.name} has the columns {', '.join(batch.names)}; answers need prompt_id and "
                "response. Rename the columns."
            )
        for number, *values in zip(batch.numbers, *batch.columns.values(), strict=True):
            found.append((f"{opened.name}, row {number}", dict(zip(batch.columns, values, strict=True))))
    return found


def _answer(place: str, row: dict[str, Any]) -> AnswerRow:
    key, prompt = row.get("prompt_id"), row.get("prompt")
    if (key is None or key == "") and isinstance(prompt, str) and prompt.strip():
        key = prompt_id(prompt)
    status = str(row.get("status") or "").strip().lower()
    if status not in _REJECTED + _ANSWERED:
        raise AnnotationError(
            f"{place}: status is 'rejected' or empty; got {row['status']!r:.60}. Repair the row."
        )
    if status in _REJECTED and str(row.get("response") or "").strip():
        raise AnnotationError(f"{place}: it is {status}, and has a response. Empty one of the two columns.")
    return AnswerRow(
        place,
        key,
        row.get("response"),
        rejected=status in _REJECTED,
        who=text_or_none(row.get("who")),
        when=str(row.get("when") or ""),
    )
