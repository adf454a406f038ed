"""Writing files so that a reader never sees a part."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edsel_assets.store.errors import named_failure
from edsel_assets.store.locks import lock, try_lock

_TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{16}\.tmp$")
_SAFE_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def safe_name(what: str, name: str) -> str:
    """``name`` if it can be one part of a path, else a ValueError."""
    if not _SAFE_NAME.match(name):
        raise ValueError(
            f"{what} must be a name of letters, digits, '_', '.' and '-', not beginning with "
            f"'.' or '-'; got {name!r}."
        )
    return name


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that ``atomic_path`` writes to."""
    return bool(_TEMPORARY.match(name))


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, directory: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well.

    The temporary file (or empty directory) exists on entry. On success it is flushed to disk
    and renamed; on an exception it is removed and ``path`` is as it was. Readers see the old
    content or the new, never a part. A directory that exists already is swapped by two
    renames, so a reader may find none for an instant, and a kill right there leaves none.

    Raises:
        StoreError: when the disk is full, or the place cannot be written.
    """
    path = Path(path)
    with named_failure(path, every=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, held = _locked_temporary(path, directory)
    try:
        with named_failure(path):
            yield temporary
        with named_failure(path, every=True):
            _flush(temporary)
            _rename(temporary, path)
            _flush_one(path.parent)
    finally:
        os.close(held)
        _remove(temporary)


def sweep_temporaries(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove what writers killed half-way left in ``folder``; return the paths removed.

    Those of writers at work, here or in another process, are left alone; so are all where
    the folder cannot be written.
    """
    removed = []
    for entry in listing(Path(folder)):
        if is_temporary(entry.name):
            with contextlib.suppress(FileNotFoundError):  # its writer has just finished
                if _remove_unlocked(entry):
                    removed.append(entry)
    return removed


def listing(folder: Path) -> list[Path]:
    """The entries of ``folder`` in order; none where it does not exist."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _remove_unlocked(entry: Path) -> bool:
    handle = os.open(entry, os.O_RDONLY)
    try:
        if not try_lock(handle):
            return False  # its writer is alive
        _remove(entry)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        return False
    finally:
        os.close(handle)
    return True


def _locked_temporary(path: Path, directory: bool) -> tuple[Path, int]:
    """A fresh temporary and a descriptor that holds its lock for as long as it is open."""
    while True:
        temporary = _temporary_name(path)
        if directory:
            temporary.mkdir()
            handle = os.open(temporary, os.O_RDONLY)
        else:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            lock(handle)
            # A sweep may have taken it between its creation and the lock.
            if os.stat(temporary).st_ino == os.fstat(handle).st_ino:
                return temporary, handle
        except FileNotFoundError:
            pass  # taken: try again under a new name
        except OSError:
            os.close(handle)
            _remove(temporary)
            raise
        os.close(handle)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name[:120]}.{secrets.token_hex(8)}.tmp")


def _flush(path: Path) -> None:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _flush_one(Path(folder, name))
            _flush_one(Path(folder))
    else:
        _flush_one(path)


def _flush_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename(temporary: Path, path: Path) -> None:
    if not (temporary.is_dir() and path.is_dir()):
        os.replace(temporary, path)
        return
    old = _temporary_name(path)
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
