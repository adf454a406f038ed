"""Whether a cell is fresh: its ledger compared with the study, the files outside, and its parents' ledgers.

A pure function of study and store. It gives every reason, in words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from edsel_assets.planning.cells import Cell, Lineage, cell_path
from edsel_assets.planning.external import External
from edsel_assets.planning.ledger import InputRead, Ledger, artifact_files, damage, read_ledger
from edsel_assets.planning.reads import READS, libraries_of, settings_of
from edsel_assets.store import StoreError
from edsel_assets.study import Study

_DTYPE = "model.dtype"
_SHOWN = 60  # characters of a setting's value in a reason


class State(Enum):
    """What a cell is; all but FRESH are made again."""

    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Verdict:
    """State of a cell, and why it has to be made; no reasons where it is fresh."""

    state: State
    reasons: tuple[str, ...] = ()


FRESH = Verdict(State.FRESH)


class Freshness:
    """Judges the cells of one study; ledgers are read once until told to forget."""

    def __init__(self, study: Study, lineage: Lineage, home: Path) -> None:
        self.study, self.lineage = study, lineage
        self.root = home / "store" / study.name
        self.external = External(study, home)
        self._ledgers: dict[Cell, Ledger | None] = {}
        self._damaged: dict[Cell, str] = {}

    def verdict(self, cell: Cell) -> Verdict:
        """Judge ``cell`` by what is in the store now."""
        ledger = self.ledger(cell)
        if cell in self._damaged:
            return Verdict(State.DAMAGED, (self._damaged[cell],))
        if ledger is None:
            left = artifact_files(cell_path(self.root, cell))
            return Verdict(State.MISSING, ("its making was cut short" if left else "never made",))
        wrong = damage(self.root, ledger)
        if wrong:
            return Verdict(State.DAMAGED, tuple(wrong))
        reasons = [*self._own_reasons(cell, ledger), *self._input_reasons(cell, ledger)]
        return Verdict(State.STALE, tuple(reasons)) if reasons else FRESH

    def ledger(self, cell: Cell) -> Ledger | None:
        """The ledger of ``cell``; None where there is none that can be read."""
        if cell not in self._ledgers:
            self._damaged.pop(cell, None)
            try:
                self._ledgers[cell] = read_ledger(self.root, cell)
            except StoreError as error:
                self._ledgers[cell], self._damaged[cell] = None, str(error)
        return self._ledgers[cell]

    def forget(self, cells: Iterable[Cell]) -> None:
        """Read these cells' ledgers anew."""
        for cell in cells:
            self._ledgers.pop(cell, None)

    def _own_reasons(self, cell: Cell, ledger: Ledger) -> list[str]:
        kind = cell.kind
        reasons = []
        if ledger.code != READS[kind].code:
            reasons.append(f"code {ledger.code} -> {READS[kind].code}")
        now = settings_of(self.study, kind, cell.partition)
        reasons += differences(ledger.settings, now)
        reasons += self._other_machine(ledger.settings.get(_DTYPE), now.get(_DTYPE))
        reasons += differences(ledger.libraries, libraries_of(self.study, kind, cell.partition))
        try:
            reasons += file_differences(
                ledger.external, self.external.of(kind, ledger.external, cell.partition)
            )
        except (ValueError, OSError) as error:
            reasons.append(" ".join(str(error).split()))
        return reasons

    def _other_machine(self, before: str | None, now: str | None) -> list[str]:
        """How to keep what was made where ``auto`` is another number format than here."""
        if self.study.model.dtype != "auto" or before in (None, "auto", now):
            return []
        return [f"{_DTYPE} auto is {now} on this machine; {_DTYPE}: {before} keeps what was made"]

    def _input_reasons(self, cell: Cell, ledger: Ledger) -> list[str]:
        reasons = []
        optional = self.lineage.nodes[cell.asset].optional
        parents = {str(p): p for p in self.lineage.parents(cell)}
        for name, parent in parents.items():
            current = self.ledger(parent)
            read = ledger.inputs.get(name)
            if read is None:
                # What was not read decides nothing, but for parents that count where they are there.
                if current is not None and parent.asset in optional:
                    reasons.append(f"{name} is a new input")
            elif current is None:
                reasons.append(f"{name} is {'gone' if parent.asset in optional else 'not there'}")
            else:
                reasons += input_differences(name, read, current)
        reasons += [f"{name} is no longer an input" for name in ledger.inputs if name not in parents]
        return reasons


def input_differences(name: str, read: InputRead, current: Ledger) -> list[str]:
    """What changed of an input since it was read, in words; of the columns that were read alone."""
    if read.content == current.content:
        return []
    if read.columns is not None:
        now = current.columns or {}
        changed = sorted(column for column, digest in read.columns.items() if now.get(column) != digest)
        if not changed:
            return []
    if read.rows is not None and current.rows is not None and read.rows != current.rows:
        more = current.rows - read.rows
        what = "prompts" if abs(more) != 1 else "prompt"
        if name == "pool":
            return [f"{abs(more)} {what} {'joined' if more > 0 else 'left'} the pool"]
        return [f"{name}: rows {read.rows} -> {current.rows}"]
    columns = f" ({', '.join(changed)})" if read.columns is not None else ""
    return [f"{name} changed{columns}"]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Each name whose value differs: ``selection.gamma 0.1 -> 0.2``."""
    after = _as_json(after)
    found = []
    for name in sorted({*before, *after}):
        if name not in before:
            found.append(f"{name}: {_shown(after[name])} was not asked before")
        elif name not in after:
            found.append(f"{name}: {_shown(before[name])} is not asked any more")
        elif before[name] != after[name]:
            found.append(f"{name} {_shown(before[name])} -> {_shown(after[name])}")
    return found


def file_differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Each file that appeared, went or changed, by name."""
    found = [f"{name} appeared" for name in sorted(set(after) - set(before))]
    found += [f"{name} is gone" for name in sorted(set(before) - set(after))]
    return found + [
        f"{name} changed" for name in sorted(before) if after.get(name, before[name]) != before[name]
    ]


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from a file: tuples are lists."""
    import json

    return json.loads(json.dumps(dict(values)))


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
