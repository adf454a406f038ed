"""What of a study is not as it was written: artifacts, what was paid for, and rows that the model gave."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.planning.ledger import damage, read_ledger
from edsel_assets.store import (
    Home,
    Store,
    StoreError,
    content_hash,
    has_checksum,
    lines_file,
    read_table,
)
from edsel_assets.store.locks import held_elsewhere
from edsel_assets.study import Study


@dataclass(frozen=True)
class Looked:
    """One thing that was looked at.

    Attributes:
        name: of the cell or the file.
        wrong: what is wrong with it, in words; empty where it is as it was written.
        bought: whether it was paid for, so that no run makes it again.
        checksum: whether the file of its fields has one; an earlier version wrote none.
    """

    name: str
    wrong: str = ""
    bought: bool = False
    checksum: bool = True


def look(study: Study, lineage: Lineage, home: Home) -> Iterator[Looked]:
    """Everything that lies in the store of ``study``, and the rows and replies that studies share.

    A file whose content changed though its size and time did not gets the time of now, as a run looks closer
    only where one of them changed. Nothing else is written.
    """
    store = home.store(study.name)
    for node in lineage.nodes.values():
        for cell in node.cells():
            yield from _cell(store, cell)
    yield from _bought(home, store)
    yield from _rows(home)


def _cell(store: Store, cell: Cell) -> Iterator[Looked]:
    try:
        ledger = read_ledger(store, cell)
    except StoreError as error:
        yield Looked(str(cell), str(error))
        return
    if ledger is not None:
        wrong = damage(store, ledger, thorough=True)
        if wrong and not damage(store, ledger):
            for name in ledger.files:
                _mark(store.beside_ledger(cell, name))
        checksum = has_checksum(store.read(store.ledger(cell)))
        yield Looked(str(cell), "; ".join(wrong), checksum=checksum)
    elif store.files(cell) and not held_elsewhere(store.lease(cell)):
        name = store.path(store.ledger(cell)).name
        yield Looked(str(cell), f"{name} is gone, or its making was cut short")


def _mark(file: Path) -> None:
    """Give a file the time of now; a home that cannot be written, such as a backup, stays as it is."""
    if os.access(file, os.W_OK):
        os.utime(file)


def _bought(home: Home, store: Store) -> Iterator[Looked]:
    """The purchases, each order that there is or was, and the replies of judges and of the annotator."""
    from edsel_assets.annotation import Ledger, order_table
    from edsel_assets.llm.judging.ledger import FILE
    from edsel_assets.llm.judging.ledger import Ledger as Replies

    purchases, asked = Ledger(store), set[str]()
    if _was_there(purchases.path) or store.recorded_orders():
        yield _paid(purchases.path.name, lambda: asked.update(event.order for event in purchases.events()))
    for name in sorted({*store.placed_orders(), *asked}):
        found = _paid(f"orders/{name}", partial(order_table, store, name))
        whole = not found.wrong
        yield replace(found, checksum=has_checksum(store.read(store.order(name)))) if whole else found
    for folder in (home.judge, store.annotator_replies):
        if _was_there(folder / FILE):
            yield _paid(f"{folder.name}/{FILE}", partial(Replies, folder))


def _was_there(path: Path) -> bool:
    return path.exists() or lines_file(path).exists()


def _paid(name: str, read: Callable[[], object]) -> Looked:
    try:
        read()
    except (ValueError, OSError) as error:
        return Looked(name, str(error), bought=True)
    return Looked(name, bought=True)


def _rows(home: Home) -> Iterator[Looked]:
    """Shards of rows, which are named by their content."""
    for name in home.shards():
        path = home.path(name)
        try:
            whole = path.stem == f"shard-{content_hash(read_table(path))}"
        except StoreError:
            whole = False
        yield Looked(
            name,
            "" if whole else "it is damaged; its rows are computed again when they are next read",
        )
