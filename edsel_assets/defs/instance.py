"""A study's Dagster instance under ``$EDSEL_HOME/dagster/STUDY``, made with sound settings where absent."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

_LEAST_FREE = 64 << 20  # bytes: SQLite's own words for a full disk help nobody

#: Tag of the runs that ``edsel run`` makes, as against the UI's.
OWNER_TAG = "edsel/owner"

_SETTINGS = """\
# Written by edsel when it is absent; yours to edit.
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
  # Without it a killed run holds its slot of a pool for ever.
  free_slots_after_run_end_seconds: 60
concurrency:
  pools:
    default_limit: 1
  runs:
    max_concurrent_runs: 2
"""


def dagster_home(home: Path, study: str) -> Path:
    """DAGSTER_HOME of ``study``, with its dagster.yaml.

    Studies have assets of the same names: in one event log each would make the other's stale.
    """
    folder = home / "dagster" / study
    settings = folder / "dagster.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            settings.write_text(_SETTINGS, encoding="utf-8")
    except OSError as error:
        raise _unwritable(home, error) from error
    return folder


def _unwritable(home: Path, error: OSError) -> OSError:
    return OSError(
        f"Cannot write in {home}: {error.strerror}. Name a folder to write in by --home or EDSEL_HOME."
    )


def open_instance(home: Path, study: str) -> dg.DagsterInstance:
    """The instance, and DAGSTER_HOME set for whatever this process starts."""
    folder = dagster_home(home, study)
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    return dg.DagsterInstance.from_config(str(folder))


class Busy(RuntimeError):
    """Another run works on the same home."""


@contextmanager
def exclusive(home: Path) -> Iterator[int]:
    """Only one ``edsel run`` per home: the lock's descriptor, which goes when its holders end."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "run.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(home, error) from error
    with file as lock:
        free = shutil.disk_usage(home).free
        if free < _LEAST_FREE:
            raise OSError(
                f"Only {free >> 20} MiB are free in {home}; a run's log alone takes {_LEAST_FREE >> 20}. "
                "Free some space or set EDSEL_HOME to a larger disk."
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"Another edsel run is at work in {home}; wait for it, or set EDSEL_HOME.") from None
        yield lock.fileno()


def bury_dead_runs(instance: dg.DagsterInstance) -> int:
    """End the runs of an ``edsel run`` that was killed, and free the slots they hold; how many.

    Call under ``exclusive``: then no such run can be alive. Runs started in the UI are left to
    Dagster's own monitoring.
    """
    unfinished = [s for s in dg.DagsterRunStatus if s not in FINISHED_STATUSES]
    dead = instance.get_runs(filters=dg.RunsFilter(statuses=unfinished, tags={OWNER_TAG: "cli"}))
    for run in dead:
        instance.report_run_failed(run, "The process that ran it was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(dead)
