"""Dagster's event log on SQLite, written without waiting for the disk at every event.

As Dagster has it, each event opens a database anew and waits until the disk has it, and each run begins
with a database of its own that is made table by table: most of the time of a cheap cell. Here a run's
database begins as a copy of an empty one and is never waited for; those that all runs share stay open, and
wait only now and then. A power cut may thus cost the log of the run under way, and damages none that is
shared. The log decides nothing, and a process that is killed loses nothing.
"""

import sqlite3
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine

from edsel_assets.running.dagster_internals import SqliteEventLogStorage

#: Databases that all runs of an instance share, and the folders of those of a single run.
_SHARED: set[Path] = set()
_FOLDERS: set[Path] = set()


def quicken_log(instance: dg.DagsterInstance) -> None:
    """Write the log of ``instance`` so from now on in this process; does nothing for a log elsewhere."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return
    index = _file(storage, "index")
    shared = [path for path in (index, index.parents[1] / "runs.db") if path.exists()]
    _SHARED.update(shared)
    _FOLDERS.add(index.parent)
    if not event.contains(Engine, "connect", _wait_less):
        event.listen(Engine, "connect", _wait_less)
    for path in shared:
        weakref.finalize(instance, _open(path).close)


def begin_log(instance: dg.DagsterInstance, run_id: str) -> None:
    """Make the empty log of a run that is about to be created."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        with _file(storage, run_id).open("xb") as file:
            file.write(_empty_log())


@lru_cache(maxsize=1)
def _empty_log() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        _FOLDERS.add(folder)
        storage = SqliteEventLogStorage(str(folder))
        with storage.run_connection("empty"):
            pass
        _FOLDERS.remove(folder)
        return _file(storage, "empty").read_bytes()


def _file(storage: SqliteEventLogStorage, shard: str) -> Path:
    return Path(storage.path_for_shard(shard)).resolve()


def _wait_less(connection: Any, _: Any) -> None:
    """Called by SQLAlchemy with each connection that it opens."""
    if not isinstance(connection, sqlite3.Connection):
        return
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    if path in _SHARED:
        connection.execute("PRAGMA synchronous = NORMAL")  # with a write-ahead log safe against damage
    elif path.parent in _FOLDERS:
        connection.execute("PRAGMA synchronous = OFF")


def _open(path: Path) -> sqlite3.Connection:
    """A connection that reads nothing: while there is one, closing another does not wait for the disk."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection
