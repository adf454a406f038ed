"""Every reply that was paid for, and what was spent: one append-only file, shared by all who use the folder.

``replies.jsonl`` holds two kinds of lines. ``asked`` is written before a request is sent, with the most that
it can cost; ``settled`` after it, with what it cost and the reply, if there was one. A request that was never
settled, since its process was killed, counts at its most: it may have been billed. The file is locked while
it is read and appended to, so that the stop holds for all processes together. While a request is under way
its process holds the lock of a file in ``asking/``, and another that wants the same reply waits for it; the
lock goes with its process, so that what a killed one asked is asked again. A last line that is not whole
is what a killed process left, and is cut off by the next; any other damage is refused, as it was paid for.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edsel_assets.store import StoreError, check_lines, known_lines, note_lines
from edsel_assets.store.locks import lock, try_lock

FILE = "replies.jsonl"
_ASKING = "asking"
_LOOK_AGAIN = 0.25  # seconds


@dataclass(frozen=True)
class Prices:
    """In any one currency per 1,000 tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def __post_init__(self) -> None:
        if not (self.prompt >= 0 and self.completion >= 0):
            raise ValueError(f"prices must be 0 or more; got {self.prompt!r} and {self.completion!r}.")

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1000


class CostStop(RuntimeError):
    """A request was not sent, since it could have cost more than is left; one line."""


