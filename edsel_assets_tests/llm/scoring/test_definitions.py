"""Metrics, filters and shots read from definitions, before any data; backends by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edsel_assets.llm.scoring.backends import check_backend
from edsel_assets.llm.scoring.tasks import (
    check_direction,
    check_generation,
    check_shots,
    check_tasks,
    metrics_of,
)

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


FUNCTIONS = """
from elsewhere import other
def overlap(references, predictions): return 1.0
def several(references, predictions): return {"a": 1.0, "b": 2.0}
made = overlap
"""


def test_a_metric_by_a_function_has_the_functions_name_and_nothing_is_run(folder: Path) -> None:
    (folder / "utils.py").write_text(FUNCTIONS + "raise SystemExit('it was run')\n")

    def metrics(name: str, more: str = "") -> set[str] | None:
        entry = f"{{metric: !function utils.{name}, aggregation: mean, higher_is_better: false}}"
        text = WRITES.replace("{extra}", f"metric_list: [{{metric: exact_match}}, {entry}]\n{more}")
        place = folder / f"{name}{bool(more)}"
        place.mkdir()
        (place / "utils.py").write_bytes((folder / "utils.py").read_bytes())
        (place / "t.yaml").write_text(text)
        if name == "overlap":
            with pytest.raises(ValueError, match="metric overlap a lower value is better"):
                check_direction("edsel_test_writes", "overlap", place)
        return metrics_of("edsel_test_writes", place)

    assert metrics("overlap") == {"exact_match", "overlap"}
    assert metrics("overlap", "filter_list: [{name: x, filter: [{function: take_first}]}]") == {
        "exact_match,x",
        "overlap,x",
    }
    # Those that only running them would tell: values under names of their own, and what is made elsewhere.
    assert [metrics(name) for name in ("several", "made", "other", "absent")] == [None] * 4


@pytest.mark.parametrize(
    ("wanted", "longest", "words"),
    [
        ("{do_sample: true, temperature: 0.7, top_p: 0.9}", None, "asks for {'top_p': 0.9}"),
        ("{num_beams: 4}", None, "asks for {'num_beams': 4}"),
        ("{max_gen_toks: 64}", None, "up to 64 tokens, and the model has room for 64"),
        ("{max_new_tokens: 99}", None, "up to 99 tokens"),
        ("{until: [x]}", 100, "up to 100 tokens"),
        ("{max_gen_toks: 99}", 8, ""),
        ("{max_gen_toks: 63, temperature: 0.7, do_sample: true, top_p: null}", None, ""),
    ],
)
def test_decoding_that_there_is_not_is_known_before_a_model(folder, wanted, longest, words) -> None:
    text = WRITES.replace("{extra}", f"generation_kwargs: {wanted}")
    (folder / "asks.yaml").write_text(text.replace("edsel_test_writes", "edsel_test_asks"))
    if not words:
        check_generation("edsel_test_asks", longest, 64, folder)
        return
    with pytest.raises(ValueError, match=r"^edsel_test_asks: ") as refused:
        check_generation("edsel_test_asks", longest, 64, folder)
    assert words in str(refused.value)
    if "room" not in words and "up to" in words:
        check_generation("edsel_test_asks", longest, None, folder)  # where the model is not at hand


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
