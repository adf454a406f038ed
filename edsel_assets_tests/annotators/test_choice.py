"""The annotator that a study names, and settings that contradict themselves."""

import pytest

from edsel_assets.annotation import AnnotationError
from edsel_assets.annotators import ChatAnnotator, FolderAnnotator, PoolAnnotator, annotator_of
from edsel_assets.planning.preflight import annotator_problems
from edsel_assets.store import Home, Store
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets_tests.defs.conftest import tiny_study


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"kind": "pool"}, PoolAnnotator),
        ({"kind": "folder", "folder": "x"}, FolderAnnotator),
        ({"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}, ChatAnnotator),
    ],
)
def test_a_kind_is_an_annotator(settings, kind, tmp_path) -> None:
    assert isinstance(annotator_of(AnnotatorSettings(**settings), Store(tmp_path)), kind)


def test_people_answer_by_files(tmp_path) -> None:
    with pytest.raises(AnnotationError, match="edsel export, then edsel import"):
        annotator_of(AnnotatorSettings(), Store(tmp_path))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "folder"}, "needs the setting folder"),
        ({"kind": "openai"}, "needs the setting model"),
        ({"kind": "openai", "model": "m"}, "set max_cost and the prices"),
        (
            {"kind": "openai", "model": "m", "base_url": "http://x", "max_cost": 1.0},
            "max_cost needs per_thousand_prompt_tokens",
        ),
        ({"kind": "someone"}, "'people', 'pool', 'folder' or 'openai'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        AnnotatorSettings(**settings)


def test_a_plan_names_what_the_annotator_lacks(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    lacks = {
        "no folder": {"kind": "folder", "folder": str(tmp_path / "absent")},
        "set MY_KEY": {"kind": "openai", "model": "m", "base_url": "http://x", "key_variable": "MY_KEY"},
    }
    for reason, settings in lacks.items():
        (problem,) = annotator_problems(tiny_study(annotation={"annotator": settings}), Home.at(tmp_path))
        assert reason in problem
    assert annotator_problems(tiny_study(), Home.at(tmp_path)) == []
