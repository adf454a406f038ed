"""What becomes stale when the judge, the instructions or HumanEval's problems change."""

import json
from pathlib import Path
from typing import Any

import pytest

from edsel_assets.kinds import libraries_of, settings_of
from edsel_assets.planning.cells import Lineage
from edsel_assets.study import HumanEvalSettings, JudgeSettings, Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import fill, freshness_of
from edsel_assets_tests.planning.test_freshness import expand, stale

NOTHING: set[str] = set()
WRITTEN = {"generations"}
JUDGED = {"win_rates"}
SCORES = {"base_scores", "benchmark_scores"}

#: Setting of a judge at an endpoint, another value, and what it makes stale.
ENDPOINT: list[tuple[str, Any, set[str]]] = [
    ("limit", 1, WRITTEN),
    ("max_new_tokens", 3, WRITTEN),
    ("model", "another", JUDGED),
    ("base_url", "http://127.0.0.1:9", JUDGED),
    ("logprobs", False, JUDGED),
    ("top_logprobs", 5, JUDGED),
    ("reply_tokens", 3, NOTHING),  # of a rating
    ("on_error", "leave_out", NOTHING),
    ("on_invalid", "stop", NOTHING),
    ("key_variable", "ANOTHER", NOTHING),
    ("tokens_parameter", "max_completion_tokens", NOTHING),
    ("concurrency", 2, NOTHING),
    ("requests_per_minute", 2, NOTHING),
    ("attempts", 2, NOTHING),
    ("timeout", 2, NOTHING),
    ("price_prompt", 2, NOTHING),
    ("price_reply", 2, NOTHING),
    ("max_cost", 2, NOTHING),
    ("revision", "main", NOTHING),
    ("dtype", "float32", NOTHING),
    ("template", "{prompt}", NOTHING),
    ("question", "Which?", JUDGED),
    ("system", "You compare.", JUDGED),
    ("labels", ("A", "B"), JUDGED),
    ("budgets", [10], {"label_efficiency"}),  # fewer trials are judged
]
#: The same for a local judge that rates.
LOCAL: list[tuple[str, Any, set[str]]] = [
    ("reply_tokens", 3, JUDGED),
    ("revision", "main", JUDGED),
    ("dtype", "float16", JUDGED),  # auto is float32 on a CPU
    ("template", "Judge: {prompt}", JUDGED),
    ("logprobs", False, NOTHING),
    ("question", "How good?", JUDGED),
    ("labels", ("A", "B"), NOTHING),
]
PROGRAMS: list[tuple[str, Any, set[str]]] = [
    ("limit", 1, SCORES),
    ("k", 1, SCORES),
    ("n", 30, SCORES),
    ("temperature", 0.2, SCORES),
    ("max_new_tokens", 9, SCORES),
    ("template", "{prompt}", SCORES),
    ("seed", 3, SCORES),
    ("seconds", 3.0, SCORES),
    ("workers", 1, NOTHING),
]


def study_with(folder: Path, **judge: Any) -> Study:
    (folder / "instructions.json").write_text(json.dumps([{"instruction": "Say a."}]))
    (folder / "problems.parquet").write_text("problems")
    model = folder / "judge"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    settings = {"instructions": str(folder / "instructions.json"), "model": "judge", **judge}
    if judge.get("by") == "local":
        settings["model"] = str(model)
    programs = {"problems": str(folder / "problems.parquet")}
    return tiny_study(evaluation={"judge": settings, "humaneval": programs})


def changed(study: Study, part: str, name: str, value: Any) -> Study:
    settings = getattr(study.evaluation, part).model_copy(update={name: value})
    return study.model_copy(update={"evaluation": study.evaluation.model_copy(update={part: settings})})


Filled = tuple[Study, Path, Lineage]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    home = tmp_path_factory.mktemp("endpoint")
    study = study_with(home, base_url="http://127.0.0.1:8", price_prompt=1)
    return study, home, fill(study, home)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    home = tmp_path_factory.mktemp("local")
    study = study_with(home, by="local", kind="rating")
    return study, home, fill(study, home)


def test_the_tables_have_every_setting_but_those_that_name_files_or_change_the_graph() -> None:
    elsewhere = {"instructions", "kind", "reference", "by"}
    assert {name for name, _, _ in ENDPOINT} | elsewhere == set(JudgeSettings.model_fields)
    assert {name for name, _, _ in PROGRAMS} | {"problems"} == set(HumanEvalSettings.model_fields)


@pytest.mark.parametrize(("name", "value", "expected"), ENDPOINT, ids=[name for name, _, _ in ENDPOINT])
def test_what_a_setting_of_an_endpoint_makes_stale(endpoint: Filled, name, value, expected) -> None:
    study, home, lineage = endpoint
    assert stale(changed(study, "judge", name, value), home) == expand(lineage, expected)


@pytest.mark.parametrize(("name", "value", "expected"), LOCAL, ids=[name for name, _, _ in LOCAL])
def test_what_a_setting_of_a_local_judge_makes_stale(local: Filled, name, value, expected) -> None:
    study, home, lineage = local
    assert stale(changed(study, "judge", name, value), home) == expand(lineage, expected)


@pytest.mark.parametrize(("name", "value", "expected"), PROGRAMS, ids=[name for name, _, _ in PROGRAMS])
def test_what_a_setting_of_humaneval_makes_stale(endpoint: Filled, name, value, expected) -> None:
    study, home, lineage = endpoint
    assert stale(changed(study, "humaneval", name, value), home) == expand(lineage, expected)


def test_another_reference_is_another_win_rate_and_no_new_answer(endpoint: Filled) -> None:
    study, home, _ = endpoint
    other = changed(study, "judge", "reference", "6|k_center.s0")
    lineage = freshness_of(other, home).lineage
    # Its content is the same hash here only if the answers are; the cell itself is read anew.
    assert stale(other, home) == expand(lineage, {"reference_answers", "win_rates"})


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("instructions.json", WRITTEN),
        ("problems.parquet", SCORES),
        ("judge/config.json", JUDGED),
    ],
)
def test_a_file_that_changes_makes_stale_what_reads_it(tmp_path: Path, file: str, expected: set[str]) -> None:
    study = study_with(tmp_path, by="local")
    lineage = fill(study, tmp_path)
    assert stale(study, tmp_path) == set()
    with (tmp_path / file).open("a") as handle:
        handle.write(" ")
    assert stale(study, tmp_path) == expand(lineage, expected)


def test_how_held_out_prompts_are_answered_decides_scores_only_where_they_are() -> None:
    def read(**evaluation: Any) -> tuple[dict[str, Any], set[str]]:
        study = tiny_study(evaluation=evaluation, forward={"max_prompt_tokens": 77})
        return settings_of(study, "benchmark_scores"), set(libraries_of(study, "benchmark_scores"))

    off, libraries = read()
    assert not [name for name in off if "held_out" in name or name.startswith("forward.")]
    assert read(held_out_max_new_tokens=9) == (off, libraries)
    on, same = read(held_out_answers=["exact_match"], held_out_max_new_tokens=9)
    assert on == off | {
        "evaluation.held_out_answers": ["exact_match"],
        "evaluation.held_out_max_new_tokens": 9,
        "forward.max_prompt_tokens": 77,
    }
    assert same == libraries
    assert read(held_out_answers=["rouge_l"])[1] == libraries | {"rouge-score"}
