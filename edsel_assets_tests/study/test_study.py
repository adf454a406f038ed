"""Studies: shipped ones load, wrong ones say what is wrong."""

from pathlib import Path

import pytest
import yaml

from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study import MEASURES, Study, StudyError, shipped_studies
from edsel_assets_tests.defs.conftest import TINY, tiny_study


@pytest.mark.parametrize("name", ["demo", "t0", "bhatt2024", "yu2024", "yu2024_clusters", "yu2024_transfer"])
def test_shipped_studies_load(name, monkeypatch) -> None:
    monkeypatch.setenv("EDSEL_POOL", "pool.parquet")
    monkeypatch.setenv("EDSEL_DATA", "data")
    study = Study.load(name)
    assert study.name == name
    assert name in shipped_studies()


def test_every_strategy_can_be_named() -> None:
    rounds = {"reward": {"model": "a/b"}, "judge": {"model": "judge"}}
    aiming = [name for name, row in STRATEGIES.items() if row.aims]
    others = [name for name in STRATEGIES if name not in aiming]
    targets = {"users": {"prompts": "questions.jsonl"}}
    for names, more in ((aiming, {"target": "users"}), (others, {})):
        every = tiny_study(selection={"strategies": names, **more}, targets=targets, rounds=rounds)
        assert every.selection.strategies == names


def test_a_study_without_the_control_has_none_unless_it_names_one() -> None:
    study = tiny_study(selection={"strategies": ["k_center"]})
    assert study.control is None
    assert tiny_study().control == "random"


def test_the_tables_measures_are_the_studys() -> None:
    assert {row.measure for row in STRATEGIES.values() if row.measure} == {*MEASURES, "mean_probability"}


def test_the_study_comes_from_the_environment(monkeypatch, tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**TINY, "name": "mine"}), encoding="utf-8")
    monkeypatch.setenv("EDSEL_STUDY", str(path))
    assert Study.from_env().name == "mine"
    monkeypatch.delenv("EDSEL_STUDY")
    assert Study.from_env().name == "demo"


def test_random_has_twice_the_seeds_unless_told() -> None:
    study = tiny_study(finetuning={"seeds": 3, "random_seeds": None})
    assert list(study.seeds("random")) == [0, 1, 2, 3, 4, 5]
    assert list(study.seeds("k_center")) == [0, 1, 2]
    assert len(tiny_study(finetuning={"random_seeds": 4}).seeds("random")) == 4


@pytest.mark.parametrize(
    ("section", "changes", "reason"),
    [
        ("selection", {"strategies": ["best"]}, "selection.strategies.0"),
        ("selection", {"budgets": [0]}, "selection.budgets.0"),
        ("selection", {"budgets": [5, 5]}, "must not repeat a value"),
        ("selection", {"gamma": -1}, "selection.gamma"),
        ("report", {"control": "min_entropy"}, "report.control 'min_entropy' must be among"),
        ("selection", {"budgets": [1]}, "cannot be spread over 2 rounds"),
        ("clustering", {"count": 5}, "must be one of clustering.counts"),
        ("model", {"template": "no place"}, "must contain {prompt} exactly once"),
        ("embeddings", {"source": "openai"}, "embeddings.name is needed"),
        ("evaluation", {"tasks": [{"name": "x", "limit": 1, "share": 0.5}]}, "give limit or share"),
        (
            "evaluation",
            {"held_out": 1.0},
            "held_out: should be a whole number of at least 0, or a share above",
        ),
        (
            "evaluation",
            {"held_out": -1},
            "held_out: should be a whole number of at least 0, or a share above",
        ),
        ("evaluation", {"held_out_answers": ["rouge"]}, "should be 'exact_match' or 'rouge_l'"),
        ("evaluation", {"held_out_answers": ["rouge_l", "rouge_l"]}, "names a measure twice"),
        ("evaluation", {"held_out": 0, "held_out_answers": ["rouge_l"]}, "has no prompts to answer"),
        ("finetuning", {"warmup": 1.5}, "finetuning.warmup"),
        ("pool", {"colums": {}}, "pool.colums: no such setting"),
    ],
)
def test_a_wrong_setting_is_named_with_the_rule(section, changes, reason, tmp_path: Path) -> None:
    settings = {**TINY, section: {**TINY.get(section, {}), **changes}}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(StudyError) as raised:
        Study.load(path)
    assert reason in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_variables_are_filled_in_and_a_missing_one_is_named(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "with.yaml"
    text = yaml.safe_dump(TINY)
    path.write_text(text.replace("builtin:demo", "${PLACE:-builtin:demo}", 1), encoding="utf-8")
    assert Study.load(path).pool.path == "builtin:demo"
    monkeypatch.setenv("PLACE", "elsewhere")
    assert "elsewhere" in Study.load(path).model_dump_json()
    path.write_text("# ${NOT_NEEDED}\n" + text.replace("tiny", "${ABSENT}"), encoding="utf-8")
    with pytest.raises(StudyError, match="needs the environment variable ABSENT"):
        Study.load(path)


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b\n", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"odd\.yaml"):
        Study.load(path)
