"""The ranking that a larger budget goes on from."""

from typing import Any

from edsel_assets.kinds import settings_of
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.freshness import Freshness, State
from edsel_assets.planning.reasons import What
from edsel_assets.planning.recording import machine

_LARGEST = "largest"  # ends the name of the setting that may grow


def earlier_ranking(freshness: Freshness, cell: Cell) -> Any | None:
    """The stored table of the ranking ``cell``, where all that changed of it is that its largest budget grew.

    None where anything else changed, or the device: rounding may differ there.
    """
    from edsel_assets.store import read_table

    ledger, verdict = freshness.ledger(cell), freshness.verdict(cell)
    if ledger is None or verdict.state is not State.STALE:
        return None
    before, now = ledger.settings, settings_of(freshness.study, cell.kind, cell.partition)
    grown = [n for n in now if n.endswith(_LARGEST) and n in before and now[n] > before[n]]
    alone = all(reason.what is What.ENTRY and reason.name in grown for reason in verdict.reasons)
    if not grown or not alone or ledger.device != machine(freshness.study)[0]:
        return None
    return read_table(freshness.store.table(cell))
