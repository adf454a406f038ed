"""Lineage of single cells, asked of Dagster's own asset graph."""

from typing import Any

import dagster as dg
import pytest

from edsel_assets.defs.build import build_definitions
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study import MEASURES, Study
from edsel_assets_tests.defs.conftest import tiny_study


@pytest.fixture(scope="module")
def graph() -> Any:
    """Of the demo, with every strategy that needs no model but its own."""
    study = Study.load("demo")
    left_out = ("iterative_kmq_reward", "iterative_kmq_judge", "random_target", "nearest")
    names = [name for name in STRATEGIES if name not in left_out]
    selection = study.selection.model_copy(update={"strategies": names})
    return build_definitions(study.model_copy(update={"selection": selection})).resolve_asset_graph()


def parents(graph: Any, asset: str, partition: str | None) -> set[str]:
    """``asset[partition]`` of every parent cell."""
    found = graph.get_parents_partitions(dg.AssetKey(asset.split("/")), partition)
    assert not found.required_but_nonexistent_parents_partitions
    return {f"{p.asset_key.to_user_string()}[{p.partition_key or ''}]" for p in found.parent_partitions}


UNPARTITIONED = {"pool[]", "annotations[]", "orders[]", "embeddings[]"}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("random", set()),
        ("k_center", set()),
        ("fl_cosine", set()),
        ("fl_rbf", set()),
        *((m, {f"uncertainty_scores[{m}]"}) for m in MEASURES),
        ("fl_rbf_min_margin", {"uncertainty_scores[min_margin]"}),
        ("km_random", {"clusters[00048]"}),
        ("km_closest", {"clusters[00048]"}),
        ("kmq", {"clusters[00048]", "quality_scores[likelihood]"}),
        ("deita", {"quality_scores[likelihood]"}),
        ("qdit", {"quality_scores[likelihood]"}),
    ],
)
def test_a_ranking_depends_on_the_signals_its_strategy_reads_and_no_others(graph, strategy, expected) -> None:
    assert parents(graph, "rankings", strategy) == UNPARTITIONED | expected


def test_a_selection_depends_on_its_strategys_ranking(graph) -> None:
    assert parents(graph, "selections", "00060|k_center") == {"pool[]", "rankings[k_center]"}


def test_an_adapter_depends_on_one_training_set_and_not_on_the_pool(graph) -> None:
    for trial, strategy in (("k_center.s1", "k_center"), ("iterative_kmq_perplexity.s0", None)):
        name = strategy or "iterative_kmq_perplexity"
        assert parents(graph, "lora_adapters", f"00060|{trial}") == {f"training_sets[00060|{name}]"}


def test_a_training_set_depends_on_one_selection(graph) -> None:
    shared = {"pool[]", "annotations[]"}
    assert parents(graph, "training_sets", "00060|k_center") == shared | {"selections[00060|k_center]"}
    assert parents(graph, "training_sets", "00180|iterative_kmq_perplexity") == shared | {
        f"iterative_selections[00180|iterative_kmq_perplexity.s{seed}]" for seed in range(3)
    }


def test_scores_depend_on_their_trials_adapter_and_the_held_out_prompts(graph) -> None:
    assert parents(graph, "benchmark_scores", "00060|kmq.s1") == {
        "held_out[]",
        "lora_adapters[00060|kmq.s1]",
    }


def judged_graph(**judge: Any) -> Any:
    settings = {"instructions": "instructions.jsonl", "model": "a judge", **judge}
    return build_definitions(tiny_study(evaluation={"judge": settings})).resolve_asset_graph()


@pytest.mark.parametrize("reference", [None, "6|k_center.s0"])
def test_every_win_rate_is_against_the_answers_of_one_fixed_trial(reference) -> None:
    graph = judged_graph(reference=reference)
    fixed = "00006|k_center.s0" if reference else "00010|random.s0"  # the control at its largest budget
    assert parents(graph, "reference_answers", None) == {f"generations[{fixed}]"}
    for budget in ("00006", "00010"):
        cell = f"{budget}|kmq.s0"
        assert parents(graph, "win_rates", cell) == {f"generations[{cell}]", "reference_answers[]"}
        assert parents(graph, "generations", cell) == {f"lora_adapters[{cell}]"}


