"""How the UI's runs are carried out: by workers that stay, so that a cheap run costs no start of Python.

Dagster's own launcher starts a process for each run, which takes 3 to 4 seconds to import what a run needs.
"""

import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

import dagster as dg

from edsel_assets.running.dagster_internals import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    LaunchRunContext,
    QueuedRunCoordinator,
    RunLauncher,
    WorkerStatus,
    leave_out_of_backfills,
    quicken_backfills,
)
from edsel_assets.running.instance import WAITS_TAG, WORKER_TAG
from edsel_assets.running.workers import Worker, WorkerDied, WorkerPool
from edsel_assets.store.locks import is_held
from edsel_assets.store.places import DagsterHome

_BACKFILL_SECONDS = 2
_MOST = 64  # workers; the run coordinator's limit is the one that counts


class RunQueue(QueuedRunCoordinator):
    """Dagster's own queue. An instance loads it first of all, so the daemon learns its ways here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        quicken_backfills(_BACKFILL_SECONDS)
        leave_out_of_backfills(WAITS_TAG)
        super().__init__(*args, **kwargs)


class WorkerLauncher(RunLauncher, ConfigurableClass):
    """Hands each run to an idle worker, or to a new one."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._pool: WorkerPool | None = None
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "WorkerLauncher":
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        run, instance = context.dagster_run, self._instance
        if self._pool is None:
            self._pool = WorkerPool({"study": None, "home": str(DagsterHome.of(instance).home)}, _MOST)

        def began(worker: Worker) -> None:
            instance.add_run_tags(run.run_id, {WORKER_TAG: f"{socket.gethostname()} {worker.pid}"})

        def done(answer: dict[str, Any] | WorkerDied) -> None:
            reason = str(answer) if isinstance(answer, WorkerDied) else answer.get("failed")
            current = instance.get_run_by_id(run.run_id)
            if reason and current is not None and not current.is_finished:
                instance.report_run_failed(current, f"Not carried out: {reason}.")

        self._pool.submit({"run": run.run_id}, done, began)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or WORKER_TAG not in run.tags:
            return False
        host, _, process = run.tags[WORKER_TAG].rpartition(" ")
        if host != socket.gethostname() or not self._lives(run):
            return False
        self._instance.report_run_canceling(run)
        os.kill(int(process), signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if self._lives(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The process that ran it is gone.")

    def dispose(self) -> None:
        """Leave the workers: each ends with the run at hand, which may have taken hours by now."""
        if self._pool is not None:
            self._pool.leave()
            self._pool = None

    def _lives(self, run: dg.DagsterRun) -> bool:
        return is_held(DagsterHome.of(self._instance).run_lease(run.run_id))
