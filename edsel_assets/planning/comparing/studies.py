"""Two studies cell by cell, from what their stores hold."""

from collections.abc import Iterator
from dataclasses import dataclass

from edsel_assets.planning.cells import Cell
from edsel_assets.planning.comparing.causes import Cause, Ledgers, causes, kept_ledgers
from edsel_assets.planning.ledger import Ledger, read_ledger
from edsel_assets.store import Store, StoreError


@dataclass(frozen=True)
class StudyChange:
    """How two studies differ.

    Attributes:
        same, differing: cells of both, by whether their content is the same.
        only_a, only_b: cells that the other has not made, or does not have.
        causes: each root cause, and how many of the differing cells it explains; the widest first.
    """

    same: tuple[Cell, ...]
    differing: tuple[Cell, ...]
    only_a: tuple[Cell, ...]
    only_b: tuple[Cell, ...]
    causes: tuple[tuple[Cause, int], ...]


def compare_studies(a: Store, b: Store) -> StudyChange:
    """Compare every cell that lies in the store ``a`` or in the store ``b``."""
    ledgers_a, ledgers_b = _ledgers(a), _ledgers(b)
    both = [cell for cell in ledgers_a if cell in ledgers_b]
    differing = tuple(c for c in both if ledgers_a[c].content != ledgers_b[c].content)
    from_a, from_b = (
        Ledgers(store, kept_ledgers(ledgers.values())) for store, ledgers in ((a, ledgers_a), (b, ledgers_b))
    )
    found: dict[Cause, int] = {}
    for cell in differing:
        for cause in causes(ledgers_a[cell], ledgers_b[cell], from_a, from_b):
            found[cause] = found.get(cause, 0) + 1
    return StudyChange(
        same=tuple(c for c in both if c not in set(differing)),
        differing=differing,
        only_a=tuple(c for c in ledgers_a if c not in ledgers_b),
        only_b=tuple(c for c in ledgers_b if c not in ledgers_a),
        causes=tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0].cell, str(pair[0].what)))),
    )


def _ledgers(store: Store) -> dict[Cell, Ledger]:
    return dict(sorted(_found(store)))


def _found(store: Store) -> Iterator[tuple[Cell, Ledger]]:
    """Every ledger of a store; other JSON files, such as an adapter's settings, are none."""
    for name in store.list("**/*.json"):
        cell = _cell_of(store, name)
        if cell is None or store.ledger(cell) != name:
            continue
        ledger = read_ledger(store, cell)
        if ledger is not None:
            yield cell, ledger


def _cell_of(store: Store, name: str) -> Cell | None:
    """The cell that a JSON file says it is the ledger of."""
    import json

    try:
        content = json.loads(store.read(name))
    except ValueError as error:
        raise StoreError(
            f"{store.path(name)} is not valid JSON. Delete it and run edsel run: it is made again."
        ) from error
    if not isinstance(content, dict) or not {"asset", "content", "files", "inputs"} <= content.keys():
        return None
    return Cell(content["asset"], content["partition"])
