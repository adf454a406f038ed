"""A study's Dagster instance under ``$EDSEL_HOME/dagster/STUDY``, made with sound settings where absent.

Its log shows history and lineage; it decides nothing.
"""

import os
import shutil
import socket
import sqlite3
from collections.abc import Collection
from pathlib import Path

import dagster as dg
import yaml

from edsel_assets.machine import models_at_once
from edsel_assets.running.dagster_internals import asset_key, orders_of, unfinished_runs
from edsel_assets.running.quick_log import quicken_log
from edsel_assets.store.locks import hold, is_held
from edsel_assets.store.places import DagsterHome, Home, Store
from edsel_assets.study import Study

#: Metadata of an asset that is told at the end of a run: text, one remark a line.
REMARKS = "remarks"

_RUNS = 2  # of the UI at the same time
_FULL = 1 << 20  # bytes
_LEAST_FREE = 64 << 20  # bytes: SQLite's own words for a full disk help nobody

#: Tag that says why a run makes its cells, as the planner found it.
REASON_TAG = "edsel/reason"

#: Tag that says what cells of a run wait for, which it therefore left out.
WAITS_TAG = "edsel/waits"

#: Tag that says where a run of the UI is carried out: "HOST PROCESS".
WORKER_TAG = "edsel/worker"

#: What the UI shows under "Launched by", of runs that a command asked for.
BY_COMMAND = {"user": "edsel run"}


def by_job(name: str, run_id: str) -> dict[str, str]:
    """Tags of the runs that a job of the UI asked for."""
    return {"user": f"job {name}", "edsel/job_run": run_id}


_SETTINGS = """\
# Written by edsel when it is absent; yours to edit.
telemetry:
  enabled: false
nux:
  enabled: false
run_launcher:
  # Hands runs to processes that have the libraries and the model loaded already.
  module: edsel_assets.running.launcher
  class: WorkerLauncher
run_coordinator:
  module: edsel_assets.running.launcher
  class: RunQueue
  config:
    dequeue_interval_seconds: 1
compute_logs:
  # Capturing what steps print starts four processes a step; edsel's steps write to the run's log.
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
run_monitoring:
  enabled: true
  # Without it a killed run holds its slot of a pool for ever.
  free_slots_after_run_end_seconds: 60
concurrency:
  pools:
    # Runs of the pool "model" at the same time: those that hold a model in memory, whatever started them.
    # One GPU: 1.
    default_limit: {models}
    granularity: run
  runs:
    max_concurrent_runs: {runs}
"""


def dagster_home(home: Home, study: str) -> DagsterHome:
    """DAGSTER_HOME of ``study``, with its dagster.yaml.

    Studies have assets of the same names: in one event log each would make the other's history unreadable.
    What the file says of runs that hold a model is for all, see ``running.leases``; the rest is for the UI.
    """
    folder = home.dagster(study)
    settings = folder.settings
    try:
        folder.folder.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            text = _SETTINGS.format(models=models_at_once(), runs=_RUNS)
            settings.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(
            f"Cannot write in {home}: {error.strerror}. Name a folder to write in by --home or EDSEL_HOME."
        ) from error
    return folder


def open_instance(home: Home, study: str) -> dg.DagsterInstance:
    """The instance, and DAGSTER_HOME set for whatever this process starts.

    Raises:
        OSError: where the disk is full or cannot be written.
    """
    folder = dagster_home(home, study)
    free = shutil.disk_usage(home.folder).free
    if free < _LEAST_FREE:
        raise OSError(
            f"Only {free >> 20} MiB are free in {home}; a run's log alone takes {_LEAST_FREE >> 20}. "
            "Free some space or set EDSEL_HOME to a larger disk."
        )
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    try:
        # Two that make the tables of a new log at the same time get in each other's way.
        with hold(folder.log_lease, "the log is being opened"):
            instance = dg.DagsterInstance.from_config(str(folder))
    except (yaml.YAMLError, dg.DagsterInvalidConfigError) as error:
        raise ValueError(
            f"{folder.settings} cannot be used: {_what_is_wrong(error)}. Repair it, or remove it: "
            "edsel writes it anew."
        ) from error
    quicken_log(instance)
    show_orders(instance, home.store(study))
    return instance


