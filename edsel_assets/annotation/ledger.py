"""The ledger of purchases: one line of JSON for each thing that happened, and nothing is ever erased.

The order of the lines decides what came first; the times in them are shown to people only, so a
wrong clock does no harm. Writers hold a lock and flush each batch to the disk. A writer that is
killed can leave a last line that is not whole: readers leave it out and the next writer cuts it off.
A ledger with fewer lines than it had is refused: what it held was paid for. So is one without an order that
it had, as ``order-0001.recorded`` beside the order says: a ledger that is gone is told from one never begun.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.events import EVENT_SCHEMA, Event, check_event, from_line, to_line, utc
from edsel_assets.annotation.purchases import Purchase, admits, apply, fold
from edsel_assets.store import Store, StoreError, check_lines, known_lines, note_lines
from edsel_assets.store.locks import locked

_log = logging.getLogger(__name__)


class Ledger:
    """The purchases of one store, in ``STORE/purchases.jsonl``."""

    def __init__(self, store: Store) -> None:
        self.path = store.purchases
        self._store = store

    def events(self) -> list[Event]:
        """Every event, in order. A last line that is not whole is left out.

        Raises:
            AnnotationError: a line is damaged or missing, or an order that it had is.
            StoreError: lines that were there are gone.
        """
        known, recorded = known_lines(self.path), self._store.recorded_orders()
        data = self.path.read_bytes() if self.path.exists() else b""
        return self._parsed(data, known, recorded)

    def torn(self) -> str | None:
        """One sentence about a last line that is not whole; None where every line is."""
        data = self.path.read_bytes() if self.path.exists() else b""
        return self._torn(data)

    def state(self) -> dict[str, Purchase]:
        """prompt_id to its purchase: the fold of all events, in the order of first asking."""
        return fold(self.events())

    def cancelled(self) -> set[str]:
        """Names of the orders that were cancelled."""
        return {event.order for event in self.events() if event.event == "cancelled"}

    def append(self, events: Iterable[Event]) -> int:
        """Write what is new of ``events``; return how many lines were written.

        What is recorded already is left out, so that an import that was cut short may simply be run
        again. Either all of ``events`` agree with the ledger or nothing is written.

        Raises:
            AnnotationError: an event that contradicts the ledger: a prompt asked for twice, answered
                before it was asked for or with another answer, or a value of the wrong kind.
            StoreError: lines that were there are gone, or the disk is full.
        """
        with locked(self.path) as handle:
            data = _read_all(handle)
            before = self._parsed(data, known_lines(self.path), self._store.recorded_orders())
            state, sequence = fold(before), len(before)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            lines = []
            for event in events:
                check_event(event)
                if admits(state, event):
                    sequence += 1
                    when = utc(event.when, event.prompt_id) if event.when else now
                    event = replace(event, sequence=sequence, when=when)
                    apply(state, event)
                    lines.append(to_line(event))
            self._cut(handle, data)
            if lines:
                self._write(handle, b"".join(lines))
            note_lines(self.path, sequence)
        return len(lines)

    def ask(self, table: pa.Table, *, who: str | None = None) -> int:
        """Record that every prompt of an order's ``table`` was asked for; again is nothing."""
        rows = table.select(["order", "prompt_id", "price"]).to_pylist()
        written = self.append(Event("asked", who=who, **row) for row in rows)
        for order in sorted({row["order"] for row in rows}):
            self._store.create(self._store.recorded(order), b"")
        return written

    def table(self) -> pa.Table:
        """Every event as a row of ``EVENT_SCHEMA``."""
        return pa.Table.from_pylist([asdict(event) for event in self.events()], schema=EVENT_SCHEMA)

    def _parsed(self, data: bytes, known: int, recorded: set[str]) -> list[Event]:
        lines = data.split(b"\n")[:-1]
        events = [from_line(line, i, self.path) for i, line in enumerate(lines, start=1)]
        check_lines(self.path, len(events), known)
        if lost := sorted(recorded - {event.order for event in events}):
            mark = self._store.path(self._store.recorded(lost[0]))
            raise AnnotationError(
                f"{self.path} says nothing of {lost[0]}, though {mark} says that it did: what was bought is "
                f"missing. Restore {self.path.name} from a backup. If there is none, delete {mark.name}: its "
                "prompts then count as not answered."
            )
        return events

    def _torn(self, data: bytes) -> str | None:
        whole = _whole(data)
        if whole == len(data):
            return None
        number = data[:whole].count(b"\n") + 1
        return (
            f"{self.path}, line {number}: the last line is not whole ({len(data) - whole} bytes), as its "
            "writer was stopped. It counts as not written."
        )

    def _write(self, handle: int, data: bytes) -> None:
        try:
            _write_all(handle, data)
            _flush_folder(self.path.parent)
        except OSError as error:
            raise StoreError(
                f"Cannot write {self.path}: {error.strerror}. Free some space or mend the disk, then run the "
                "same again: what is recorded already is left out."
            ) from error

    def _cut(self, handle: int, data: bytes) -> None:
        torn = self._torn(data)
        if torn:
            _log.warning("%s It is cut off now.", torn)
            os.ftruncate(handle, _whole(data))
            os.fsync(handle)
        os.lseek(handle, 0, os.SEEK_END)


def _whole(data: bytes) -> int:
    """How many bytes of ``data`` are whole lines."""
    return data.rfind(b"\n") + 1


def _read_all(handle: int) -> bytes:
    os.lseek(handle, 0, os.SEEK_SET)
    with os.fdopen(os.dup(handle), "rb") as file:
        return file.read()


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def _flush_folder(folder: Path) -> None:
    """Make a new file's name last, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
