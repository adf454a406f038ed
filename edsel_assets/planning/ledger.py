"""The ledger of a cell: what it holds, what it was made from, by what. ``NAME.json`` beside the artifact.

It is written last, so an artifact with a ledger is whole, and it is the only source of what is fresh.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edsel_assets.planning.cells import Cell
from edsel_assets.store import Store, StoreError, checked_json, content_hash, read_checked_json

FORMAT = 2
_MARKER = "edsel.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredFile(_Record):
    """One file of an artifact: bytes, time of change in ns since 1970, checksum of its bytes."""

    bytes: int
    modified: int
    checksum: str


class InputRead(_Record):
    """An input as it was read.

    Attributes:
        content: hash of the whole value.
        columns: hash of each column that was read, where not the whole was; empty where nothing was.
        rows: its number of rows.
    """

    content: str
    columns: dict[str, str] | None = None
    rows: int | None = None


class Ledger(_Record):
    """All that decides a cell, as it was when the cell was made.

    Attributes:
        content: hash of the value.
        columns: hash of each column of a table, and of its parts that are read alone.
        files: by name, beside the ledger.
        inputs: by cell, as read.
        settings: by dotted name, as in the study file.
        resolved: by dotted name, what settings that may be auto came to.
        external: files outside the store by name, as hashes.
        code: version of the code that makes this kind of cell.
        libraries: versions of the libraries that decide the value.
        seed: of its random draws; None where there are none.
        device, threads, seconds, peak_memory: by and in which it was made; memory in bytes.
        made: when, in UTC.
    """

    format: Literal[2] = 2
    asset: str
    partition: str | None
    content: str
    columns: dict[str, str] | None = None
    rows: int | None = None
    files: dict[str, StoredFile]
    inputs: dict[str, InputRead] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    resolved: dict[str, Any] = Field(default_factory=dict)
    external: dict[str, str] = Field(default_factory=dict)
    code: str
    libraries: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    device: str
    threads: int
    seconds: float
    peak_memory: int | None = None
    made: datetime
    run: str
    host: str
    edsel: str


def read_ledger(store: Store, cell: Cell) -> Ledger | None:
    """The ledger of a cell; None where the cell was never made.

    Raises:
        StoreError: for a file that is no ledger.
    """
    name = store.ledger(cell)
    try:
        return _parsed(store.read(name))
    except FileNotFoundError:
        return None
    except ValueError as error:
        why = f"{error.error_count()} faults" if isinstance(error, ValidationError) else str(error)
        raise StoreError(
            f"{store.path(name)} is no ledger of this version of edsel ({why}). Delete it and run again: its "
            "cell is then made afresh."
        ) from error


def _parsed(data: bytes) -> Ledger:
    return Ledger.model_validate(read_checked_json(data))


def write_ledger(store: Store, ledger: Ledger) -> None:
    """Write the ledger of a cell beside its artifact, atomically."""
    fields = json.loads(ledger.model_dump_json())
    store.write(store.ledger(Cell(ledger.asset, ledger.partition)), checked_json(fields))


def withdraw_ledger(store: Store, cell: Cell) -> None:
    """Remove a cell's ledger before its artifact is replaced: a half-made cell counts as not made."""
    store.delete(store.ledger(cell))


def stored_files(paths: Mapping[str, Path]) -> dict[str, StoredFile]:
    """Size, time and checksum of each file, by name."""
    return {name: stored_file(path) for name, path in sorted(paths.items())}


def stored_file(path: Path) -> StoredFile:
    status = path.stat()
    return StoredFile(bytes=status.st_size, modified=status.st_mtime_ns, checksum=content_hash(path))


def damage(store: Store, ledger: Ledger, *, thorough: bool = False) -> list[str]:
    """What is wrong with the files of a cell, in words; empty where they are as they were written.

    A file whose size and time of change are as recorded is taken to be whole unless ``thorough``.
    """
    cell, found = Cell(ledger.asset, ledger.partition), []
    for name, expected in ledger.files.items():
        file = store.beside_ledger(cell, name)
        try:
            status = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            found.append(f"{name} is gone")
            continue
        if status.st_size != expected.bytes:
            found.append(f"{name} has {status.st_size} bytes, not {expected.bytes}")
            continue
        suspect = thorough or status.st_mtime_ns != expected.modified
        if suspect and content_hash(file) != expected.checksum:
            found.append(f"checksum of {name} differs")
    return found


def check_store(store: Store) -> None:
    """Refuse a store that another version of edsel made, and what is no store.

    Raises:
        StoreError: in one line, with what to do.
    """
    for folder in (store.folder.parent, store.folder):
        try:
            wrong = folder.exists() and not folder.is_dir()
        except OSError as error:
            raise StoreError(f"Cannot read {folder}: {error.strerror}. Set EDSEL_HOME elsewhere.") from error
        if wrong:
            raise StoreError(f"{folder} should be a folder. Move it away, or set EDSEL_HOME elsewhere.")
    if store.exists(_MARKER):
        return _check_format(store)
    if not store.list("[!.]*") or _holds_ledgers(store):
        return None
    raise StoreError(
        f"{store} was made by a version of edsel that kept no ledgers, so nobody can say what of it is "
        "fresh. Set EDSEL_HOME to a new folder, or remove this one."
    )


def _holds_ledgers(store: Store) -> bool:
    """Whether a store has a ledger of a cell or an order, though its marker is lost."""
    if store.placed_orders():
        return True
    for name in store.list("**/*.json"):
        with suppress(ValueError):
            _parsed(store.read(name))
            return True
    return False


def _check_format(store: Store) -> None:
    marker = store.path(_MARKER)
    try:
        content = json.loads(store.read(_MARKER))
        found = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f'{marker} is damaged. Restore it from a backup, or write {{"format": {FORMAT}}} into it if this '
            "version of edsel made the store."
        ) from error
    if found != FORMAT:
        raise StoreError(
            f"{marker} says format {found!r}, and this version of edsel reads {FORMAT}. Use the version that "
            "made it, or set EDSEL_HOME to a new folder."
        )


def mark_store(store: Store) -> None:
    """Write which format a store has; once."""
    store.create(_MARKER, f'{{"format": {FORMAT}}}\n'.encode())


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
