"""Rows of answers, in any layout: which prompt each is of, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edsel_assets.pools.chats import first_exchange, stored_chat, turns_of
from edsel_assets.pools.files import open_source
from edsel_assets.pools.layouts import RESPONSES, Layout, example, recognise
from edsel_assets.pools.rows import batches
from edsel_assets.pools.source import ROW_NAMES, PoolError, PoolSource
from edsel_assets.pools.text import UnusableRow, prompt_id, shown, text_of

#: Columns that an answer is read from: the first of these that has one in any row.
ANSWERS = (*RESPONSES, "generated_text", "choices", "label", "text")
#: Columns that hold the id of a prompt; the last only where it is in an id's form.
IDS = ("prompt_id", "custom_id", "id")
_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
#: Columns of orders and their exports, and those that say more of an answer: none of them is one.
_KNOWN = frozenset(
    ("order", "rank", "task", "gain", "why", "price", "spend", "status", "who", "when", "source", "cost")
)


@dataclass(frozen=True)
class AnswerLine:
    """One row of a file of answers.

    Attributes:
        place: the file and the row, for messages.
        key: the id of its prompt, as it stands or by the prompt's text; None where it has neither.
        prompt: the text that ``key`` was made from, if it was.
        response: as it stands in its column; numbers are text.
        row: all its columns.
    """

    place: str
    key: Any
    prompt: str | None
    response: Any
    row: Mapping[str, Any]


def is_id(value: Any) -> bool:
    """Whether ``value`` has the form of a prompt's id."""
    return isinstance(value, str) and _ID.fullmatch(value.strip()) is not None


def answer_lines(source: PoolSource) -> list[AnswerLine]:
    """The rows of ``source``, those without an answer among them.

    An answer is read from the first column of ``ANSWERS`` that has one, or else from a chat. Its prompt is
    named by a column of ``IDS``, or told by its text, in any layout of a pool.

    Raises:
        PoolError: no column can hold an answer or name its prompt; every answer is empty, but another
            column has text; or what ``batches`` raises.
    """
    rows = list(_rows(source))
    if not rows:
        return []
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    place = rows[0][0].rpartition(", row ")[0]
    layout = recognise(names)
    if layout is not None and layout.form == "marked" and set(IDS) & set(names):
        layout = None  # text beside an id is the answer
    answers = _answer_columns(names, layout)
    if not (answers or "status" in names) or not (set(IDS) & set(names) or layout):
        raise PoolError(
            f"{place} has the columns {_listed(names)}. An answer needs prompt_id or prompt, and one of "
            f"{', '.join(ANSWERS)}, or a chat in messages. Rename the columns."
        )
    column = next((name for name in answers if any(_filled(row.get(name)) for _, row in rows)), None)
    if column is None and not any(_filled(row.get("status")) for _, row in rows):
        _refuse_unread(place, names, layout, [row for _, row in rows])
    return [_line(where, row, column, layout) for where, row in rows]


def _rows(source: PoolSource) -> Iterator[tuple[str, dict[str, Any]]]:
    for opened in open_source(source):
        for batch in batches(opened, source, lambda names: names):
            for number, *values in zip(batch.numbers, *batch.columns.values(), strict=True):
                yield f"{opened.name}, row {number}", dict(zip(batch.columns, values, strict=True))


def _answer_columns(names: Sequence[str], layout: Layout | None) -> list[str]:
    """Columns that may hold the answers, the best first; a chat comes last."""
    own = {name.strip().casefold(): name for name in names} | {name: name for name in names}
    prompts = (layout.prompt, layout.context) if layout else ()
    found = [own[name] for name in ANSWERS if name in own and own[name] not in prompts]
    return [*found, *([layout.prompt] if layout and layout.form != "any" else [])]


def _filled(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value not in (None, [], {})


def _refuse_unread(
    place: str, names: Sequence[str], layout: Layout | None, rows: Sequence[Mapping[str, Any]]
) -> None:
    passed = {*(layout.columns if layout else ()), *_KNOWN, *ROW_NAMES, *IDS, "prompt"}
    others = [n for n in names if n not in passed and any(_filled(row.get(n)) for row in rows)]
    if others:
        raise PoolError(
            f"{place}: no row has an answer, but text stands in {_listed(others)}. Name the column of the "
            f"answers response (or one of {', '.join(ANSWERS)})."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name, 40) for name in names)


def _line(place: str, row: Mapping[str, Any], column: str | None, layout: Layout | None) -> AnswerLine:
    key = next((row[name] for name in IDS[:-1] if _filled(row.get(name))), None)
    if key is None and is_id(row.get(IDS[-1])):
        key = row[IDS[-1]]
    prompt = None
    chat = layout is not None and layout.form != "any" and column == layout.prompt
    if layout is not None and (key is None or chat):
        names = (layout.prompt, layout.context, layout.system, layout.history)
        prompt_text, context, system, history = (row.get(name or "") for name in names)
        try:
            found = example(prompt_text, context, None, system, history, layout.form)
        except UnusableRow as error:
            raise PoolError(f"{place}: {error}. Repair or remove the row.") from error
        if found.fault:
            raise PoolError(f"{place}: {found.fault}. Repair or remove the row.")
        if key is None and found.prompt:
            key, prompt = prompt_id(found.prompt), found.prompt
        if chat:
            return AnswerLine(place, key, prompt, found.response, row)
    return AnswerLine(place, key, prompt, answer_text(row.get(column or "")), row)


def answer_text(value: Any) -> Any:
    """The text of an answer: a number's, a chat's only reply, or a server's completion; else ``value``."""
    if isinstance(value, Mapping):
        body = value.get("body")
        value = (body if isinstance(body, Mapping) else value).get("choices") or value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        message = value[0].get("message")
        said = message.get("content") if isinstance(message, Mapping) else value[0].get("text")
        if isinstance(said, str):
            return said
    try:
        chat = stored_chat(value)
        if chat and all(isinstance(turn, Mapping) for turn in chat):
            exchange = first_exchange([*turns_of([{"role": "user", "content": "?"}]), *turns_of(chat)])
            return value if exchange is None or exchange.more or exchange.reply is None else exchange.reply
        return value if isinstance(value, (str, list, Mapping)) else text_of("the response", value)
    except UnusableRow:
        return value
