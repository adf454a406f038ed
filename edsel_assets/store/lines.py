"""How many lines a file that only grows had: one that was cut, emptied or deleted is told from a young one.

The number lies beside the file, in ``NAME.lines``. It is written after the lines are on the disk, so it is
never ahead of them. It holds nothing else: without it, or where it cannot be read, nothing is told.
"""

from __future__ import annotations

import os
from pathlib import Path

from edsel_assets.store.errors import StoreError

_WIDTH = 20  # characters; always as many, so that one write of a few bytes replaces the number


def lines_file(path: Path) -> Path:
    """Where the number of lines of the file at ``path`` lies."""
    return path.with_name(f"{path.name}.lines")


def known_lines(path: Path) -> int:
    """The lines that the file at ``path`` had when it was last written; 0 where nobody knows.

    Who holds no lock reads this before the file: another may append between the two.
    """
    try:
        return int(lines_file(path).read_bytes())
    except (FileNotFoundError, ValueError):
        return 0


def check_lines(path: Path, lines: int, known: int) -> None:
    """Refuse a file with fewer whole lines than it had.

    Raises:
        StoreError: in one line, with what to do.
    """
    if lines < known:
        raise StoreError(
            f"{path} has {lines} whole lines and had {known}: what was paid for is missing. Restore it from "
            f"a backup. If it has fewer lines too, delete {lines_file(path).name}: the rest is lost."
        )


def note_lines(path: Path, lines: int) -> None:
    """Write down that the file at ``path`` has so many lines; the caller holds its lock."""
    if known_lines(path) == lines:
        return
    handle = os.open(lines_file(path), os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(handle, f"{lines:0{_WIDTH}d}".encode(), 0)
        os.ftruncate(handle, _WIDTH)
    finally:
        os.close(handle)
