"""The event log is Dagster's own, only written sooner: read by other processes, whole after a kill."""

import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import create_engine, text

from edsel_assets.running.dagster_internals import carry_out, new_run
from edsel_assets.running.instance import open_instance
from edsel_assets.running.quick_log import begin_log, quicken_log
from edsel_assets.store import Home

#: Makes a run of one asset, begins the log of another, says the id of the first, and is killed.
RUN_AND_DIE = """
import os, signal, sys, uuid
from pathlib import Path
from edsel_assets_tests.running.test_quick_log import run_once
from edsel_assets.running.instance import open_instance
from edsel_assets.store import Home

print(run_once(open_instance(Home.at(sys.argv[1]), "study"), str(uuid.uuid4())), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@dg.asset
def number() -> int:
    return 1


def run_once(instance: dg.DagsterInstance, run_id: str) -> str:
    definitions = dg.Definitions(assets=[number], executor=dg.in_process_executor)
    job = definitions.resolve_implicit_global_asset_job_def()
    begin_log(instance, run_id)
    events = carry_out(definitions, instance, new_run(instance, job, run_id, None, {}), job)
    assert events[-1].event_type is dg.DagsterEventType.RUN_SUCCESS
    return run_id


def kinds(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [e.dagster_event.event_type_value for e in instance.all_logs(run_id) if e.dagster_event]


def waits(path: Path) -> int:
    """SQLite's ``synchronous`` of a connection as Dagster opens it: 0 off, 1 normal, 2 full."""
    with create_engine(f"sqlite:///{path}").connect() as connection:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def test_what_a_killed_process_has_logged_is_read_by_dagster_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_DIE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    run_id = done.stdout.strip()
    plain = dg.DagsterInstance.from_config(str(tmp_path / "dagster" / "study"))  # without our hand in it
    with plain:
        found = kinds(plain, run_id)
        assert found[-1] == "PIPELINE_SUCCESS"
        assert found.count("ASSET_MATERIALIZATION") == 1
        assert plain.get_latest_materialization_event(dg.AssetKey("number")).run_id == run_id
        run = plain.get_run_by_id(run_id)
        assert run is not None
        assert run.is_success


def test_a_log_that_began_as_a_copy_is_as_dagster_makes_it(tmp_path: Path) -> None:
    def shape(path: Path) -> list[tuple[str, str]]:
        with sqlite3.connect(path) as connection:
            tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
            revision = connection.execute("SELECT * FROM alembic_version").fetchall()
            return [*tables, *revision]

    with open_instance(Home.at(tmp_path), "study") as instance:
        storage = instance.event_log_storage
        begin_log(instance, "copied")
        assert kinds(instance, "copied") == []
        with storage.run_connection("own"):
            pass
        assert shape(Path(storage.path_for_shard("copied"))) == shape(Path(storage.path_for_shard("own")))
        assert sorted(storage.get_all_run_ids()) == ["copied", "own"]
        with pytest.raises(FileExistsError):
            begin_log(instance, "own")


def test_shared_databases_stay_safe_and_others_are_left_alone(tmp_path: Path) -> None:
    with open_instance(Home.at(tmp_path), "study") as instance:
        run_id = run_once(instance, str(uuid.uuid4()))
        folder = tmp_path / "dagster" / "study" / "history"
        assert waits(folder / "runs" / f"{run_id}.db") == 0
        assert waits(folder / "runs" / "index.db") == waits(folder / "runs.db") == 2
    elsewhere = tmp_path / "elsewhere.db"
    assert waits(elsewhere) == 2


def test_a_log_that_is_not_in_files_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        quicken_log(instance)
        run_once(instance, str(uuid.uuid4()))
