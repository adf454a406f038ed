"""Two minutes of a new file: real prompts dropped into the pool's folder under a live daemon."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
import yaml

from edsel_assets.planning.cells import Cell
from edsel_assets.running.instance import dagster_home
from edsel_assets.store import Home
from edsel_assets_tests.defs.serving import serving

OLD, NEW, ASKED = 2000, 500, 40
STRATEGIES = ["random", "min_margin", "k_center", "fl_rbf"]
BUDGETS = [50, 200]
REASON = "New prompts are annotated within the day."


@pytest.fixture
def data() -> Path:
    root = Path(os.environ.get("EDSEL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    if not (root / "t0_pool.parquet").exists():
        pytest.skip(f"no data in {root}; set EDSEL_DATA")
    return root


def study_of(data: Path, folder: Path) -> dict[str, Any]:
    return {
        "name": "grown",
        "pool": {"path": str(folder)},
        "model": {"path": str(data / "models" / "tinystories-260k"), "threads": 1},
        "forward": {"max_new_tokens": 16, "max_prompt_tokens": 448},
        "clustering": {"counts": [8], "count": 8},
        "selection": {"strategies": STRATEGIES, "budgets": BUDGETS, "gamma": 0.1},
        "finetuning": {"seeds": 1, "random_seeds": 1},
        "evaluation": {"tasks": []},
        "triggers": [{"name": "new_prompts", "reason": REASON, "watch": ["pool"], "active": True}],
    }


def edsel(*arguments: str) -> str:
    command = [sys.executable, "-m", "edsel_assets.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs_of_the_trigger(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    return instance.get_run_records(dg.RunsFilter(tags={"edsel/trigger": "new_prompts"}))


def looks(instance: dg.DagsterInstance) -> list[Any]:
    """The ticks of the one sensor, oldest first."""
    states = instance.all_instigator_state()
    ticks = [
        tick for state in states for tick in instance.get_ticks(state.origin.get_id(), state.selector_id)
    ]
    return sorted(ticks, key=lambda tick: tick.timestamp)


def ended_looks(instance: dg.DagsterInstance) -> list[Any]:
    return [tick for tick in looks(instance) if tick.end_timestamp]


def wait_for(found: Any, seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"no {what} after {seconds:g} s"
        time.sleep(0.5)
    return value


def rows_new(instance: dg.DagsterInstance, since: float) -> int:
    """Prompts that went through the model since ``since``, as the materializations say."""
    total = 0
    for name in ("embeddings", "token_probabilities"):
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(name), after_timestamp=since), limit=10
        ).records
        total += sum(int(r.asset_materialization.metadata["rows_new"].value) for r in records)
    return total


@pytest.mark.slow
def test_a_new_file_gives_new_selections_within_two_minutes(data: Path, tmp_path: Path) -> None:
    folder, home, store = tmp_path / "pool", tmp_path / "home", tmp_path / "home" / "store" / "grown"
    folder.mkdir()
    table = pq.read_table(data / "t0_pool.parquet", columns=["prompt_id", "prompt", "response", "task"])
    keep = table.to_pandas().drop_duplicates("prompt_id").drop(columns=["prompt_id"])
    keep.iloc[:OLD].to_json(folder / "old.jsonl", orient="records", lines=True)
    keep.iloc[OLD : OLD + NEW].to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    study = tmp_path / "grown.yaml"
    study.write_text(yaml.safe_dump(study_of(data, folder)), encoding="utf-8")
    where = ["--study", str(study), "--home", str(home)]
    edsel("run", *where, "--only", "selections")
    edsel("order", *where, "--strategy", "fl_rbf", "--budget", str(ASKED))
    edsel("run", *where, "--only", "selections")
    asked = {row for file in (store / "orders").glob("*.parquet") for row in ids(file)}
    assert len(asked) == ASKED

    instance = dg.DagsterInstance.from_config(str(dagster_home(Home.at(home), "grown")))
    with serving(study, home):
        wait_for(lambda: ended_looks(instance), 120, "first look")
        time.sleep(35)  # at least one more look at what did not change
        assert not runs_of_the_trigger(instance), "nothing changed, so nothing starts"
        dropped = time.time()
        os.replace(tmp_path / "new.jsonl", folder / "new.jsonl")
        (run,) = wait_for(lambda: runs_of_the_trigger(instance), 60, "run")
        run_id = run.dagster_run.run_id
        wait_for(lambda: instance.get_run_by_id(run_id).is_finished, 300, "end of the run")
        (run,) = runs_of_the_trigger(instance)
        taken = run.end_time - dropped
        time.sleep(35)  # at least one more look after it
        assert len(runs_of_the_trigger(instance)) == 1, "started once"
        tell(store, instance, run, dropped)

    assert run.dagster_run.status is dg.DagsterRunStatus.SUCCESS
    tags = run.dagster_run.tags
    assert tags["edsel/cause"] == f"pool/new.jsonl appeared: {NEW} prompts joined the pool"
    assert tags["edsel/reason"] == REASON
    assert rows_new(instance, dropped) == NEW
    kept = Counter(row for file in (home / "rows").rglob("*.parquet") for row in ids(file))
    assert len(kept) == OLD + NEW
    assert set(kept.values()) == {1}, "no prompt went through the model twice"
    old = set(ids(store / "pool.parquet"))
    assert len(old) == OLD + NEW
    for budget in BUDGETS:
        for strategy in STRATEGIES:
            cell = Cell("selections", f"{budget:05d}|{strategy}")
            file = store.joinpath(cell.asset, *cell.parts).with_suffix(".json")
            assert file.stat().st_mtime > dropped, f"{cell} was not made again"
            picks = ids(file.with_suffix(".parquet"))
            assert len(picks) == budget
            assert not asked & set(picks), "nothing asked is asked again"
    assert taken < 120, f"{taken:.0f} s; the machine may have been busy"


def ids(file: Path) -> list[str]:
    return pq.read_table(file, columns=["prompt_id"])["prompt_id"].to_pylist()


def tell(store: Path, instance: dg.DagsterInstance, run: dg.RunRecord, dropped: float) -> None:
    """Print what happened when, in seconds after the file was dropped."""
    events = {
        "run created": run.create_timestamp.timestamp(),
        "run started": run.start_time,
        "run ended": run.end_time,
    }
    for tick in looks(instance):
        words = tick.skip_reason or f"asks for {', '.join(tick.run_ids)}"
        events[f"look: {words} ({tick.end_timestamp - tick.timestamp:.2f} s)"] = tick.timestamp
    for file in store.rglob("*.json"):
        if file.stat().st_mtime > dropped:
            events[f"made {file.relative_to(store).with_suffix('')}"] = file.stat().st_mtime
    for what, when in sorted(events.items(), key=lambda item: item[1]):
        print(f"{when - dropped:7.1f}  {what}")
