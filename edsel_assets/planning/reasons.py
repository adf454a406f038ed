"""Why a cell is made again, and how two ledgers differ: data, whose sentence is its ``str``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

_SHOWN = 60  # characters of a value in a sentence


class What(Enum):
    """What a reason is about."""

    NEVER_MADE = "never made"
    CUT_SHORT = "its making was cut short"
    DAMAGED = "damaged"  # ``name`` says how
    CODE = "code"
    ENTRY = "entry"  # a setting, or another entry of a ledger
    LIBRARY = "library"
    OTHER_MACHINE = "other machine"  # where a setting ``auto`` is another value than here
    FILE = "file"  # outside the store; None where it is not there
    UNREADABLE = "unreadable"  # ``name`` is the message
    CONTENT = "content"  # of an input; ``after`` are the columns that changed, None for the whole
    ROWS = "rows"  # of an input
    NEW_INPUT = "new input"
    NOT_THERE = "not there"
    GONE = "gone"
    NO_INPUT = "no input any more"
    REMADE = "made again"  # ``after`` is how many more inputs are
    UNANSWERED = "waits for answers"
    PLACED = "placed"  # an order
    CAME_IN = "came in"  # a file that grows by what people do
    OTHER_PARTITION = "another partition"
    OTHER_ASSET = "another asset"
    INPUT_OF_ONE = "input of one side"  # ``after`` is the side
    OVERWRITTEN = "overwritten"  # ``before``: columns, ``after``: whose ledger of an input is gone


class _Absent(Enum):
    ABSENT = "absent"


#: The value of an entry that one side does not have.
ABSENT = _Absent.ABSENT


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        name: of the setting, library, file or input.
        before, after: as JSON values; None or ``ABSENT`` where there is none.
    """

    what: What
    name: str = ""
    before: Any = None
    after: Any = None

    def __hash__(self) -> int:
        return hash((self.what, self.name, str(self.before), str(self.after)))

    def __str__(self) -> str:
        return _SENTENCES.get(self.what, _of_itself)(self)


def in_words(reasons: tuple[Reason, ...]) -> str:
    """Several reasons in one line."""
    return "; ".join(map(str, reasons))


def differences(what: What, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Reason]:
    """Each name whose value differs, by name."""
    after = json.loads(json.dumps(dict(after)))  # as they come back from a file: tuples are lists
    return [
        Reason(what, name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in sorted({*before, *after})
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def file_differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Reason]:
    """Each file that appeared, went or changed: these in turn, each by name."""
    found = [
        Reason(What.FILE, name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return sorted(found, key=lambda r: 0 if r.before is None else 1 if r.after is None else 2)


def _of_itself(reason: Reason) -> str:
    return reason.name or reason.what.value


def _of_entry(reason: Reason) -> str:
    name, before, after = reason.name, reason.before, reason.after
    if before is ABSENT:
        return f"{name}: {_shown(after)} was not asked before"
    if after is ABSENT:
        return f"{name}: {_shown(before)} is not asked any more"
    return f"{name} {_shown(before)} -> {_shown(after)}"


def _of_machine(reason: Reason) -> str:
    name, before, after = reason.name, reason.before, reason.after
    return f"{name} auto is {after} on this machine; {name}: {before} keeps what was made"


def _of_file(reason: Reason) -> str:
    happened = "appeared" if reason.before is None else "is gone" if reason.after is None else "changed"
    return f"{reason.name} {happened}"


def _of_content(reason: Reason) -> str:
    return f"{reason.name} changed" + (f" ({', '.join(reason.after)})" if reason.after is not None else "")


def _of_rows(reason: Reason) -> str:
    if reason.name != "pool":
        return f"{reason.name}: rows {reason.before} -> {reason.after}"
    more = reason.after - reason.before
    what = "prompts" if abs(more) != 1 else "prompt"
    return f"{abs(more)} {what} {'joined' if more > 0 else 'left'} the pool"


def _of_remade(reason: Reason) -> str:
    others = f" and {reason.after} more are" if reason.after else " is"
    return f"{reason.name}{others} made again"


def _of_overwritten(reason: Reason) -> str:
    columns = f" ({', '.join(reason.before)})" if reason.before else ""
    return f"changed{columns}; the ledger of what {reason.after} read was overwritten since"


_SENTENCES = {
    What.CODE: lambda reason: f"code {reason.before} -> {reason.after}",
    What.ENTRY: _of_entry,
    What.LIBRARY: _of_entry,
    What.OTHER_MACHINE: _of_machine,
    What.FILE: _of_file,
    What.CONTENT: _of_content,
    What.ROWS: _of_rows,
    What.NEW_INPUT: lambda reason: f"{reason.name} is a new input",
    What.NOT_THERE: lambda reason: f"{reason.name} is not there",
    What.GONE: lambda reason: f"{reason.name} is gone",
    What.NO_INPUT: lambda reason: f"{reason.name} is no longer an input",
    What.REMADE: _of_remade,
    What.UNANSWERED: lambda reason: f"{reason.name} waits for answers",
    What.PLACED: lambda reason: f"{reason.name} was placed",
    What.CAME_IN: lambda reason: f"answers or payments came in ({_of_file(reason)})",
    What.OTHER_PARTITION: lambda reason: "is another partition",
    What.OTHER_ASSET: lambda reason: "is another asset",
    What.INPUT_OF_ONE: lambda reason: f"is an input of {reason.after} alone",
    What.OVERWRITTEN: _of_overwritten,
}


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
