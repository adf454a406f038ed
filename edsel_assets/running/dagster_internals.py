"""Every use of Dagster's private modules, each with the reason; the rest of edsel imports ``dagster`` alone.

- ``RunLauncher``, ``QueuedRunCoordinator`` and their kin: Dagster documents classes of one's own in
  ``dagster.yaml`` but exports no base class for them.
- ``execute_run_iterator`` and ``InMemoryJob``: a run that the UI has created is carried out by a process
  that has its definitions at hand; the public entry points start a process or create another run.
- ``create_run_for_job`` with ``RemoteJobOrigin``: the public ``execute_in_process`` makes a run that belongs
  to no code location, and the UI leaves such runs out of its timeline and its jobs.
- ``DEFAULT_DAEMON_INTERVAL_SECONDS``: a backfill looks every 30 s for runs that it can start next, and
  there is no setting for that. A graph of a dozen levels would wait for minutes.
- ``execute_asset_backfill_iteration``: a backfill with a cell that a run left out on purpose ends as failed.
- ``asset_layer`` of a job: which assets a step makes.
- ``WorkspaceProcessContext`` and ``dagster_webserver``'s application: the command that starts the web server
  takes no middleware. The code server and the daemon are started by Dagster's own commands.
- ``SqliteEventLogStorage``: whether the log is SQLite's, and which file is a run's.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from edsel_assets.kinds import KINDS
from edsel_assets.kinds.assets import kind_of
from edsel_assets.planning.cells import Cell
from edsel_assets.study import Study

if TYPE_CHECKING:
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from starlette.types import ASGIApp

__all__ = [
    "ALLOW_MISSING",
    "CODE_SERVER",
    "DAEMON",
    "DEVICE_POOL",
    "LOCATION",
    "STORE",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "LaunchRunContext",
    "QueuedRunCoordinator",
    "RunLauncher",
    "WorkerStatus",
    "asset_key",
    "asset_of",
    "carry_out",
    "cells_of_run",
    "cells_of_step",
    "leave_out_of_backfills",
    "named",
    "new_run",
    "orders_of",
    "pass_over",
    "quicken_backfills",
    "sqlite_log",
    "unfinished_runs",
    "web_application",
]

#: The module that holds the definitions, which is also the name of their code location.
LOCATION = "edsel_assets.definitions"

#: Modules and words that start Dagster's own processes.
CODE_SERVER = ("dagster", "code-server", "start", "-m", LOCATION, "--log-level", "warning")
DAEMON = ("dagster._daemon", "run")
_POLL = 2000  # ms between two looks of a page at what changed

#: The event log keeps everything; the terminal is for progress.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

#: Input metadata of an asset that can do with the partitions there are.
ALLOW_MISSING = "allow_missing_partitions"


#: Concurrency pool of the assets that hold a model in memory and want the device, GPU or CPU, for themselves.
DEVICE_POOL = "model"

#: Metadata of definitions: where the study's artifacts lie.
STORE = "edsel/store"


def sqlite_log() -> type["SqliteEventLogStorage"]:
    """The class of a log that is SQLite's; imported late, as it takes as long as half of Dagster."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    return SqliteEventLogStorage


def named(study: Study, name: str) -> str:
    """What a job, a resource or a group of a study is called in Dagster."""
    return f"{study.prefix}_{name}" if study.prefix else name


def orders_of(study: str) -> str:
    """Name of the partitions that are a study's orders."""
    return f"orders_{study}"


def asset_key(study: Study, asset: str) -> dg.AssetKey:
    """The key of a study's asset in Dagster."""
    return dg.AssetKey([*([study.prefix] if study.prefix else []), *asset.split("/")])


def asset_of(study: Study, key: dg.AssetKey) -> str | None:
    """The name of the study's asset that has this key; None for another's."""
    parts = key.path
    if study.prefix:
        if parts[0] != study.prefix:
            return None
        parts = parts[1:]
    name = "/".join(parts)
    return name if name and kind_of(name) in KINDS else None


def quicken_backfills(seconds: int) -> None:
    """Have the daemon of this process look for the next runs of a backfill so often."""
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = seconds


def leave_out_of_backfills(tag: str) -> None:
    """Have the daemon of this process count as done what a run of a backfill with this tag did not make.

    Dagster waits for it for ever, and then calls the backfill failed, though the run is not. What needs such
    a cell is asked for next, and its run leaves it out likewise.
    """
    from dagster._daemon import backfill as daemon

    original = daemon.execute_asset_backfill_iteration
    if getattr(original, "leaves_out", None) == tag:
        return

    async def iteration(backfill: Any, logger: Any, workspace: Any, instance: dg.DagsterInstance) -> None:
        graph = workspace.create_request_context().asset_graph
        await original(_with_left_out(backfill, graph, instance, tag), logger, workspace, instance)

    iteration.leaves_out = tag  # type: ignore[attr-defined]
    daemon.execute_asset_backfill_iteration = iteration  # type: ignore[assignment]


