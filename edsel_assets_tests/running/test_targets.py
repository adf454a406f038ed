"""Targets through the graph: demand, strategies that aim, and what bad targets get."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from edsel_assets.defs.build import build_definitions
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.planning.preflight import NotReady
from edsel_assets.pools import PoolSource, read_pool
from edsel_assets.running.instance import open_instance
from edsel_assets.running.local import RunFailed, materialize
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

QUERIES = [f"Please add {a} and {b} for me." for a in range(3, 9) for b in range(2, 6)]


def write_queries(path: Path, prompts: list[str] = QUERIES) -> str:
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts), encoding="utf-8")
    return str(path)


def aimed(queries: str, **more: Any) -> Study:
    tasks = Counter(read_pool(PoolSource("builtin:demo", limit=80)).table["task"].to_pylist())
    return tiny_study(
        targets={
            "sums": {"prompts": queries},
            "even": {"tasks": "equal"},
            "one": {"tasks": {tasks.most_common(1)[0][0]: 1}},
        },
        selection={
            "strategies": ["random", "random_target", "nearest", "fl_rbf", "km_random", "variance_reduction"],
            "variants": {
                "fl_even": {"strategy": "fl_rbf", "target": "even"},
                "random_one": {"strategy": "random_target", "target": "one"},
                "long": {"strategy": "longest"},
                "quotas": {"strategy": "task_diversity"},
                "quotas_by_cluster": {"strategy": "task_diversity", "quotas_by": "clusters"},
                "unsure": {"strategy": "weighted_task_diversity"},
            },
            "target": "sums",
            "budgets": [6],
        },
        evaluation={"tasks": [], "held_out": 8},
        **more,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Study, Path, dg.DagsterInstance]]:
    home = tmp_path_factory.mktemp("home")
    study = aimed(write_queries(home / "queries.jsonl"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        with open_instance(Home.at(home), study.name) as instance:
            definitions = build_definitions(study, home=home)
            wanted = Scope(frozenset({"selections", "held_out_weights"}))
            materialize(study, definitions, instance, Home.at(home), wanted)
            yield study, home, instance


def picks(home: Path, study: Study, name: str) -> list[str]:
    path = home / "store" / study.name / "selections" / "00006" / f"{name}.parquet"
    return pq.read_table(path)["prompt_id"].to_pylist()


def test_a_ranking_reads_the_demand_or_the_queries_of_its_target_alone(finished) -> None:
    study, home, _ = finished
    lineage = lineage_of(study, Home.at(home))

    def read(name: str) -> set[str]:
        parents = lineage.parents(Cell("rankings", name))
        return {str(cell) for cell in parents if cell.kind in ("demand", "target_queries")}

    assert read("random") == read("long") == read("quotas") == set()
    assert read("random_target") == read("fl_rbf") == read("km_random") == {"demand[sums]"}
    assert read("nearest") == read("variance_reduction") == {"target_queries[sums]"}
    assert read("fl_even") == {"demand[even]"}
    assert {str(cell) for cell in lineage.parents(Cell("demand", "even"))} == {"pool"}
    assert Cell("clusters", "00004") in lineage.parents(Cell("rankings", "quotas_by_cluster"))
    assert Cell("uncertainty_scores", "mean_probability") in lineage.parents(Cell("rankings", "unsure"))


def test_weights_have_mean_one_and_say_what_is_wanted(finished) -> None:
    study, home, instance = finished
    store = home / "store" / study.name
    for name in study.targets:
        weights = pq.read_table(store / "demand" / f"{name}.parquet")["weight"].to_numpy()
        assert weights.mean() == pytest.approx(1.0)
        assert weights.min() >= 0
    pool = pq.read_table(store / "pool.parquet").to_pandas().set_index("prompt_id")
    chosen = pool.loc[picks(home, study, "random_one")]
    assert len(set(chosen["task"])) == 1
    event = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("demand"), asset_partitions=["sums"]), limit=1
    ).records[0]
    metadata = event.asset_materialization.metadata
    assert 0 <= metadata["auc_low"].value <= metadata["auc"].value <= metadata["auc_high"].value <= 1
    assert {"effective_size", "estimated_share", "most_wanted", "least_wanted", "weights"} <= set(metadata)


def test_held_out_prompts_are_weighed_for_each_target(finished) -> None:
    study, home, _ = finished
    store = home / "store" / study.name
    kept = pq.read_table(store / "held_out.parquet").to_pandas()
    pool = pq.read_table(store / "pool.parquet").to_pandas()
    for name, target in study.targets.items():
        table = pq.read_table(store / "held_out_weights" / f"{name}.parquet").to_pandas()
        assert table["prompt_id"].tolist() == kept["prompt_id"].tolist()
        demand = pq.read_table(store / "demand" / f"{name}.parquet")["weight"].to_numpy()
        if target.prompts is None:
            by_task = dict(zip(pool["task"], demand, strict=True))
            assert table["weight"].tolist() == [by_task.get(task, 0.0) for task in kept["task"]]
        else:
            assert 0 < table["weight"].max() <= demand.max() * (1 + 1e-9)
            assert table["weight"].nunique() == len(table)


def test_every_strategy_picks_its_budget_and_aiming_changes_the_picks(finished) -> None:
    study, home, _ = finished
    chosen = {name: picks(home, study, name) for name in study.selection.names}
    assert all(len(set(each)) == 6 for name, each in chosen.items() if not study.strategy(name).stochastic)
    assert chosen["fl_rbf"] != chosen["fl_even"]
    assert chosen["random"] != chosen["random_target"]


def test_a_strategy_that_aims_is_not_asked_to_cover_the_pool(finished) -> None:
    from edsel_assets.stages.vectors.against_random import spreads

    study, _, _ = finished
    assert not any(spreads(study, name) for name in ("fl_rbf", "nearest", "km_random", "fl_even"))
    unaimed = study.model_copy(update={"selection": study.selection.model_copy(update={"target": None})})
    assert spreads(unaimed, "fl_rbf")


def test_other_queries_make_what_reads_them_stale_and_nothing_else(finished, tmp_path: Path) -> None:
    from edsel_assets.planning.freshness import Freshness, State

    study, home, _ = finished
    changed = aimed(write_queries(tmp_path / "queries.jsonl", QUERIES[:-1]))
    now = Freshness(changed, lineage_of(changed, Home.at(home)), Home.at(home))
    state = {name: now.verdict(Cell("rankings", name)).state for name in study.selection.names}
    assert now.verdict(Cell("target_queries", "sums")).state is State.STALE
    assert state["random"] is state["fl_even"] is state["quotas"] is State.FRESH


@pytest.mark.parametrize(
    ("prompts", "message"),
    [([], "queries.jsonl"), (["Only this?"], "at least 5"), (["The same?"] * 30, "at least 5")],
)
def test_too_few_queries_are_named_before_anything_is_made(
    tmp_path: Path, prompts: list[str], message: str
) -> None:
    study = aimed(write_queries(tmp_path / "queries.jsonl", prompts))
    definitions, asked = build_definitions(study, home=tmp_path), Scope(frozenset({"selections"}))
    with open_instance(Home.at(tmp_path), study.name) as instance, pytest.raises(NotReady, match=message):
        materialize(study, definitions, instance, Home.at(tmp_path), asked)
    assert not (tmp_path / "store" / study.name / "pool.parquet").exists()


def test_a_held_out_query_ends_the_run_before_it_is_aimed_at(finished, tmp_path: Path) -> None:
    study, home, _ = finished
    kept = pq.read_table(home / "store" / study.name / "held_out.parquet")["prompt"].to_pylist()
    flattering = aimed(write_queries(tmp_path / "queries.jsonl", [*QUERIES, kept[0]]))
    definitions, asked = build_definitions(flattering, home=tmp_path), Scope(frozenset({"demand"}))
    with open_instance(Home.at(tmp_path), study.name) as instance, pytest.raises(RunFailed, match="held-out"):
        materialize(flattering, definitions, instance, Home.at(tmp_path), asked)


def test_a_query_that_is_a_benchmark_item_is_found(tmp_path: Path) -> None:
    from edsel_assets.stages.checks.contamination import benchmark_items
    from edsel_assets.stages.vectors.targets import query_prompts

    item = "Which of these four gases do green plants take out of the air by day?"
    study = aimed(write_queries(tmp_path / "queries.jsonl", [*QUERIES, item]))
    found = benchmark_items(query_prompts(study), [f"Question: {item}\nAnswer:"])
    assert found.figures == {"items": 1, "prompts": len(QUERIES) + 1, "shared": 1}
    assert "sums: " in found.problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "nobody"}, "not among targets"),
        ({"target": "sums", "strategies": ["random", "k_center"]}, "k_center cannot aim"),
        ({"strategies": ["nearest"]}, "nearest needs a target"),
        ({"strategies": ["nearest"], "target": "even"}, "needs a target by prompts"),
    ],
)
def test_a_study_that_cannot_aim_is_refused_in_one_line(change: dict, message: str) -> None:
    targets = {"sums": {"prompts": "queries.jsonl"}, "even": {"tasks": "equal"}}
    with pytest.raises(ValueError, match=message):
        tiny_study(targets=targets, selection=change)
