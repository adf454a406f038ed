"""Variants of strategies and budgets per strategy, through the graph."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from edsel_assets.defs.build import build_definitions
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.instance import WAITS_TAG, open_instance
from edsel_assets.running.local import Runner, materialize
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

SELECTION = {
    "strategies": ["random", "fl_rbf", "km_random", "kmq", "min_margin"],
    "variants": {
        "fl_rbf_wide": {"strategy": "fl_rbf", "gamma": 30.0},
        "fl_rbf_whole": {"strategy": "fl_rbf", "embeddings": "whole"},
        "km_random_2": {"strategy": "km_random", "clusters": 2},
        "km_random_whole": {"strategy": "km_random", "embeddings": "whole"},
    },
    "budgets": [6],
    "budgets_of": {"random": [6, 12, 24]},
}


def varied() -> Study:
    return tiny_study(
        selection=SELECTION,
        clustering={"counts": [4, 2]},
        other_embeddings={"whole": {"source": "model", "input": "prompt_response"}},
        evaluation={"tasks": [], "held_out": 10},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Study, Path, dg.DagsterInstance]]:
    home, study = tmp_path_factory.mktemp("home"), varied()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        with open_instance(Home.at(home), study.name) as instance:
            definitions = build_definitions(study, home=home)
            materialize(
                study,
                definitions,
                instance,
                Home.at(home),
                Scope(frozenset({"selections", "selection_cards", "selection_overlap"})),
            )
            yield study, home, instance


def picks(home: Path, study: Study, name: str, budget: int = 6) -> list[str]:
    path = home / "store" / study.name / "selections" / f"{budget:05d}" / f"{name}.parquet"
    return pq.read_table(path).to_pydict()["prompt_id"]


def test_each_variant_chooses_by_its_own_switches(finished) -> None:
    study, home, _ = finished
    chosen = {name: picks(home, study, name) for name in study.selection.names}
    assert chosen["fl_rbf"] != chosen["fl_rbf_wide"] != chosen["fl_rbf_whole"] != chosen["fl_rbf"]
    assert chosen["km_random"] != chosen["km_random_2"]
    assert chosen["km_random"] != chosen["km_random_whole"]


def test_a_variant_with_the_studys_own_switches_chooses_alike(tmp_path: Path) -> None:
    same = {"fl_rbf_again": {"strategy": "fl_rbf", "gamma": tiny_study().selection.gamma}}
    study = tiny_study(selection={"strategies": ["fl_rbf"], "variants": same, "budgets": [6]})
    with open_instance(Home.at(tmp_path), study.name) as instance:
        definitions = build_definitions(study, home=tmp_path)
        materialize(study, definitions, instance, Home.at(tmp_path), Scope(frozenset({"selections"})))
    assert picks(tmp_path, study, "fl_rbf") == picks(tmp_path, study, "fl_rbf_again")


def test_the_control_alone_has_its_larger_budgets(finished) -> None:
    study, home, _ = finished
    folder = home / "store" / study.name / "selections"
    assert sorted(p.stem for p in (folder / "00024").glob("*.parquet")) == ["random"]
    assert len(set(picks(home, study, "random", 24)[:24])) == 24


def test_cards_say_of_each_pick_why_and_the_overlap_is_by_budget(finished) -> None:
    study, home, _ = finished
    store = Home.at(home).store(study.name)
    cards = pq.read_table(store.folder / "selection_cards" / "00006" / "fl_rbf_wide.parquet")
    assert cards["prompt_id"].to_pylist() == picks(home, study, "fl_rbf_wide")
    assert sum(cards["stands_for"].to_pylist()) == 70  # ten are held out
    assert all("stands for" in why for why in cards["why"].to_pylist())
    overlap = pq.read_table(store.folder / "selection_overlap" / "00006.parquet")
    assert overlap.num_rows == len(study.selection.names) ** 2
    assert pq.read_table(store.folder / "selection_overlap" / "00024.parquet")["other"].to_pylist() == [
        "random"
    ]


def test_cards_hold_the_scores_that_a_strategy_prefers_by(finished) -> None:
    study, home, _ = finished
    store = Home.at(home).store(study.name)
    for name, signal, column in (
        ("min_margin", "uncertainty_scores/min_margin", "score"),
        ("kmq", "quality_scores/likelihood", "quality"),
    ):
        table = pq.read_table(store.folder / f"{signal}.parquet").to_pandas().set_index("prompt_id")[column]
        cards = pq.read_table(store.folder / "selection_cards" / "00006" / f"{name}.parquet").to_pandas()
        assert cards["score"].tolist() == table.loc[cards["prompt_id"]].tolist()
        below = [(table < score).mean() for score in cards["score"]]
        assert cards["score_percentile"].tolist() == pytest.approx(below)
    without = pq.read_table(store.folder / "selection_cards" / "00006" / "fl_rbf.parquet")
    assert without["score"].null_count == 6
    lineage = lineage_of(study, Home.at(home))
    for name, signals in (
        ("min_margin", {"uncertainty_scores[min_margin]"}),
        ("kmq", {"quality_scores[likelihood]"}),
        ("random", set()),
    ):
        parents = {str(p) for p in lineage.parents(Cell("selection_cards", f"00006|{name}"))}
        assert {p for p in parents if "_scores[" in p} == signals


def test_a_variant_depends_on_its_own_signals(finished) -> None:
    study, home, _ = finished
    lineage = lineage_of(study, Home.at(home))
    of = {name: {str(p) for p in lineage.parents(Cell("rankings", name))} for name in study.selection.names}
    assert "other_embeddings[whole]" in of["fl_rbf_whole"]
    assert "embeddings" not in of["fl_rbf_whole"]
    assert "other_embeddings[whole]" not in of["fl_rbf"]
    assert "clusters[00002]" in of["km_random_2"]
    assert "clusters[whole.00004]" in of["km_random_whole"]
    assert {str(p) for p in lineage.parents(Cell("clusters", "whole.00004"))} == {
        "pool",
        "other_embeddings[whole]",
    }


def test_the_page_cannot_make_a_cell_that_is_no_part_of_the_study(finished) -> None:
    study, home, instance = finished
    cell = Cell("selections", "00024|fl_rbf")
    definitions = build_definitions(study, home=home)
    run = instance.create_run_for_job(
        definitions.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset({dg.AssetKey("selections")}),
        tags={"dagster/partition": cell.partition},
    )
    assert Runner(study, definitions, instance, Home.at(home)).carry_out(run.run_id)
    ended = instance.get_run_by_id(run.run_id)
    assert ended.is_success
    assert "no part of the study" in ended.tags[WAITS_TAG]
    assert not (home / "store" / study.name / "selections" / "00024" / "fl_rbf.parquet").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variants": {"x": {"strategy": "fl_cosine", "gamma": 3.0}}}, "fl_cosine does not read gamma"),
        ({"variants": {"x": {"strategy": "k_center", "clusters": 3}}}, "does not read clusters"),
        ({"variants": {"kmq": {"strategy": "km_random"}}}, "a strategy's own name"),
        ({"variants": {"x": {"strategy": "km_random", "clusters": 3}}}, "one of clustering.counts"),
        ({"variants": {"x": {"strategy": "k_center", "embeddings": "y"}}}, "one of other_embeddings"),
        ({"budgets_of": {"kmq": [3]}}, "not among the strategies"),
        ({"budgets_of": {"random": [3, 3]}}, "distinct and not empty"),
    ],
)
def test_what_does_not_fit_is_named(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_study(selection={"strategies": ["random"], "budgets": [6], **change})