def _with_left_out(backfill: Any, graph: Any, instance: dg.DagsterInstance, tag: str) -> Any:
    """The backfill with what its successful runs with the tag left out as done; kept so."""
    from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
    from dagster._core.definitions.events import AssetKeyPartitionKey

    data = backfill.get_asset_backfill_data(graph)
    open_still = data.target_subset - data.materialized_subset
    of_it = dg.RunsFilter(
        tags={"dagster/backfill": backfill.backfill_id}, statuses=[dg.DagsterRunStatus.SUCCESS]
    )
    left_out = {
        AssetKeyPartitionKey(key, run.tags.get("dagster/partition"))
        for run in instance.get_runs(filters=of_it)
        if tag in run.tags
        for key in run.asset_selection or ()
        if AssetKeyPartitionKey(key, run.tags.get("dagster/partition")) in open_still
        and key not in _made_by(instance, run)
    }
    if not left_out:
        return backfill
    done = data.materialized_subset | AssetGraphSubset.from_asset_partition_set(left_out, graph)
    data = data._replace(materialized_subset=done)
    backfill = backfill.with_asset_backfill_data(data, dynamic_partitions_store=instance, asset_graph=graph)
    instance.update_backfill(backfill)
    return backfill


def _made_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[dg.AssetKey | None]:
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {entry.dagster_event.asset_key for entry in entries if entry.dagster_event}


def pass_over(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """End a run of the UI as a success that made nothing."""
    instance.report_engine_event(why, run)
    kind = dg.DagsterEventType.RUN_SUCCESS.value
    instance.report_dagster_event(dg.DagsterEvent(kind, run.job_name, message=why), run.run_id)


def cells_of_run(study: Study, run: dg.DagsterRun) -> list[Cell]:
    """The study's cells that a run of assets makes; none for a run of a job of ops."""
    partition = run.tags.get("dagster/partition")
    return sorted(_cells(study, run.asset_selection or (), partition))


def cells_of_step(study: Study, step: Any) -> list[Cell]:
    """The cells that the step of a ``StepExecutionContext`` makes."""
    made = step.job_def.asset_layer.get_assets_def_for_node(step.node_handle)
    partition = step.partition_key if step.has_partition_key else None
    return list(_cells(study, made.keys if made else (), partition))


def _cells(study: Study, keys: Iterable[dg.AssetKey], partition: str | None) -> Iterator[Cell]:
    names = (asset_of(study, key) for key in keys)
    return (Cell(name, partition) for name in names if name is not None)


def new_run(
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    run_id: str,
    partition: str | None,
    tags: Mapping[str, str],
) -> dg.DagsterRun:
    """A run of assets that the UI takes for one of its own, not started yet."""
    location = RegisteredCodeLocationOrigin(LOCATION)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name)
    keys = frozenset(job.asset_layer.executable_asset_keys)
    partitioned = dict(job.get_tags_for_partition_key(partition, keys)) if partition else {}
    return instance.create_run_for_job(
        job,
        run_id=run_id,
        run_config=_QUIET,
        tags={**partitioned, **tags},
        asset_selection=keys,
        remote_job_origin=origin,
    )


def carry_out(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    job: dg.JobDefinition | None = None,
) -> list[dg.DagsterEvent]:
    """Carry out a run that exists already, in this process; its events.

    Args:
        job: the job cut down to what the run makes, where it is at hand.
    """
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import execute_run_iterator

    if job is None:
        job = definitions.resolve_job_def(run.job_name)
        if run.asset_selection or run.asset_check_selection:
            job = job.get_subset(
                asset_selection=run.asset_selection, asset_check_selection=run.asset_check_selection
            )
    return list(execute_run_iterator(InMemoryJob(job), run, instance))


def unfinished_runs(instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    """Runs that the log calls running."""
    running = dg.DagsterRunStatus
    statuses = [running.STARTING, running.STARTED, running.CANCELING]
    yield from instance.get_runs(filters=dg.RunsFilter(statuses=statuses))


@contextmanager
def web_application(workspace: Path) -> Iterator[tuple["ASGIApp", dg.DagsterInstance]]:
    """Dagster's web application, on the instance of DAGSTER_HOME and the locations of a workspace file."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    target = WorkspaceFileTarget([str(workspace)])
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target, version=__version__) as context,
    ):
        yield create_app_from_workspace_process_context(context, live_data_poll_rate=_POLL), instance
