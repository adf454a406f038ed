"""Whether a cell is fresh: its ledger compared with the study, the files outside, and its parents' ledgers.

A pure function of study and store. It gives every reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from edsel_assets.kinds import libraries_of, settings_of
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.planning.external import External
from edsel_assets.planning.ledger import InputRead, Ledger, damage, read_ledger
from edsel_assets.planning.reasons import Reason, What, differences, file_differences, in_words
from edsel_assets.store import Home, StoreError
from edsel_assets.study import Study

_DTYPE = "model.dtype"


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
    reasons: tuple[Reason, ...] = ()

    @property
    def why(self) -> str:
        """The reasons in words."""
        return in_words(self.reasons)


FRESH = Verdict(State.FRESH)


class Freshness:
    """Judges the cells of one study; ledgers are read once until told to forget."""

    def __init__(self, study: Study, lineage: Lineage, home: Home) -> None:
        self.study, self.lineage = study, lineage
        self.store = home.store(study.name)
        self.external = External(study, home)
        self._ledgers: dict[Cell, Ledger | None] = {}
        self._damaged: dict[Cell, str] = {}

    def verdict(self, cell: Cell) -> Verdict:
        """Judge ``cell`` by what is in the store now."""
        ledger = self.ledger(cell)
        if cell in self._damaged:
            return Verdict(State.DAMAGED, (Reason(What.DAMAGED, self._damaged[cell]),))
        if ledger is None:
            left = self.store.files(cell)
            return Verdict(State.MISSING, (Reason(What.CUT_SHORT if left else What.NEVER_MADE),))
        wrong = damage(self.store, ledger)
        if wrong:
            return Verdict(State.DAMAGED, tuple(Reason(What.DAMAGED, one) for one in wrong))
        reasons = [*self._own_reasons(cell, ledger), *self._input_reasons(cell, ledger)]
        return Verdict(State.STALE, tuple(reasons)) if reasons else FRESH

    def ledger(self, cell: Cell) -> Ledger | None:
        """The ledger of ``cell``; None where there is none that can be read."""
        if cell not in self._ledgers:
            self._damaged.pop(cell, None)
            try:
                self._ledgers[cell] = read_ledger(self.store, cell)
            except StoreError as error:
                self._ledgers[cell], self._damaged[cell] = None, str(error)
        return self._ledgers[cell]

    def forget(self, cells: Iterable[Cell]) -> None:
        """Read these cells' ledgers anew."""
        for cell in cells:
            self._ledgers.pop(cell, None)

    def _own_reasons(self, cell: Cell, ledger: Ledger) -> list[Reason]:
        kind = cell.kind
        reasons = []
        if ledger.code != cell.row.version:
            reasons.append(Reason(What.CODE, before=ledger.code, after=cell.row.version))
        now = settings_of(self.study, kind, cell.partition)
        reasons += differences(What.ENTRY, ledger.settings, now)
        reasons += self._other_machine(ledger.settings.get(_DTYPE), now.get(_DTYPE))
        libraries = libraries_of(self.study, kind, cell.partition)
        reasons += differences(What.LIBRARY, ledger.libraries, libraries)
        try:
            reasons += file_differences(
                ledger.external, self.external.of(kind, ledger.external, cell.partition)
            )
        except (ValueError, OSError) as error:
            reasons.append(Reason(What.UNREADABLE, " ".join(str(error).split())))
        return reasons

    def _other_machine(self, before: str | None, now: str | None) -> list[Reason]:
        """How to keep what was made where ``auto`` is another number format than here."""
        if self.study.model.dtype != "auto" or before in (None, "auto", now):
            return []
        return [Reason(What.OTHER_MACHINE, _DTYPE, before, now)]

    def _input_reasons(self, cell: Cell, ledger: Ledger) -> list[Reason]:
        reasons: list[Reason] = []
        optional = self.lineage.nodes[cell.asset].optional
        parents = {str(p): p for p in self.lineage.parents(cell)}
        for name, parent in parents.items():
            current = self.ledger(parent)
            read = ledger.inputs.get(name)
            if read is None:
                # What was not read decides nothing, but for parents that count where they are there.
                if current is not None and parent.asset in optional:
                    reasons.append(Reason(What.NEW_INPUT, name))
            elif current is None:
                reasons.append(Reason(What.GONE if parent.asset in optional else What.NOT_THERE, name))
            else:
                reasons += input_differences(name, read, current)
        reasons += [Reason(What.NO_INPUT, name) for name in ledger.inputs if name not in parents]
        return reasons


def input_differences(name: str, read: InputRead, current: Ledger) -> list[Reason]:
    """What changed of an input since it was read; of the columns that were read alone."""
    if read.content == current.content:
        return []
    changed = None
    if read.columns is not None:
        now = current.columns or {}
        changed = sorted(column for column, digest in read.columns.items() if now.get(column) != digest)
        if not changed:
            return []
    if read.rows is not None and current.rows is not None and read.rows != current.rows:
        return [Reason(What.ROWS, name, read.rows, current.rows)]
    return [Reason(What.CONTENT, name, after=changed)]