def content_key(request: Mapping[str, Any], number: int) -> str:
    """Of a request (model, URL, messages, parameters) and how often it was asked before."""
    text = json.dumps({"request": request, "number": number}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Ledger:
    """Replies by content, and spending with a hard stop.

    Args:
        folder: made if absent.
        max_cost: of all requests that the folder ever saw; None for no stop.

    Raises:
        StoreError: a line is damaged, or lines that were there are gone.
    """

    def __init__(self, folder: str | os.PathLike[str], max_cost: float | None = None) -> None:
        if max_cost is not None and not max_cost >= 0:
            raise ValueError(f"max_cost must be 0 or more, or none; got {max_cost!r}.")
        self._path = Path(folder) / FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._max_cost = max_cost
        self._changed = threading.Condition()
        self._read = 0  # bytes of the file that are known
        self._lines = 0  # lines of them
        self._replies: dict[str, str] = {}
        self._costs: dict[str, float] = {}  # of kept replies
        self._open: dict[str, float] = {}  # what requests under way may cost, those of other processes too
        self._asked: dict[str, str] = {}  # key to the last of its requests that is not settled
        self._own: dict[str, BinaryIO] = {}  # requests of this process that are under way, and their locks
        self._settled = 0.0
        self._lost: list[float] = []  # what settled requests may have cost whose answer never came
        with self._changed, self._locked():
            pass

    @property
    def spent(self) -> float:
        """What all requests of the folder cost so far; those under way and those lost at their most."""
        with self._changed, self._locked():
            return self._committed()

    @property
    def unanswered(self) -> tuple[int, float]:
        """How many requests without an answer were counted at their most, and their part of ``spent``."""
        with self._changed, self._locked():
            lost = [*self._lost, *(cost for ticket, cost in self._open.items() if ticket not in self._own)]
            return len(lost), sum(lost)

    def reply(self, key: str) -> str | None:
        """The kept reply under ``key``, as the server sent it."""
        with self._changed:
            return self._replies.get(key)

    def cost(self, key: str) -> float:
        """What the kept reply under ``key`` cost; 0 where there is none."""
        with self._changed:
            return self._costs.get(key, 0.0)

    def reserve(self, key: str, bound: float) -> str | None:
        """A ticket for one request that costs ``bound`` at most; None if its reply is kept by now.

        It waits while another, here or in a living process, has asked for the same reply. Where the request
        would exceed the stop, it waits for requests under way in this process, which mostly cost less than
        their bounds; when there is none, it raises ``CostStop``.
        """
        with self._changed:
            while True:
                with self._locked() as file:
                    if key in self._replies:
                        return None
                    if not self._under_way(key):
                        if self._max_cost is None or self._committed() + bound <= self._max_cost:
                            return self._ticket(file, key, bound)
                        if not self._own:
                            raise CostStop(
                                f"the next request may cost {bound:.6g}, {self._committed():.6g} is spent, "
                                f"and the stop is {self._max_cost:.6g}. Raise the stop; what was paid for is "
                                "kept."
                            )
                self._changed.wait(_LOOK_AGAIN)

    def settle(self, ticket: str, key: str, cost: float, **said: Any) -> None:
        """Close a ticket. ``said`` is written too; its ``reply``, a string, is kept under ``key``."""
        with self._changed, self._locked() as file:
            self._asking(ticket).unlink(missing_ok=True)
            self._own.pop(ticket).close()
            self._append(file, {"settled": ticket, "key": key, "cost": cost, **said})
            self._changed.notify_all()

    def _ticket(self, file: BinaryIO, key: str, bound: float) -> str:
        ticket = uuid.uuid4().hex
        self._append(file, {"asked": ticket, "key": key, "bound": bound})
        self._asking(ticket).parent.mkdir(exist_ok=True)
        self._own[ticket] = held = self._asking(ticket).open("wb")
        lock(held)  # until it is settled
        return ticket

    def _under_way(self, key: str) -> bool:
        """Whether a living process has asked for the reply under ``key``; called with the file locked."""
        path = self._asking(self._asked.get(key, ""))
        if key not in self._asked or not path.exists():
            return False
        with path.open("r+b") as held:  # some network file systems lock only what may be written
            if not try_lock(held):
                return True
        path.unlink()  # its process was killed
        return False

    def _asking(self, ticket: str) -> Path:
        return self._path.parent / _ASKING / ticket

    def _committed(self) -> float:
        return self._settled + sum(self._open.values())

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, locked, after what others appended was read."""
        with self._path.open("a+b") as file:
            lock(file)  # until the file is closed
            self._refresh(file)
            yield file

    def _refresh(self, file: BinaryIO) -> None:
        if file.seek(0, os.SEEK_END) < self._read:
            raise StoreError(f"{self._path} became shorter while it was read. Restore it from a backup.")
        file.seek(self._read)
        for line in file:
            if not line.endswith(b"\n"):
                break  # somebody was killed while writing it; the next to append cuts it off
            try:
                self._note(_entry(line))
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{self._path}, line {self._lines + 1} is damaged ({error}). It was paid for: restore "
                    f"the file from a backup; or delete the line and {self._path.name}.lines, and pay again."
                ) from error
            self._read += len(line)
            self._lines += 1
        check_lines(self._path, self._lines, known_lines(self._path))

    def _append(self, file: BinaryIO, entry: dict[str, Any]) -> None:
        file.truncate(self._read)
        file.write(_line(entry))
        file.flush()
        os.fsync(file.fileno())
        self._refresh(file)
        note_lines(self._path, self._lines)

    def _note(self, entry: dict[str, Any]) -> None:
        if "asked" in entry:
            self._open[entry["asked"]] = entry["bound"]
            self._asked[entry["key"]] = entry["asked"]
            return
        if self._asked.get(entry["key"]) == entry["settled"]:
            del self._asked[entry["key"]]
        self._open.pop(entry["settled"], None)
        self._settled += entry["cost"]
        if entry.get("reply") is None:
            self._lost += [entry["cost"]] if entry["cost"] else []
        else:
            self._replies[entry["key"]] = entry["reply"]
            self._costs[entry["key"]] = entry["cost"]


def _line(entry: Mapping[str, Any]) -> bytes:
    body = json.dumps(entry, sort_keys=True)
    return f'{body[:-1]}, "check": "{_check(body)}"}}\n'.encode()


def _entry(line: bytes) -> dict[str, Any]:
    """What a line says; lines of earlier versions have no check sum."""
    entry: dict[str, Any] = json.loads(line)
    check = entry.pop("check", None)
    if check is not None and check != _check(json.dumps(entry, sort_keys=True)):
        raise ValueError("its check sum is wrong")
    return entry


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
