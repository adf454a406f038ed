"""A whole tiny study through the graph: laziness, exact recomputation, resumption, growth."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest

from edsel_assets.defs.build import build_definitions
from edsel_assets.kinds.assets import Cells
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.freshness import Freshness
from edsel_assets.planning.ledger import read_ledger, write_ledger
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.instance import open_instance
from edsel_assets.running.local import Outcome, RunFailed, materialize
from edsel_assets.store import Home, Store
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study


@dataclass
class Desk:
    """One home with an open instance, to run studies on."""

    home: Path
    instance: dg.DagsterInstance

    def run(self, study: Study, **scope: Any) -> Outcome:
        definitions = build_definitions(study, home=self.home)
        chosen = Scope(**{name: frozenset(values) for name, values in scope.items()})
        return materialize(study, definitions, self.instance, Home.at(self.home), chosen)

    def store(self, study: Study) -> Store:
        return Home.at(self.home).store(study.name)

    def metadata(self, asset: str) -> dict[str, Any]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def names(outcome: Outcome) -> list[str]:
    return sorted(str(cell) for cell in outcome.made)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Study, Outcome]]:
    """A home in which the tiny study has run to the end; tests leave it as they found it."""
    home = tmp_path_factory.mktemp("home")
    study = tiny_study()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        with open_instance(Home.at(home), "tiny") as instance:
            desk = Desk(home, instance)
            yield desk, study, desk.run(study)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    with open_instance(Home.at(tmp_path), "tiny") as instance:
        yield Desk(tmp_path, instance)


def test_every_cell_of_every_asset_is_made(finished) -> None:
    desk, study, outcome = finished
    nodes = lineage_of(study, Home.at(desk.home)).nodes
    assert [name for name, node in nodes.items() if not node.cells()] == [
        "purchased_training_set",
        "purchased_adapter",
        "purchased_scores",
        "spend_curve",
    ], "no order was placed"
    read = Cells(study).made
    assert {key for name, key in read if name == "uncertainty_scores"} == {"min_margin"}
    for name, node in nodes.items():
        key = dg.AssetKey(name.split("/"))
        if node.dimensions:
            expected = {key for key in node.partitions if (name, key) in read}
            assert desk.instance.get_materialized_partitions(key) == expected, key
        else:
            made = desk.instance.get_latest_materialization_event(key)
            assert (made is not None) == bool(node.cells()), key
    assert not outcome.fresh


def test_a_second_run_does_nothing(finished) -> None:
    desk, study, first = finished
    second = desk.run(study)
    assert second.made == []
    assert len(second.fresh) == len(first.made)


def test_a_deleted_adapter_comes_back_the_same_and_leaves_its_scores_fresh(finished) -> None:
    desk, study, _ = finished
    shutil.rmtree(desk.store(study).folder / "lora_adapters" / "00006" / "k_center.s0")
    assert names(desk.run(study)) == ["lora_adapters[00006|k_center.s0]"]


def test_a_damaged_adapter_is_not_used_but_made_again(finished) -> None:
    desk, study, _ = finished
    path = desk.store(study).folder / "lora_adapters" / "00006" / "random.s0" / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-64:] = bytes(64)
    path.write_bytes(content)
    assert names(desk.run(study)) == ["lora_adapters[00006|random.s0]"]


def test_each_cell_has_a_ledger_with_its_inputs_as_read(finished) -> None:
    desk, study, outcome = finished
    store = desk.store(study)
    ledgers = {cell: read_ledger(store, cell) for cell in outcome.made}
    assert all(ledgers.values())
    ranking = ledgers[Cell("rankings", "k_center")]
    assert set(ranking.inputs) == {"pool", "annotations", "orders", "embeddings"}
    assert ranking.inputs["embeddings"].content == ledgers[Cell("embeddings")].content
    assert set(ranking.inputs["pool"].columns) == {"prompt_id"}
    trial = ledgers[Cell("lora_adapters", "00006|k_center.s0")]
    assert set(trial.inputs) == {"training_sets[00006|k_center]"}
    assert trial.seed == 0
    assert {"torch", "peft"} <= set(trial.libraries)
    assert {"model/config.json", "model/model.safetensors"} <= set(trial.external)


def test_one_new_prompt_that_nobody_takes_retrains_nothing(desk: Desk, tmp_path: Path) -> None:
    from edsel_assets.demo import demo_pool

    frame = pd.DataFrame(demo_pool()).drop_duplicates("prompt")
    path = tmp_path / "pool.parquet"
    frame.head(60).to_parquet(path)
    study = tiny_study(
        pool={"path": str(path), "limit": None},
        selection={"strategies": ["random", "min_margin"], "budgets": [6], "gammas": [1.0]},
    )
    wanted = {"assets": ["lora_adapters"]}
    desk.run(study, **wanted)
    chosen = pq.read_table(desk.store(study).folder / "selections" / "00006" / "min_margin.parquet")
    frame.head(61).to_parquet(path)
    made = names(desk.run(study, **wanted))
    assert {"pool", "rankings[random]", "training_sets[00006|min_margin]"} <= set(made)
    again = pq.read_table(desk.store(study).folder / "selections" / "00006" / "min_margin.parquet")
    assert again.equals(chosen), "the new prompt was to be one that nobody takes"
    assert not [name for name in made if name.startswith("lora_adapters")]


def test_a_grown_largest_budget_goes_on_and_leaves_the_smaller_cuts_as_they_are(
    desk: Desk, tmp_path: Path
) -> None:
    from edsel_assets.store import read_table

    nested = ["random", "min_margin", "k_center", "fl_cosine", "fl_rbf_min_margin", "deita", "qdit"]

    def study(*budgets: int) -> Study:
        return tiny_study(
            selection={"strategies": [*nested, "kmq"], "budgets": list(budgets), "gammas": [1.0]}
        )

    wanted = {"assets": ["training_sets"]}
    desk.run(study(6, 10), **wanted)
    store = desk.store(study(6))
    before = (store.folder / "training_sets" / "00006" / "k_center.json").read_bytes()
    made = names(desk.run(study(6, 12), **wanted))
    assert not [name for name in made if "00006" in name], "neither the cut of 6 nor what follows from it"
    assert [name for name in made if name.startswith("selections")] == [
        f"selections[00012|{name}]" for name in sorted([*nested, "kmq"])
    ]
    assert (store.folder / "training_sets" / "00006" / "k_center.json").read_bytes() == before
    for name in nested:
        asked = dg.AssetRecordsFilter(dg.AssetKey("rankings"), asset_partitions=[name])
        (record,) = desk.instance.fetch_materializations(asked, limit=1).records
        assert record.asset_materialization.metadata["picks_known_before"].value == 10, name
    grown = {name: read_table(store.folder / "rankings" / f"{name}.parquet") for name in nested}
    for name in nested:
        (store.folder / "rankings" / f"{name}.json").unlink()
    desk.run(study(6, 12), assets=["rankings"])
    for name in nested:
        anew = read_table(store.folder / "rankings" / f"{name}.parquet")
        assert anew.equals(grown[name]), name
    assert names(desk.run(study(6, 12), **wanted)) == []


def test_deleted_embeddings_come_back_from_their_rows_and_leave_the_rest_fresh(finished) -> None:
    desk, study, _ = finished
    (desk.store(study).folder / "embeddings.parquet").unlink()
    assert names(desk.run(study)) == ["embeddings"]
    assert desk.metadata("embeddings")["rows_new"] == 0


def test_selections_are_files_of_the_budgets_size(finished) -> None:
    desk, study, _ = finished
    for budget in study.selection.budgets:
        for path in (desk.store(study).folder / "selections" / f"{budget:05d}").glob("*.parquet"):
            table = pq.read_table(path)
            ids = table["prompt_id"].to_pylist()
            assert len(ids) == len(set(ids)) == budget, path
            assert table.column_names == ["replicate", "rank", "prompt_id", "gain"]


def test_rounds_add_up_to_the_budget_without_repeats(finished) -> None:
    desk, study, _ = finished
    store = desk.store(study)
    for budget in (6, 10):
        rounds = [
            pq.read_table(
                store.folder
                / f"round_{r}"
                / "selection"
                / f"{budget:05d}"
                / "iterative_kmq_perplexity.s0.parquet"
            )["prompt_id"]
            for r in (1, 2)
        ]
        union = pq.read_table(
            store.folder / "iterative_selections" / f"{budget:05d}" / "iterative_kmq_perplexity.s0.parquet"
        )
        assert union["prompt_id"].to_pylist() == [p for part in rounds for p in part.to_pylist()]
        assert len(set(union["prompt_id"].to_pylist())) == budget
        assert union["rank"].to_pylist() == list(range(budget))


def test_a_changed_setting_reaches_the_strategies_that_read_it_and_no_others(finished) -> None:
    desk, study, _ = finished
    changed = study.model_copy(
        update={"selection": study.selection.model_copy(update={"utility_weight": 2.0})}
    )
    made = names(desk.run(changed, assets=["selections"]))
    assert made[:1] == ["rankings[fl_rbf_min_margin]"]
    assert all("fl_rbf_min_margin" in name for name in made)
    desk.run(study)  # back to the study that other tests rely on


def test_only_what_is_asked_for_and_what_it_needs_is_made(desk: Desk) -> None:
    study = tiny_study()
    made = names(desk.run(study, assets=["selections"], strategies=["k_center"], budgets=[6]))
    assert made == [
        "annotations",
        "embeddings",
        "orders",
        "pool",
        "purchases",
        "rankings[k_center]",
        "selections[00006|k_center]",
    ]


def test_a_random_selection_needs_no_forward_pass(desk: Desk) -> None:
    made = names(desk.run(tiny_study(), assets=["selections"], strategies=["random"], budgets=[6]))
    assert not {"embeddings", "token_probabilities"} & set(made)
    assert "selections[00006|random]" in made


def test_a_grown_pool_computes_its_new_prompts_only(desk: Desk, tmp_path: Path) -> None:
    from edsel_assets.demo import demo_pool

    frame = pd.DataFrame(demo_pool()).drop_duplicates("prompt")
    path = tmp_path / "pool.parquet"
    frame.head(60).to_parquet(path)
    study = tiny_study(pool={"path": str(path), "limit": None})
    desk.run(study, assets=["embeddings"])
    before = desk.metadata("embeddings")
    frame.head(70).to_parquet(path)
    desk.run(study, assets=["embeddings"])
    after = desk.metadata("embeddings")
    assert after["rows_reused"] == before["rows"]
    assert after["rows_new"] == after["rows"] - before["rows"] > 0


def test_a_failing_cell_says_which_and_why_and_keeps_what_was_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edsel_assets.stages import signals

    cluster_pool = signals.cluster_pool

    def six_fail(study: Study, pool: Any, embeddings: Any, count: int) -> Any:
        if count == 6:
            raise ValueError("six clusters are one too many")
        return cluster_pool(study, pool, embeddings, count)

    monkeypatch.setattr(signals, "cluster_pool", six_fail)
    study = tiny_study(clustering={"counts": [4, 6], "count": 4})
    with pytest.raises(RunFailed, match=r"clusters\[00006\]: .*six clusters are one too many"):
        desk.run(study, assets=["clusters"])
    monkeypatch.undo()
    assert names(desk.run(study, assets=["clusters"])) == ["clusters[00006]"]


def test_a_budget_over_the_pool_fails_at_the_pool(desk: Desk) -> None:
    with pytest.raises(RunFailed, match=r"largest budget, 500, exceeds the .* prompts of the pool"):
        desk.run(tiny_study(selection={"budgets": [500]}), assets=["rankings"])


@pytest.mark.parametrize(("asset", "known"), [("nonsense", "No asset nonsense")])
def test_an_unknown_asset_is_named_with_those_there_are(desk: Desk, asset: str, known: str) -> None:
    with pytest.raises(ValueError, match=known):
        desk.run(tiny_study(), assets=[asset])


def test_rounds_that_go_on_from_the_last_checkpoint_build_on_all_before(desk: Desk) -> None:
    study = tiny_study(
        rounds={"rounds": 3, "start": "continue", "max_new_tokens": 4}, selection={"budgets": [6]}
    )
    made = names(desk.run(study, assets=["round_2/weights"]))
    assert "round_2/checkpoint[00006|iterative_kmq_perplexity.s0]" in made
    store = desk.store(study)
    weights = pq.read_table(
        store.folder / "round_2" / "weights" / "00006" / "iterative_kmq_perplexity.s0.parquet"
    )
    assert sum(weights["weight"].to_pylist()) == pytest.approx(1.0)
    assert sum(weights["members"].to_pylist()) == 4


def test_a_parent_made_anew_while_its_child_runs_leaves_the_child_stale(desk: Desk, monkeypatch) -> None:
    from edsel_assets.stages import rankings
    from edsel_assets.stages.rankings import cut_name

    study, parent = tiny_study(), Cell("rankings", "random")
    wanted = {"assets": ["selections"], "strategies": ["random"], "budgets": [6]}
    desk.run(study, **{**wanted, "assets": ["rankings"], "budgets": []})
    real = rankings.cut

    def cut_while_another_run_makes_the_ranking_anew(table: Any, budget: int) -> Any:
        ledger = read_ledger(desk.store(study), parent)
        columns = {**ledger.columns, cut_name(budget): "1" * 32}
        anew = ledger.model_copy(update={"content": "0" * 32, "columns": columns})
        write_ledger(desk.store(study), anew)
        return real(table, budget)

    monkeypatch.setattr(rankings, "cut", cut_while_another_run_makes_the_ranking_anew)
    assert names(desk.run(study, **wanted)) == ["selections[00006|random]"]
    monkeypatch.setattr(rankings, "cut", real)
    lineage = lineage_of(study, Home.at(desk.home))
    verdict = Freshness(study, lineage, Home.at(desk.home)).verdict(Cell("selections", "00006|random"))
    assert verdict.why == "rankings[random] changed (cut at 6)"


def test_a_failed_check_ends_the_run_before_anything_wrong_is_stored(desk: Desk, monkeypatch) -> None:
    from edsel_assets.stages import rankings

    whole = rankings.cut
    monkeypatch.setattr(rankings, "cut", lambda table, budget: whole(table, budget - 1))
    study = tiny_study(selection={"strategies": ["random"], "budgets": [6]})
    with pytest.raises(RunFailed) as failed:
        desk.run(study, assets=["selections"])
    assert "selections[00006|random]: check budget_is_exact: Not 6 prompts: replicate 0 holds 5" in str(
        failed.value
    )
    assert not desk.store(study).path(desk.store(study).ledger(Cell("selections", "00006|random"))).exists()
    checks = desk.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("selections"), "budget_is_exact"), limit=1
    )
    assert checks[0].status.value == "FAILED", "the UI shows what failed"
    monkeypatch.undo()
    assert len(desk.run(study, assets=["selections"]).made) == 1, "it is made once the fault is gone"


def test_a_cell_links_the_partitions_that_it_was_made_from(finished) -> None:
    desk, _, _ = finished
    links = desk.metadata("cluster_quality")["made_from"]
    assert "[clusters\\[00004\\]](/assets/clusters?view=partitions&partition=00004)" in links
    assert "(/assets/quality_scores?view=partitions&partition=likelihood)" in links
    assert desk.metadata("pool")["file"] == "store/tiny/pool.parquet", "relative to the home"