def log_failure(error: Exception) -> str | None:
    """What a failure of Dagster's databases means, in one line; None for another failure.

    They hold history and lineage alone, so removing them loses no result.
    """
    cause = getattr(error, "orig", error)
    if not isinstance(cause, sqlite3.Error):
        return None
    folder, reason = os.environ.get("DAGSTER_HOME", "EDSEL_HOME/dagster"), _first_line(cause)
    # A full disk may look like a broken one.
    if "disk is full" in reason or (Path(folder).exists() and shutil.disk_usage(folder).free < _FULL):
        remedy = "Free some space or set EDSEL_HOME to a larger disk."
    elif "readonly" in reason or "unable to open" in reason:
        remedy = "Grant write permission or set EDSEL_HOME to a folder of your own."
    elif "I/O" in reason or "locked" in reason:
        remedy = "Check the disk, or set EDSEL_HOME to another."
    else:
        remedy = "Move its folders history and schedules away: they hold no results, and are made anew."
    return f"The log in {folder} cannot be used: {reason}. {remedy}"


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, dg.DagsterInvalidConfigError) and error.errors:
        return error.errors[0].message.partition(" Expected:")[0].rstrip(".")
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def show_orders(instance: dg.DagsterInstance, store: Store) -> None:
    """Make the UI's partitions of orders what the store's orders are; the store alone decides."""
    placed, partitions = store.order_names(), orders_of(store.name)
    shown = instance.get_dynamic_partitions(partitions)
    for name in set(shown) - set(placed):
        instance.delete_dynamic_partition(partitions, name)
    added = [name for name in placed if name not in shown]
    if added:
        instance.add_dynamic_partitions(partitions, added)


def fail_orphaned_runs(instance: dg.DagsterInstance) -> int:
    """End the runs whose process is gone, and free the slots they hold; how many.

    A run of edsel holds a lease that ends with its process; a worker that ends before it takes the lease has
    left its number with the run. A run without either was started by something else and is left to
    Dagster's own monitoring.
    """
    folder = DagsterHome.of(instance)
    orphans = [run for run in unfinished_runs(instance) if _is_orphan(folder, run)]
    ended = 0
    for run in orphans:
        current = instance.get_run_by_id(run.run_id)
        if current is None or current.is_finished:
            continue  # it came to its end between the two looks
        instance.report_run_failed(run, "The process that ran it is gone.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended += 1
    return ended


def _is_orphan(folder: DagsterHome, run: dg.DagsterRun) -> bool:
    lease = folder.run_lease(run.run_id)
    if lease.exists():
        return not is_held(lease)
    host, _, process = run.tags.get(WORKER_TAG, "").rpartition(" ")
    return host == socket.gethostname() and not _is_alive(int(process))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def going_on(instance: dg.DagsterInstance) -> dict[str, int]:
    """Runs that the UI started and that are being carried out on this machine now, with their processes."""
    folder, found = DagsterHome.of(instance), {}
    for run in unfinished_runs(instance):
        host, _, process = run.tags.get(WORKER_TAG, "").rpartition(" ")
        if host == socket.gethostname() and is_held(folder.run_lease(run.run_id)):
            found[run.run_id] = int(process)
    return found


def remarks(instance: dg.DagsterInstance, study: Study, assets: Collection[str]) -> dict[str, list[str]]:
    """What those of ``assets`` that were just made have to say to a person, line by line."""
    found = {}
    for asset in sorted(assets):
        event = instance.get_latest_materialization_event(asset_key(study, asset))
        shown = event.asset_materialization.metadata if event and event.asset_materialization else {}
        if REMARKS in shown:
            found[asset] = str(shown[REMARKS].value).splitlines()
    return found


def prompts_read(
    instance: dg.DagsterInstance, study: Study, assets: Collection[str]
) -> dict[str, tuple[int, int]]:
    """Prompts that the model read, by asset: (new, reused), of those of ``assets`` that tell."""
    found = {}
    for asset in sorted(assets):
        event = instance.get_latest_materialization_event(asset_key(study, asset))
        shown = event.asset_materialization.metadata if event and event.asset_materialization else {}
        if "rows_new" in shown and "rows_reused" in shown:
            new, reused = (shown[name].value for name in ("rows_new", "rows_reused"))
            found[asset] = (int(str(new)), int(str(reused)))
    return found
