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

from edsel_assets.planning.cells import Cell, cell_path, with_suffix
from edsel_assets.store import StoreError, atomic_path, content_hash

FORMAT = 2
_MARKER = "edsel.json"
_SUFFIXES = (".parquet", ".safetensors", ".txt", ".md", ".tex", ".csv", ".html")


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


def ledger_file(root: Path, cell: Cell) -> Path:
    return with_suffix(cell_path(root, cell), ".json")


def read_ledger(root: Path, cell: Cell) -> Ledger | None:
    """The ledger of a cell; None where the cell was never made.

    Raises:
        StoreError: for a file that is no ledger.
    """
    path = ledger_file(root, cell)
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(
            f"{path} is no ledger of this version of edsel ({error.error_count()} faults). Delete it and run "
            "again: its cell is then made afresh."
        ) from error


def write_ledger(root: Path, ledger: Ledger) -> Path:
    """Write the ledger of a cell beside its artifact, atomically."""
    path = ledger_file(root, Cell(ledger.asset, ledger.partition))
    with atomic_path(path) as temporary:
        temporary.write_text(ledger.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def withdraw_ledger(root: Path, cell: Cell) -> None:
    """Remove a cell's ledger before its artifact is replaced: a half-made cell counts as not made."""
    ledger_file(root, cell).unlink(missing_ok=True)


def stored_files(paths: Mapping[str, Path]) -> dict[str, StoredFile]:
    """Size, time and checksum of each file, by name."""
    return {name: stored_file(path) for name, path in sorted(paths.items())}


def stored_file(path: Path) -> StoredFile:
    status = path.stat()
    return StoredFile(bytes=status.st_size, modified=status.st_mtime_ns, checksum=content_hash(path))


def artifact_files(path: Path) -> dict[str, Path]:
    """The files of the artifact at ``path`` (without suffix), by their name beside the ledger."""
    # The table ``orders`` lies beside the folder of the orders themselves, which is no part of it.
    if path.is_dir() and not with_suffix(path, ".parquet").exists():
        return {f.relative_to(path.parent).as_posix(): f for f in sorted(path.rglob("*")) if f.is_file()}
    return {f.relative_to(path.parent).as_posix(): f for f in table_files(path)}


def table_files(path: Path) -> list[Path]:
    """The files of a table at ``path``, with what belongs beside it; never those of a folder of its name."""
    candidates = [*(with_suffix(path, suffix) for suffix in _SUFFIXES), items_file(path)]
    return [file for file in candidates if file.is_file()]


def items_file(path: Path) -> Path:
    """Where the finer table of the artifact at ``path`` lies: apart, so that a folder's tables are alike."""
    return path.parent / "items" / f"{path.name}.parquet"


def damage(root: Path, ledger: Ledger, *, thorough: bool = False) -> list[str]:
    """What is wrong with the files of a cell, in words; empty where they are as they were written.

    A file whose size and time of change are as recorded is taken to be whole unless ``thorough``.
    """
    folder = ledger_file(root, Cell(ledger.asset, ledger.partition)).parent
    found = []
    for name, expected in ledger.files.items():
        try:
            status = (folder / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            found.append(f"{name} is gone")
            continue
        if status.st_size != expected.bytes:
            found.append(f"{name} has {status.st_size} bytes, not {expected.bytes}")
        elif (thorough or status.st_mtime_ns != expected.modified) and content_hash(
            folder / name
        ) != expected.checksum:
            found.append(f"checksum of {name} differs")
    return found


def check_store(root: Path) -> None:
    """Refuse a store that another version of edsel made, and what is no store.

    Raises:
        StoreError: in one line, with what to do.
    """
    for folder in (root.parent, root):
        try:
            wrong = folder.exists() and not folder.is_dir()
        except OSError as error:
            raise StoreError(f"Cannot read {folder}: {error.strerror}. Set EDSEL_HOME elsewhere.") from error
        if wrong:
            raise StoreError(f"{folder} should be a folder. Move it away, or set EDSEL_HOME elsewhere.")
    if (root / _MARKER).exists():
        return _check_format(root / _MARKER)
    if not root.exists():
        return None
    if all(entry.name.startswith(".") for entry in root.iterdir()) or _holds_ledgers(root):
        return None
    raise StoreError(
        f"{root} was made by a version of edsel that kept no ledgers, so nobody can say what of it is fresh. "
        "Set EDSEL_HOME to a new folder, or remove this one."
    )


def _holds_ledgers(root: Path) -> bool:
    """Whether a store has a ledger of a cell or an order, though its marker is lost."""
    if any(root.glob("orders/order-*.json")):
        return True
    for file in root.rglob("*.json"):
        with suppress(ValidationError):
            Ledger.model_validate_json(file.read_bytes())
            return True
    return False


def _check_format(marker: Path) -> None:
    try:
        content = json.loads(marker.read_bytes())
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


def mark_store(root: Path) -> None:
    """Write which format the store at ``root`` has; once."""
    marker = root / _MARKER
    if not marker.exists():
        with atomic_path(marker) as temporary:
            temporary.write_text(f'{{"format": {FORMAT}}}\n', encoding="utf-8")


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
