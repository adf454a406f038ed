"""Label Studio: tasks to import, and its JSON or JSON-MIN export back.

Formats as documented at labelstud.io/guide/task_format (tasks, ``annotations``, ``was_cancelled``,
``completed_by``) and labelstud.io/tags/textarea (a result of type ``textarea`` whose
``value.text`` is a list).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.formats.documents import id_of, known, read_objects, rows, write_json, write_text
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.pools.answer_rows import ANSWERS

_TOOL = "Label Studio"
_SHOWN = ("order", "rank", "prompt_id", "prompt", "task", "why", "price", "spend")
#: The labelling interface that our tasks are for: the prompt as plain text, one answer under it.
CONFIG = """<View>
  <Style>.htx-text{ white-space: pre-wrap; }</Style>
  <Text name="prompt" value="$prompt" valueType="text"/>
  <TextArea name="response" toName="prompt" rows="8" maxSubmissions="1" editable="true" required="true"/>
</View>
"""


def write(table: pa.Table, path: Path) -> list[Path]:
    """The tasks in ``path`` and the labelling interface beside it, in ``NAME.config.xml``."""
    tasks = [{"data": known(row, _SHOWN)} for row in rows(table)]
    return [write_json(path, tasks), write_text(path.with_suffix(".config.xml"), CONFIG)]


def recognises(record: dict[str, Any]) -> bool:
    """Whether a record is Label Studio's: it has ``data``, or an ``annotator`` (JSON-MIN)."""
    return "data" in record or "annotator" in record


def read(path: Path) -> list[AnswerRow]:
    """One row for each annotation of each task; one open row for a task without any.

    A cancelled (skipped) annotation is a rejection. Several texts of one annotation are its
    paragraphs. Drafts and predictions are no answers.
    """
    found: list[AnswerRow] = []
    for number, task in enumerate(read_objects(path, _TOOL), start=1):
        place = f"{path}, row {number}"
        if "data" in task:
            found.extend(_task_rows(task, place))
        else:
            found.append(_minimal_row(task, place))
    return found


def _task_rows(task: dict[str, Any], place: str) -> list[AnswerRow]:
    data, annotations = task["data"], task.get("annotations") or []
    if not isinstance(data, dict) or not isinstance(annotations, list):
        raise AnnotationError(
            f"{place}: a task has data and annotations. Export it from {_TOOL} again, as JSON."
        )
    key = id_of(data)
    if not annotations:
        return [AnswerRow(place, key, None)]
    return [_annotation_row(annotation, key, place) for annotation in annotations]


def _annotation_row(annotation: Any, key: Any, place: str) -> AnswerRow:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result", []), list):
        raise AnnotationError(f"{place}: an annotation is an object with a result. Export it again, as JSON.")
    rejected = annotation.get("was_cancelled") is True
    return AnswerRow(
        place,
        key,
        None if rejected else _response(annotation.get("result", []), place),
        rejected=rejected,
        who=_person(annotation.get("completed_by")),
        when=str(annotation.get("updated_at") or annotation.get("created_at") or ""),
    )


def _response(result: list[Any], place: str) -> Any:
    """The text of the control ``response``, else of the only text area."""
    areas = [area for area in result if isinstance(area, dict) and area.get("type") == "textarea"]
    others = sorted({str(each.get("type")) for each in result if isinstance(each, dict)})
    if not areas and others:
        raise AnnotationError(
            f"{place}: an annotation has results of type {', '.join(others)}, and no text area with the "
            "answer. Add one to the labelling interface."
        )
    names = dict.fromkeys(str(area.get("from_name")) for area in areas)
    name = "response" if "response" in names or not names else next(iter(names))
    if len(names) > 1 and name != "response":
        raise AnnotationError(
            f"{place}: it has the text areas {', '.join(names)}, none of them named response. Rename the one "
            "that holds the answer."
        )
    values = [area.get("value") for area in areas if str(area.get("from_name")) == name]
    return _joined([value.get("text") if isinstance(value, dict) else value for value in values])


def _minimal_row(task: dict[str, Any], place: str) -> AnswerRow:
    key = id_of(task)
    if key is None:
        raise AnnotationError(
            f"{place}: it has no prompt_id. Export the tasks that edsel made from {_TOOL}, as JSON."
        )
    response = next((task[name] for name in ANSWERS if task.get(name) is not None), None)
    if isinstance(response, dict):
        response = response.get("text")
    return AnswerRow(
        place,
        key,
        _joined([response]),
        who=_person(task.get("annotator")),
        when=str(task.get("updated_at") or task.get("created_at") or ""),
    )


def _joined(values: list[Any]) -> Any:
    """The texts as one; what is no text is left as it is, to be refused by its type."""
    texts = [
        text
        for value in values
        for text in (value if isinstance(value, list) else [value])
        if text is not None
    ]
    wrong = [text for text in texts if not isinstance(text, str)]
    return wrong[0] if wrong else "\n".join(texts) or None


def _person(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return None if value is None else str(value)
