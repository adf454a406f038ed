"""A store in which every cell of a study is fresh, with made-up contents: judging needs no model."""

from pathlib import Path

from edsel_assets.kinds import libraries_of, settings_of
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.planning.external import External
from edsel_assets.planning.freshness import Freshness
from edsel_assets.planning.ledger import (
    InputRead,
    Ledger,
    now,
    read_ledger,
    stored_files,
    write_ledger,
)
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.store import Home, Store, content_hash
from edsel_assets.study import Study


def lineage_for(study: Study, home: Path) -> Lineage:
    return lineage_of(study, Home.at(home))


def freshness_of(study: Study, home: Path) -> Freshness:
    return Freshness(study, lineage_for(study, home), Home.at(home))


def fill(study: Study, home: Path, *, data_set: Path | None = None) -> Lineage:
    """Write an artifact and a ledger for every cell of ``study``; its lineage."""
    lineage, external = lineage_for(study, home), External(study, Home.at(home))
    for node in lineage.nodes.values():
        for cell in node.cells():
            recorded = external.of(cell.kind, partition=cell.partition)
            if data_set is not None and cell.kind in ("base_scores", "benchmark_scores"):
                recorded = recorded | external.data_sets([data_set])
            put(study, home, lineage, cell, str(cell), recorded)
    return lineage


def put(
    study: Study,
    home: Path,
    lineage: Lineage,
    cell: Cell,
    content: str,
    external: dict[str, str] | None = None,
) -> None:
    """Write one cell whose content is a hash of ``content``, made from its parents as they are now."""
    root = Home.at(home).store(study.name)
    freshness = Freshness(study, lineage, Home.at(home))
    parents = {str(parent): freshness.ledger(parent) for parent in lineage.parents(cell)}
    file = root.table(cell)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    ledger = Ledger(
        asset=cell.asset,
        partition=cell.partition,
        content=content_hash(content),
        rows=100,
        files=stored_files(root.files(cell)),
        inputs={n: InputRead(content=p.content, rows=p.rows) for n, p in parents.items() if p is not None},
        settings=settings_of(study, cell.kind, cell.partition),
        external=(
            External(study, Home.at(home)).of(cell.kind, partition=cell.partition)
            if external is None
            else external
        ),
        code=cell.row.version,
        libraries=libraries_of(study, cell.kind, cell.partition),
        device="cpu",
        threads=1,
        seconds=1.0,
        made=now(),
        run="a run",
        host="a host",
        edsel="0",
    )
    write_ledger(root, ledger)


def change_ledger(store: Store, cell: Cell, **changes: object) -> None:
    """Write a cell's ledger anew with other values."""
    ledger = read_ledger(store, cell)
    assert ledger is not None
    write_ledger(store, ledger.model_copy(update=changes))
