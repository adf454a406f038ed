"""JSON lines and CSV: one row for each prompt, with a column ``response`` to fill in.

Columns read: those that name the prompt and hold the answer (``pools.answer_rows``), and where present
``status`` (``rejected``), ``who`` and ``when``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.formats.documents import load, rows, text_or_none, write_text
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.pools import PoolError, prompt_id
from edsel_assets.pools.answer_rows import ANSWERS, IDS, AnswerLine, answer_lines, is_id
from edsel_assets.pools.layouts import recognise
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
    away again from the prompt, which it was put before; answers are read as they stand.
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
    """The answers of JSON lines: what ``write_jsonl`` made and somebody filled in, or any other layout."""
    return read_table(path, "jsonl")


def read_csv(path: Path) -> list[AnswerRow]:
    """The answers of CSV: what ``write_csv`` made and somebody filled in, or any other layout."""
    return read_table(path, "csv")


def read_table(path: Path, format: str = "auto") -> list[AnswerRow]:
    """The answers of a file in any format of a pool."""
    try:
        return [_answer(line) for line in answer_lines(PoolSource(path, format=format))]
    except PoolError as error:
        raise AnnotationError(str(error)) from error


def is_by_prompt(content: Any) -> bool:
    """Whether a JSON document is an object of answers, each under the id or the text of its prompt."""
    if not isinstance(content, dict) or not content or recognise(content):
        return False
    if all(is_id(key) for key in content):
        return True
    return not set(content) & {*IDS, *ANSWERS} and not any(
        isinstance(v, (list, dict)) for v in content.values()
    )


def read_by_prompt(path: Path) -> list[AnswerRow]:
    """The answers of such a document; one is text, or an object with it in a column of answers."""
    found = []
    for number, (key, value) in enumerate(load(path).items(), start=1):
        place = f"{path}, row {number}"
        if isinstance(value, dict) and not value.get("choices") and "body" not in value:
            column = next((name for name in ANSWERS if name in value), None)
            if column is None and "status" not in value:
                raise AnnotationError(
                    f"{place}: it has no answer in any of {', '.join(ANSWERS)}. Rename a key."
                )
            line = AnswerLine(place, key, None, value.get(column or ""), value)
        else:
            line = AnswerLine(place, key, None, value, {})
        row = _answer(line)
        found.append(row if is_id(key) else replace(row, prompt_id=prompt_id(key)))
    return found


def _answer(line: AnswerLine) -> AnswerRow:
    place, row = line.place, line.row
    other = None
    if line.prompt is not None and (plain := unguarded(line.prompt)) != line.prompt:
        other = prompt_id(plain)  # only the cells that ``write_csv`` wrote are guarded; answers are not
    status = str(row.get("status") or "").strip().lower()
    if status not in _REJECTED + _ANSWERED:
        raise AnnotationError(
            f"{place}: status is 'rejected' or empty; got {row['status']!r:.60}. Repair the row."
        )
    if status in _REJECTED and str(line.response or "").strip():
        raise AnnotationError(f"{place}: it is {status}, and has a response. Empty one of the two columns.")
    return AnswerRow(
        place,
        line.key,
        line.response,
        rejected=status in _REJECTED,
        who=text_or_none(row.get("who")),
        when=str(row.get("when") or ""),
        other_id=other,
    )
