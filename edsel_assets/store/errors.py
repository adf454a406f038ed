"""Failures of a store, in one line: what, where and the remedy."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_REMEDIES = {
    errno.ENOSPC: "Free some space or set EDSEL_HOME to a larger disk.",
    errno.EDQUOT: "Free some space or set EDSEL_HOME to another disk.",
    errno.EFBIG: "The system limits the size of files: raise the limit (ulimit -f).",
    errno.EACCES: "Grant write permission or set EDSEL_HOME to a folder of your own.",
    errno.EPERM: "Grant write permission or set EDSEL_HOME to a folder of your own.",
    errno.EROFS: "Set EDSEL_HOME to a writable folder.",
    errno.ENOTDIR: "A part of the path is a file: remove it or set EDSEL_HOME elsewhere.",
    errno.EEXIST: "A part of the path is a file: remove it or set EDSEL_HOME elsewhere.",
    errno.EIO: "Check the disk, or set EDSEL_HOME to another.",
    errno.ENOLCK: "Set EDSEL_HOME to a file system that supports locks (flock).",
    errno.EOPNOTSUPP: "Set EDSEL_HOME to a file system that supports locks (flock).",
}


class StoreError(OSError):
    """An artifact that cannot be written or read: one line of what, where and the remedy."""


@contextlib.contextmanager
def named_failure(path: Path, *, every: bool = False) -> Iterator[None]:
    """Turn a failure of the disk into a StoreError.

    Without ``every`` only those that a write alone can meet: the caller's own block may fail
    on something else, such as an input that is not there.
    """
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if not every and error.errno not in _REMEDIES:
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = _REMEDIES.get(error.errno or 0, "Check the path.")
        failure = StoreError(f"Cannot write {path}: {reason}. {remedy}")
        failure.errno = error.errno
        raise failure from error
