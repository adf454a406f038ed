"""Every number of a study has bounds, so that none makes a run that never ends or a fault of ours."""

from typing import Any

import pytest
import yaml

from edsel_assets.study import Study

#: Handed on to lm-eval as they are.
FREE = {"backend_arguments"}
LARGE = [10**30, -(10**30), 1e300, float("inf"), float("-inf"), float("nan")]


def numbers(
    schema: dict[str, Any], path: tuple[Any, ...] = ()
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Every number in a JSON schema, and where it is."""
    found = [(path, schema)] if schema.get("type") in ("integer", "number") else []
    for name, value in schema.get("properties", {}).items():
        found += numbers(value, (*path, name)) if name not in FREE else []
    for key in ("anyOf", "allOf"):
        for value in schema.get(key, ()):
            found += numbers(value, path)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += numbers(schema[key], (*path, key))
    return found


def test_every_number_has_bounds() -> None:
    schema = Study.model_json_schema()
    found = [each for part in (schema, *schema["$defs"].values()) for each in numbers(part)]
    assert len(found) > 100
    for path, value in found:
        assert {"minimum", "exclusiveMinimum"} & set(value), path
        assert {"maximum", "exclusiveMaximum"} & set(value), path


SETTINGS = [
    "finetuning.seeds",
    "finetuning.random_seeds",
    "finetuning.epochs",
    "finetuning.learning_rate",
    "finetuning.warmup",
    "selection.budgets.0",
    "selection.seed",
    "selection.gamma",
    "clustering.counts.0",
    "pool.limit",
    "forward.max_new_tokens",
    "annotation.price",
    "evaluation.held_out",
    "rounds.temperature.reward",
]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("number", LARGE)
def test_a_number_beyond_is_refused_in_one_line(tmp_path, name: str, number: float) -> None:
    study: dict[str, Any] = {"name": "s", "pool": {"path": "builtin:demo"}}
    *sections, last = name.split(".")
    value: Any = number
    if last == "0":
        *sections, last = sections
        value = [number]
    part = study
    for section in sections:
        part = part.setdefault(section, {})
    part[last] = value
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(study))
    with pytest.raises(ValueError, match=last) as refused:
        Study.load(str(file))
    assert len(str(refused.value).splitlines()) <= 3


def test_a_study_of_too_many_trials_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"at most 20,000 trials.*this one has 21,000"):
        Study.model_validate(
            {
                "name": "s",
                "pool": {"path": "builtin:demo"},
                "selection": {"strategies": ["k_center"], "budgets": list(range(1, 22))},
                "report": {"control": None},
                "finetuning": {"seeds": 1000},
            }
        )
