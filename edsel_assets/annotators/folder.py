"""A folder as the annotator: files of answers that are dropped in are entered once, and moved out of the way.

``FOLDER/NAME`` is a file to take in. After that it lies in ``FOLDER/imported/``; a file with an error lies in
``FOLDER/set-aside/`` beside ``NAME.why.txt``. Nothing is deleted and nothing is overwritten.

What is entered is a copy under the hash of its bytes, in the study's store, and that copy is kept: so the
content that was taken in is known for ever, and the same content under another name is not taken in again.
A process that is killed at any point leaves the file in its place, or moved; the next one finishes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edsel_assets.annotation import CheckedAnswers, read_answers
from edsel_assets.annotators.protocol import Asked, Enter
from edsel_assets.store import atomic_path

IMPORTED, SET_ASIDE = "imported", "set-aside"
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".swp")


class FolderAnnotator:
    """Takes in what lies in ``folder``, in any format of ``annotation.read_answers``.

    Args:
        record: folder of the store for copies of what was taken in.
        settle_seconds: a file that was written to more recently is waited for, and left for the next time
            if it goes on changing.
    """

    def __init__(self, folder: Path, record: Path, settle_seconds: float = 2.0) -> None:
        self._folder, self._record, self._settle = folder, record, settle_seconds

    def problems(self) -> list[str]:
        if not self._folder.is_dir():
            return [
                f"annotation.annotator.folder: there is no folder {self._folder}. Make it, or mend the path."
            ]
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            return [
                f"annotation.annotator.folder: {self._folder} cannot be read and written. Mend its rights."
            ]
        return []

    def waiting(self) -> list[Path]:
        """Files to take in, by name; not those that are hidden or, by their names, not whole."""
        return sorted(
            path
            for path in self._folder.iterdir()
            if path.is_file()
            and not path.name.startswith((".", "~"))
            and not path.name.endswith(("~", *_UNFINISHED))
        )

    def answer(self, asked: Sequence[Asked], enter: Enter) -> list[str]:
        return [remark for path in self.waiting() for remark in self._take(path, enter)]

    def _take(self, path: Path, enter: Enter) -> list[str]:
        """Take one file in; a remark where there is something to say."""
        if not self._settled(path):
            return [f"{path.name} is still being written; it is taken in the next time."]
        data = path.read_bytes()
        entry = _Entry(self._record, hashlib.sha256(data).hexdigest(), path.name)
        if entry.known:
            moved = _move(path, self._folder / IMPORTED)
            return [f"{path.name} was taken in before, as {entry.first_name}; it lies in {moved} now."]
        copy = entry.keep(data)
        try:
            checked = enter(read_answers(copy))
        except ValueError as error:  # ours, of a wrong row, or a format's, of a file that is none
            entry.forget()
            return [self._set_aside(path, str(error).replace(str(copy), path.name))]
        entry.close(checked)
        moved = _move(path, self._folder / IMPORTED)
        new = {kind: count for kind, count in checked.counts.items() if count and kind != "open"}
        counts = ", ".join(f"{count} {kind}" for kind, count in new.items())
        return [f"{path.name}: {counts or 'nothing new'}; it lies in {moved} now."]

    def _settled(self, path: Path) -> bool:
        """Whether nobody wrote to the file for a while; waits for that while at most."""
        before = path.stat()
        age = time.time() - before.st_mtime
        if age >= self._settle:
            return True
        time.sleep(min(self._settle, self._settle - age))
        after = path.stat()
        return (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)

    def _set_aside(self, path: Path, reason: str) -> str:
        moved = _move(path, self._folder / SET_ASIDE)
        with atomic_path(moved.with_name(f"{moved.name}.why.txt")) as temporary:
            temporary.write_text(reason + "\n", encoding="utf-8")
        return f"{path.name} is set aside in {moved}: {reason}"


@dataclass(frozen=True)
class _Entry:
    """One content in the record: ``DIGEST/NAME``, and ``DIGEST.json``, written once it is entered."""

    record: Path
    digest: str
    name: str

    @property
    def _note(self) -> Path:
        return self.record / f"{self.digest}.json"

    @property
    def _copy(self) -> Path:
        return self.record / self.digest / self.name

    @property
    def known(self) -> bool:
        return self._note.exists()

    @property
    def first_name(self) -> str:
        return str(json.loads(self._note.read_text(encoding="utf-8"))["name"])

    def keep(self, data: bytes) -> Path:
        with atomic_path(self._copy) as temporary:
            temporary.write_bytes(data)
        return self._copy

    def close(self, checked: CheckedAnswers) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        note = {"name": self.name, "when": when, "counts": checked.counts}
        with atomic_path(self._note) as temporary:
            temporary.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")

    def forget(self) -> None:
        self._copy.unlink()
        if not any(self._copy.parent.iterdir()):
            self._copy.parent.rmdir()


def _move(path: Path, folder: Path) -> Path:
    """Move a file into ``folder`` under a name that is free there.

    The name is taken first by a link, which fails where there is one, so that nothing is overwritten. Where
    links are not allowed (FAT; a file of another owner), it is taken by an empty file.
    """
    folder.mkdir(exist_ok=True)
    number = 0
    while True:
        target = folder / (path.name if not number else f"{path.stem}-{number}{path.suffix}")
        try:
            os.link(path, target)
        except FileExistsError:
            if not target.samefile(path):  # else a process was killed between the link and the next line
                number += 1
                continue
        except OSError:  # no links here; what stands in the way of any move is raised by the other one
            if not _take_name(target):
                number += 1
                continue
            return _replace(path, target)
        path.unlink()
        return target


def _replace(path: Path, target: Path) -> Path:
    """Move a file over the empty one that holds its name; where that fails, the name is given back."""
    try:
        return path.replace(target)
    except OSError:
        target.unlink()
        raise


def _take_name(target: Path) -> bool:
    """Whether the name was free; an empty file has it then."""
    try:
        target.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
