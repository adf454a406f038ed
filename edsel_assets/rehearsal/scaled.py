"""From a study to its rehearsal: the same structure, other inputs, small numbers. No file is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edsel_assets.rehearsal.changes import CHANGES
from edsel_assets.rehearsal.sizes import Numbers, Size, StandIns
from edsel_assets.study import Study
from edsel_assets.study.base import Settings
from edsel_assets.study.trials import HUMANEVAL


def rehearsed(study: Study, size: Size, stand_ins: StandIns) -> Study:
    """The rehearsal of ``study``, whose name is the study's with ``-rehearsal``.

    It has the same strategies, variants, rounds, tasks and metrics, as many cluster counts as the study, and
    of each strategy's budgets the two smallest and the largest, in the same order; budgets and counts keep
    their share of the pool as far as they stay distinct and no smaller than the rounds.

    Raises:
        ValueError: where so few prompts have no room for so many budgets.
    """
    content = changed(study, Numbers.of(study, size, stand_ins))
    content["name"] = f"{study.name}-rehearsal"
    evaluation = content["evaluation"]
    evaluation["tasks"] = [t for t in evaluation.get("tasks", []) if t["name"] in stand_ins.task_names]
    kept = {t.get("label") or t["name"] for t in evaluation["tasks"]} | {
        HUMANEVAL if evaluation.get(HUMANEVAL) else ""
    }
    average = [name for name in study.report.average if name in kept]
    content["report"] = {**content.get("report", {}), "average": average}
    return Study.model_validate(content)


def sections(settings: Settings) -> Iterator[Settings]:
    """``settings`` and every section in it."""
    yield settings
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for each in inner:
            if isinstance(each, Settings):
                yield from sections(each)


def changed(section: Settings, numbers: Numbers) -> dict[str, Any]:
    """The settings of a section that its file gives, each changed; and those that its kind's change adds."""
    given = {
        name: _value(value, numbers)
        for name in type(section).model_fields
        if isinstance(value := getattr(section, name), Settings) or name in section.model_fields_set
    }
    change = CHANGES.get(type(section).__name__)
    return given if change is None else {**given, **change(section, numbers)}


def _value(value: Any, numbers: Numbers) -> Any:
    if isinstance(value, Settings):
        return changed(value, numbers)
    if isinstance(value, Mapping):
        return {name: _value(each, numbers) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each, numbers) for each in value]
    return value
