"""Triggers as a study declares them: what is accepted, and what is refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edsel_assets.study import Study, StudyError


def declared(*triggers: dict[str, Any]) -> dict[str, Any]:
    selection = {"strategies": ["random"], "budgets": [1]}
    return {"name": "s", "selection": selection, "triggers": list(triggers)}


def load(tmp_path: Path, *triggers: dict[str, Any]) -> Study:
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(declared(*triggers)), encoding="utf-8")
    return Study.load(file)


def test_a_study_without_triggers_has_two_that_are_off() -> None:
    clock, watching = Study.model_validate({k: v for k, v in declared().items() if k != "triggers"}).triggers
    assert (clock.name, clock.cron, clock.active) == ("reselect_nightly", "0 3 * * *", False)
    assert (watching.name, watching.cron, watching.active) == ("stale_selections", None, False)
    assert Study.model_validate(declared()).triggers == [], "an empty list means none"


def test_targets_are_one_asset_or_several(tmp_path) -> None:
    study = load(
        tmp_path,
        {"name": "one", "watch": ["pool"], "targets": "rankings"},
        {"name": "two", "watch": ["pool"], "targets": ["rankings", "selections"]},
    )
    assert [trigger.assets for trigger in study.triggers] == [{"rankings"}, {"rankings", "selections"}]


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/5 0-6,22 1,15 * 1-5", "59 23 31 12 7", "0-30/10 * * * *"])
def test_clocks_of_five_fields_of_numbers(tmp_path, cron) -> None:
    assert load(tmp_path, {"name": "t", "cron": cron}).triggers[0].cron == cron


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        ({"name": "t"}, "trigger 't' must have either cron or watch; give one of them"),
        ({"name": "t", "cron": "0 3 * * *", "watch": ["pool"]}, "must have either cron or watch"),
        ({"name": "t", "cron": "0 3 * *"}, "must have five fields"),
        ({"name": "t", "cron": "60 3 * * *"}, "minute must be *, numbers from 0 to 59, or ranges; got '60'"),
        ({"name": "t", "cron": "0 3 0 * *"}, "day must be *, numbers from 1 to 31, or ranges; got '0'"),
        (
            {"name": "t", "cron": "0 3 * * MON"},
            "weekday must be *, numbers from 0 to 7, or ranges; got 'MON'",
        ),
        ({"name": "t", "cron": "*/0 3 * * *"}, "minute must be"),
        ({"name": "t", "cron": "0 3 * * *", "timezone": "Mars/Base"}, "no time zone 'Mars/Base'; name one"),
        ({"name": "t", "watch": ["pol"]}, "did you mean pool?"),
        ({"name": "t", "watch": ["model"], "minimum_new": 3}, "minimum_new counts prompts; add pool"),
        ({"name": "t", "watch": ["pool"], "targets": []}, "must name at least one asset"),
        ({"name": "a-b", "watch": ["pool"]}, "triggers.0.name"),
        ({"name": "t", "watch": ["pool"], "target": "selections"}, "did you mean targets?"),
    ],
)
def test_what_is_wrong_with_a_trigger_is_said_in_one_line(tmp_path, trigger, reason) -> None:
    with pytest.raises(StudyError) as caught:
        load(tmp_path, trigger)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_triggers_need_two_names(tmp_path) -> None:
    with pytest.raises(StudyError, match=r"each trigger needs a name of its own; got \['t', 't'\]"):
        load(tmp_path, {"name": "t", "watch": ["pool"]}, {"name": "t", "cron": "0 3 * * *"})
