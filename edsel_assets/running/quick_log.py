"""The log of a run is written without waiting for the disk at every event.

Dagster gives each run a database of its own, which is made table by table and opened anew for each event, and
it waits each time until the disk has it: most of the time of a cheap cell. Here the database of a run begins
as a copy of an empty one and is never waited for. A power cut may thus cost the log of the run under way,
which decides nothing; a process that is killed loses nothing. What all runs share is left as it is.
"""

import sqlite3
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.running.dagster_internals import sqlite_log

_SHARED = "index"
#: Where the databases of runs lie.
_FOLDERS: set[Path] = set()


def quicken_log(instance: dg.DagsterInstance) -> None:
    """Write the logs of runs so from now on in this process; does nothing for a log that is not SQLite's."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine  # slow to import, and no part of loading the definitions

    storage = instance.event_log_storage
    if isinstance(storage, sqlite_log()):
        _FOLDERS.add(_file(storage, _SHARED).parent)
        if not event.contains(Engine, "connect", _wait_less):
            event.listen(Engine, "connect", _wait_less)


def begin_log(instance: dg.DagsterInstance, run_id: str) -> None:
    """Make the empty log of a run that is about to be created."""
    storage = instance.event_log_storage
    if isinstance(storage, sqlite_log()):
        with _file(storage, run_id).open("xb") as file:
            file.write(_empty_log())


@lru_cache(maxsize=1)
def _empty_log() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        _FOLDERS.add(folder)
        storage = sqlite_log()(str(folder))
        with storage.run_connection("empty"):
            pass
        _FOLDERS.remove(folder)
        return _file(storage, "empty").read_bytes()


def _file(storage: Any, shard: str) -> Path:
    return Path(storage.path_for_shard(shard)).resolve()


def _wait_less(connection: Any, _: Any) -> None:
    """Called by SQLAlchemy with each connection that it opens."""
    if not isinstance(connection, sqlite3.Connection):
        return
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    if path.parent in _FOLDERS and path.stem != _SHARED:
        connection.execute("PRAGMA synchronous = OFF")