def test_a_rating_needs_no_reference_and_no_judge_no_win_rate(graph) -> None:
    rated = judged_graph(kind="rating")
    assert parents(rated, "win_rates", "00006|kmq.s0") == {"generations[00006|kmq.s0]"}
    assert dg.AssetKey("reference_answers") not in rated.materializable_asset_keys
    written = judged_graph(model=None).materializable_asset_keys
    assert {dg.AssetKey("generations"), dg.AssetKey("win_rates")} & written == {dg.AssetKey("generations")}
    keys = graph.materializable_asset_keys
    assert not {dg.AssetKey("generations"), dg.AssetKey("win_rates")} & keys


def test_a_round_depends_on_the_round_before_it(graph) -> None:
    assert parents(graph, "round_2/selection", "00060|iterative_kmq_perplexity.s0") == {
        "pool[]",
        "annotations[]",
        "orders[]",
        "clusters[00048]",
        "quality_scores[likelihood]",
        "round_1/selection[00060|iterative_kmq_perplexity.s0]",
        "round_1/weights[00060|iterative_kmq_perplexity.s0]",
    }


def test_the_report_depends_on_every_trial(graph) -> None:
    found = parents(graph, "label_efficiency", None)
    trials = {p for p in found if p.startswith("benchmark_scores")}
    definition = graph.get(dg.AssetKey("benchmark_scores")).partitions_def
    assert len(trials) == len(definition.get_partition_keys())


def test_the_graph_has_no_cycle(graph) -> None:
    """``validate_loadable`` misses cycles; the topological order does not."""
    ordered = [key for level in graph.toposorted_asset_keys_by_level for key in level]
    assert set(ordered) == graph.materializable_asset_keys


def test_dimensions_are_in_alphabetical_order_and_budgets_padded(graph) -> None:
    definition = graph.get(dg.AssetKey("lora_adapters")).partitions_def
    assert definition.get_partition_keys()[0] == "00030|random.s0"
    assert all(len(key.split("|")[0]) == 5 for key in definition.get_partition_keys())


def test_a_study_without_rounds_has_no_round_assets() -> None:
    study = tiny_study(selection={"strategies": ["random", "k_center"]})
    keys = build_definitions(study).resolve_asset_graph().materializable_asset_keys
    assert not [key for key in keys if "round_1" in key.path or "iterative_selections" in key.path]


def test_every_asset_is_described_grouped_and_versioned(graph) -> None:
    groups = {
        "pool",
        "annotation",
        "signals",
        "diagnostics",
        "selection",
        "round_1",
        "round_2",
        "round_3",
        "rounds",
        "finetuning",
        "evaluation",
        "report",
    }
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.group_name in groups or node.group_name == f"round_{key.path[0][-1]}", key
        assert node.description, key
        assert node.code_version, key
        assert node.kinds, key


def test_a_strategy_added_to_the_table_is_in_the_graph(monkeypatch) -> None:
    """One row in one file: partitions, lineage and what makes it stale follow from it."""
    from dataclasses import replace

    from edsel_assets.kinds import settings_of
    from edsel_assets.selection.strategies import STRATEGIES

    mine = replace(STRATEGIES["min_margin"], name="mine", settings=("selection.gamma",))
    monkeypatch.setitem(STRATEGIES, "mine", mine)
    study = tiny_study(selection={"strategies": ["random", "mine"]})
    graph = build_definitions(study).resolve_asset_graph()
    assert parents(graph, "rankings", "mine") == {
        *(UNPARTITIONED - {"embeddings[]"}),  # no strategy of the study reads them
        "uncertainty_scores[min_margin]",
    }
    assert "00006|mine" in graph.get(dg.AssetKey("training_sets")).partitions_def.get_partition_keys()
    assert settings_of(study, "rankings", "mine")["selection.gamma"] == 0.5
