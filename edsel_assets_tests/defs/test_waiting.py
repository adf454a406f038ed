"""Runs of the UI over cells that lack answers: green, with the reason, and the rest is made."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.execution.backfill import PartitionBackfill

from edsel_assets.defs.build import build_definitions
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.running.dagster_internals import _with_left_out, new_run
from edsel_assets.running.instance import WAITS_TAG, open_instance
from edsel_assets.running.local import Runner, materialize
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.defs.serving import serving
from edsel_assets_tests.defs.test_daemon import LAUNCH, STATUS

BUDGET = 4
CHOSEN, TRAINED = (Cell(asset, f"0000{BUDGET}|random") for asset in ("selections", "training_sets"))
TRIAL = Cell("lora_adapters", f"0000{BUDGET}|random.s0")


def unanswered(folder: Path) -> dict[str, Any]:
    """Settings of a study whose pool has no response."""
    pool = folder / "pool.jsonl"
    pool.write_text("".join(json.dumps({"prompt": f"Say {i}."}) + "\n" for i in range(30)), encoding="utf-8")
    return {
        **TINY,
        "pool": {"path": str(pool)},
        "selection": {"strategies": ["random"], "budgets": [BUDGET]},
        "clustering": {"counts": [4]},
        "evaluation": {**TINY["evaluation"], "held_out": 0},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runner, dg.DagsterInstance, Any]]:
    folder = tmp_path_factory.mktemp("waiting")
    study, home = Study.model_validate(unanswered(folder)), Home.at(folder / "home")
    definitions = build_definitions(study, home=home)
    with pytest.MonkeyPatch.context() as patch, open_instance(home, "tiny") as instance:
        patch.setenv("DAGSTER_HOME", instance.root_directory)
        materialize(study, definitions, instance, home, Scope(frozenset({"rankings", "annotations"})))
        yield Runner(study, definitions, instance, home), instance, definitions


def ended(
    place: tuple[Runner, dg.DagsterInstance, Any], cells: list[Cell], tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    """A run as the UI creates it, carried out."""
    runner, instance, definitions = place
    whole = definitions.resolve_implicit_global_asset_job_def()
    keys = {dg.AssetKey(cell.asset) for cell in cells}
    job = whole.get_subset(asset_selection=keys)
    run = new_run(instance, job, str(uuid.uuid4()), cells[0].partition, tags or {})
    assert runner.carry_out(run.run_id)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def made(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {entry.dagster_event.asset_key.to_user_string() for entry in entries}


def test_what_lacks_answers_is_left_out_of_a_run_that_makes_more(place) -> None:
    run = ended(place, [CHOSEN, TRAINED])
    assert (run.status, made(place[1], run)) == (dg.DagsterRunStatus.SUCCESS, {"selections"})
    assert run.tags[WAITS_TAG] == f"{TRAINED} waits for {BUDGET} answers"


def test_a_run_of_waiting_cells_alone_makes_nothing_and_says_for_what(place) -> None:
    assert made(place[1], ended(place, [CHOSEN])) == {"selections"}
    run = ended(place, [TRIAL])
    assert (run.status, made(place[1], run)) == (dg.DagsterRunStatus.SUCCESS, set())
    assert run.tags[WAITS_TAG] == f"{TRAINED} waits for {BUDGET} answers"
    said = [entry.dagster_event.message for entry in place[1].all_logs(run.run_id) if entry.dagster_event]
    assert f"{TRAINED} waits for {BUDGET} answers. Nothing was made." in said, said


def test_a_backfill_counts_what_its_runs_left_out_as_done(place) -> None:
    _, instance, definitions = place
    graph = definitions.resolve_asset_graph()
    keys = [dg.AssetKey(cell.asset) for cell in (CHOSEN, TRAINED, TRIAL)]
    backfill = PartitionBackfill.from_asset_partitions(
        "filling", graph, None, keys, time.time(), {}, instance, True, None, None, None
    )
    instance.add_backfill(backfill)
    ended(place, [CHOSEN, TRAINED], {"dagster/backfill": "filling"})

    def done(found: PartitionBackfill) -> set[str]:
        subset = found.get_asset_backfill_data(graph).materialized_subset
        return {each.asset_key.to_user_string() for each in subset.iterate_asset_partitions()}

    left = _with_left_out(backfill, graph, instance, WAITS_TAG)
    assert done(backfill) == set()
    assert done(left) == done(instance.get_backfill("filling")) == {"training_sets"}, "Dagster sees the rest"
    assert _with_left_out(left, graph, instance, WAITS_TAG) is left, "once is enough"


@pytest.mark.slow
def test_materialize_all_ends_well_where_answers_are_missing(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(unanswered(tmp_path)), encoding="utf-8")
    with serving(study, tmp_path / "home") as server:
        nodes = server.ask("{ assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
        keys = [{"path": node["assetKey"]["path"]} for node in nodes if node["isMaterializable"]]
        launched = server.ask(LAUNCH, keys=keys)["launchPartitionBackfill"]
        deadline = time.monotonic() + 1800
        while True:
            backfill = server.ask(STATUS, id=launched["backfillId"])["partitionBackfillOrError"]
            if backfill["status"] not in {"REQUESTED", "IN_PROGRESS"}:
                break
            assert time.monotonic() < deadline, backfill
            time.sleep(2)
    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert {run["status"] for run in backfill["runs"]} == {"SUCCESS"}
    store = Home.at(tmp_path / "home").store("tiny")
    there = {
        cell
        for cell in (CHOSEN, TRAINED, TRIAL, Cell("label_efficiency"))
        if store.exists(store.ledger(cell))
    }
    assert there == {CHOSEN, Cell("label_efficiency")}
