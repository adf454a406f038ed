"""Argilla: records and settings of a data set, and its records with responses back.

Written: the list that ``dataset.records.from_json`` reads (docs.argilla.io/latest/how_to_guides/
import_export) and the settings that ``rg.Settings.from_json`` reads (docs.argilla.io/latest/
reference/argilla/settings/settings). Read: that list as ``records.to_json`` writes it, the flat
list of ``records.to_list(flatten=True)``, and the server's own records, whose responses have
``values`` and the status submitted, discarded or draft (docs.argilla.io/latest/reference/argilla/
records/responses).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.formats.documents import (
    id_of,
    known,
    read_objects,
    rows,
    text_or_none,
    write_json,
)
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.pools.answer_rows import is_id

_TOOL = "Argilla"
_QUESTION = "response"
_FLAT = ".responses"
_METADATA = ("prompt_id", "order", "rank", "task", "why", "price", "spend")
_TEXT = {"type": "text", "use_markdown": False}
SETTINGS: dict[str, Any] = {
    "guidelines": "Answer the prompt as the assistant should. Discard what cannot be answered.",
    "fields": [{"name": "prompt", "title": "Prompt", "required": True, "type": "text", "settings": _TEXT}],
    "questions": [
        {
            "name": _QUESTION,
            "title": "Response",
            "description": "The answer that the model shall learn.",
            "required": True,
            "type": "text",
            "settings": _TEXT,
        }
    ],
    "vectors": [],
    "metadata": [],
    "allow_extra_metadata": True,
    "distribution": {"strategy": "overlap", "min_submitted": 1},
}


def write(table: pa.Table, path: Path) -> list[Path]:
    """The records in ``path`` and the settings beside it, in ``NAME.settings.json``."""
    records = [
        {
            "id": row["prompt_id"],
            "fields": {"prompt": row["prompt"]},
            "metadata": known(row, _METADATA),
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        for row in rows(table)
    ]
    return [write_json(path, records), write_json(path.with_suffix(".settings.json"), SETTINGS)]


def recognises(record: dict[str, Any]) -> bool:
    """Whether a record is Argilla's: it has responses, or fields."""
    return "responses" in record or "fields" in record or any(name.endswith(_FLAT) for name in record)


def read(path: Path) -> list[AnswerRow]:
    """One row for each response of each record; one open row for a record without any.

    Submitted is an answer, discarded a rejection, draft neither. A response without a status
    (``to_json`` of some versions leaves it out) is a draft if its record is ``pending``, else
    submitted.
    """
    found = []
    for number, record in enumerate(read_objects(path, _TOOL), start=1):
        place = f"{path}, row {number}"
        key = _key(record)
        answers = [_row(place, key, record, *response) for response in _responses(record, place)]
        found.extend(answers or [AnswerRow(place, key, None)])
    return found


def _key(record: dict[str, Any]) -> Any:
    metadata, fields = (
        {} if not isinstance(record.get(n), dict) else record[n] for n in ("metadata", "fields")
    )
    own = metadata.get("prompt_id") or record.get("prompt_id") or record.get("external_id")
    if own or is_id(record.get("id")):
        return own or record["id"]
    return id_of(record if "prompt" in record else fields) or record.get("id")


def _row(
    place: str, key: Any, record: dict[str, Any], value: Any, status: Any, who: Any, when: Any
) -> AnswerRow:
    status = status or ("draft" if record.get("status") == "pending" else "submitted")
    if status not in ("submitted", "discarded", "draft", "pending"):
        raise AnnotationError(f"{place}: a response is submitted, discarded or draft; got {status!r:.60}.")
    answered = status == "submitted"
    return AnswerRow(
        place,
        key,
        value if answered else None,
        rejected=status == "discarded",
        who=text_or_none(who),
        when=str(when or ""),
    )


def _responses(record: dict[str, Any], place: str) -> Iterator[tuple[Any, Any, Any, Any]]:
    """(value, status, user, time) of each response to our question."""
    questions = [name.removesuffix(_FLAT) for name, value in record.items() if name.endswith(_FLAT) and value]
    if questions:
        name = _question(questions, place) + _FLAT
        flat, users, statuses = (record.get(name + part) for part in ("", ".users", ".status"))
        for i, value in enumerate(_list(flat, place)):
            yield value, _at(statuses, i), _at(users, i), None
        return
    responses = record.get("responses")
    if isinstance(responses, dict):
        name = _question([name for name, value in responses.items() if value], place)
        for response in _list(responses.get(name, []), place):
            if not isinstance(response, dict):
                raise AnnotationError(
                    f"{place}: a response is an object with a value. Export the records again."
                )
            yield response.get("value"), response.get("status"), response.get("user_id"), None
        return
    for response in _list(responses, place):
        if not isinstance(response, dict):
            raise AnnotationError(f"{place}: a response is an object with values. Export the records again.")
        values = response.get("values") or {}
        if not isinstance(values, dict):
            raise AnnotationError(f"{place}: a response has values by question. Export the records again.")
        answer = values.get(_question(list(values), place))
        value = answer.get("value") if isinstance(answer, dict) else answer
        yield value, response.get("status"), response.get("user_id"), response.get("updated_at")


def _question(names: list[str], place: str) -> str:
    """The question that is the answer: ours, or the only one."""
    if _QUESTION in names or not names:
        return _QUESTION
    if len(names) > 1:
        raise AnnotationError(
            f"{place}: it has responses to {', '.join(names)}, none of them named {_QUESTION}. Rename the "
            "question that is the answer."
        )
    return names[0]


def _list(value: Any, place: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnnotationError(
            f"{place}: responses are a list; got {type(value).__name__}. Export the records again."
        )
    return value


def _at(values: Any, i: int) -> Any:
    return values[i] if isinstance(values, list) and i < len(values) else None
