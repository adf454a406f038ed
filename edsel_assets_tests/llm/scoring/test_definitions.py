"""Metrics, filters and shots read from definitions, before any data; backends by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edsel_assets.llm.scoring.backends import check_backend
from edsel_assets.llm.scoring.tasks import check_direction, check_shots, check_tasks, metrics_of

WRITES = """
task: edsel_test_writes
output_type: generate_until
num_fewshot: 0
{extra}
"""
FILTERED = """
metric_list: [{metric: exact_match}]
filter_list:
  - {name: strict, filter: [{function: take_first}]}
  - {name: loose, filter: [{function: take_first}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "writes.yaml").write_text(WRITES.replace("{extra}", FILTERED))
    plain = WRITES.replace("edsel_test_writes", "edsel_test_plain").replace("num_fewshot: 0", "")
    (tmp_path / "plain.yaml").write_text(
        plain.replace("{extra}", "fewshot_config: {samples: [{q: 1}, {q: 2}]}")
    )
    (tmp_path / "bare.yaml").write_text("group: edsel_test_bare\ntask: [edsel_test_writes]\n")
    (tmp_path / "sum.yaml").write_text(
        "group: edsel_test_sum\ntask: [edsel_test_writes, edsel_test_plain]\n"
        "aggregate_metric_list: [{metric: exact_match, filter_list: [strict, none]}]\n"
    )
    return tmp_path


def test_metrics_are_those_of_the_definition_with_each_filter(folder: Path) -> None:
    strict, loose = "exact_match,strict", "exact_match,loose"
    assert metrics_of("edsel_test_writes", folder) == {strict, loose}
    assert metrics_of("edsel_test_plain", folder) == {"exact_match"}  # lm-eval's own where none is named
    assert metrics_of("edsel_test_sum", folder) == {strict, "exact_match"}
    with pytest.raises(ValueError, match=r"no score of its own\. Name its tasks: edsel_test_writes"):
        metrics_of("edsel_test_bare", folder)


def test_metrics_of_which_less_is_better_are_refused(folder: Path) -> None:
    declared = "metric_list: [{metric: mine, higher_is_better: false}, {metric: exact_match}]"
    own = WRITES.replace("{extra}", declared).replace("edsel_test_writes", "edsel_test_low")
    (folder / "low.yaml").write_text(own)
    for task, metric in (
        ("edsel_test_low", "mine"),
        ("wikitext", "word_perplexity"),
        ("pile_arxiv", "bits_per_byte"),
    ):
        with pytest.raises(ValueError, match=f"metric {metric} a lower value is better"):
            check_direction(task, metric, folder)
    for task, metric in (("edsel_test_low", "exact_match"), ("edsel_test_sum", "exact_match,strict")):
        check_direction(task, metric, folder)


def test_shots_that_a_task_cannot_be_given_are_refused(folder: Path) -> None:
    check_shots("edsel_test_writes", 0, folder)
    check_shots("edsel_test_plain", 2, folder)
    with pytest.raises(ValueError, match="defined with 0 examples and stays at them"):
        check_shots("edsel_test_sum", 1, folder)
    with pytest.raises(ValueError, match="has 2 examples; 3 were asked for"):
        check_shots("edsel_test_plain", 3, folder)


def test_the_papers_tasks_have_the_metrics_that_their_studies_name() -> None:
    from edsel_assets.report.statistics.trials import primary_metric

    for task, metric, shots in (
        ("mmlu", "acc", 5),
        ("bbh_cot_fewshot", "exact_match,get-answer", 3),
        ("gsm8k", "exact_match,strict-match", 8),
        ("hellaswag", "acc_norm", 10),
        ("arc_challenge", "acc_norm", 25),
        ("truthfulqa_mc2", "acc", 0),
    ):
        found = metrics_of(task)
        assert found is not None
        assert primary_metric(task, found, metric) == metric
        check_shots(task, shots)
    with pytest.raises(ValueError, match="name its primary one"):
        primary_metric("gsm8k", metrics_of("gsm8k") or (), None)


@pytest.mark.parametrize("task", ["humaneval", "mbpp"])
def test_tasks_that_run_code_are_refused_by_the_name_of_what_does_it_safely(task: str) -> None:
    with pytest.raises(ValueError, match=r"evaluation\.humaneval scores programs in a sandbox"):
        check_tasks([task])


def test_a_backend_that_is_unknown_or_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("edsel", "hf"):
        check_backend(name)
    with pytest.raises(ValueError, match="no backend 'hff'; there are edsel, hf, vllm, sglang"):
        check_backend("hff")
    monkeypatch.setattr("edsel_assets.llm.scoring.backends.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="the backend vllm needs the package vllm"):
        check_backend("vllm")
