"""Content hashes of files outside the store, computed once.

The hash of a file is kept with its size, time of change and inode in ``HOME/external_files.json``. It is
computed again only when one of these differs.
"""

from __future__ import annotations

import json
import os
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from edsel_assets.store.places import Home

_CACHE = "external_files.json"
#: A file changed less than this before it was read may change again within the clock's step.
_SETTLED_SECONDS = 2


class FileHashes:
    """Content hashes of files, computed once per size and time of change."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._new: dict[str, list[Any]] = {}

    @cached_property
    def _known(self) -> dict[str, list[Any]]:
        return self._read()

    def _read(self) -> dict[str, list[Any]]:
        try:
            content = json.loads(self.home.read(_CACHE))
        except (FileNotFoundError, ValueError):
            return {}  # a lost or damaged cache costs one reading of the files
        return content if isinstance(content, dict) else {}

    def of(self, path: Path) -> str:
        """Content hash of the file at ``path``."""
        from edsel_assets.store import content_hash  # brings pyarrow

        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if isinstance(known, list) and known[:3] == stamp:
            return str(known[3])
        found = content_hash(path)
        if status.st_mtime < time.time() - _SETTLED_SECONDS:
            self._known[str(path)] = self._new[str(path)] = [*stamp, found]
        return found

    def save(self) -> None:
        """Keep what was computed since the last time.

        A home that is not there yet is not made for it. One that cannot be written, such as a backup, can be
        planned all the same: its files are then read each time.
        """
        while self._new and os.access(self.home.folder, os.W_OK):
            mark = self.home.mark(_CACHE)
            content = {**self._read(), **self._new}
            if self.home.replace(_CACHE, json.dumps(content, indent=0, sort_keys=True).encode(), mark):
                self._new = {}
