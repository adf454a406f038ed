"""Where everything lies: every path of a home, and of the store of a study in it.

A :class:`Folder` has the verbs of an object store: a file is read whole, written whole, created if absent,
replaced if unchanged, listed, deleted. What a name is made of, :class:`Home` and :class:`Store` alone know.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edsel_assets.keys import CellKey
from edsel_assets.store.atomic import atomic_path, safe_name
from edsel_assets.store.locks import locked

_TABLE, _ARRAYS, _LEDGER = ".parquet", ".safetensors", ".json"
_BESIDE = (_TABLE, _ARRAYS, ".txt", ".md", ".tex", ".csv", ".html")
_ORDER = "order-"


@dataclass(frozen=True)
class Folder:
    """A folder of files; a name is a path in it, with "/" between its parts."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def name(self) -> str:
        return self.folder.name

    def path(self, name: str) -> Path:
        """Where the file or folder of that name is on this machine, for a library that reads files."""
        return self.folder / name

    def exists(self, name: str = "") -> bool:
        return self.path(name).exists()

    def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError where there is none."""
        return self.path(name).read_bytes()

    def mark(self, name: str) -> tuple[int, int, int] | None:
        """What changes with every writing of a file: its size, time and number; None where there is none."""
        try:
            status = self.path(name).stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino

    def write(self, name: str, data: bytes) -> None:
        """Write a file; a reader sees the old one or the new, never a part."""
        with atomic_path(self.path(name)) as temporary:
            temporary.write_bytes(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there; whether it was not."""
        return not self.exists(name) and self.replace(name, data, None)

    def replace(self, name: str, data: bytes, mark: tuple[int, int, int] | None) -> bool:
        """Write a file that has this mark still (None: that is not there); whether it had."""
        with self._changing():
            if self.mark(name) != mark:
                return False
            self.write(name, data)
        return True

    def list(self, pattern: str) -> list[str]:
        """Names that match a pattern of ``Path.glob``, in order."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        self.path(name).unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with locked(self.path(".leases/changes.lock")):
            yield


class Home(Folder):
    """``$EDSEL_HOME``: what studies share, and the store of each study."""

    @classmethod
    def at(cls, home: str | os.PathLike[str] | Home | None = None) -> Home:
        """``home``, else ``$EDSEL_HOME``, else ``./.edsel``; absolute. Creates nothing."""
        if isinstance(home, Home):
            return home
        return cls(Path(home or os.environ.get("EDSEL_HOME") or ".edsel").expanduser().absolute())

    def store(self, study: str) -> Store:
        """The artifacts of a study: ``HOME/store/STUDY``."""
        return Store(self.path(f"store/{safe_name('study', study)}"))

    def rehearsal(self, study: str) -> Home:
        """The home of a study's rehearsal."""
        return Home(self.path(f"rehearsals/{study}"))

    def dagster(self, study: str) -> DagsterHome:
        """DAGSTER_HOME of a study."""
        return DagsterHome(self.path(f"dagster/{study}"))

    @property
    def judge(self) -> Path:
        """The folder of every reply of a judge, by its content, for all studies."""
        return self.path("judge")

    def rows(self, kind: str, fingerprint: str) -> Path:
        """The folder of a row store."""
        return self.path(f"rows/{safe_name('kind', kind)}/{fingerprint}")

    def shards(self) -> list[str]:
        """Names of the shards of all row stores."""
        return self.list("rows/*/*/shard-*.parquet")

    def device_leases(self, places: int) -> list[Path]:
        """Of who holds a model on this machine: one lease for each of the places that there are."""
        return [self.path(f".leases/device/{socket.gethostname()}/{n}.lease") for n in range(places)]

    def picture(self, digest: str) -> str:
        """Name of a picture of the UI, by the hash of its content."""
        return f"pictures/{digest}.png"


class HasRoot(Protocol):
    """What a Dagster instance says of where it lies."""

    @property
    def root_directory(self) -> str: ...


class DagsterHome(Folder):
    """DAGSTER_HOME of a study: settings and log."""

    @classmethod
    def of(cls, instance: HasRoot) -> DagsterHome:
        """That of an instance which is open."""
        return cls(Path(instance.root_directory))

    @property
    def settings(self) -> Path:
        return self.path("dagster.yaml")

    @property
    def log_lease(self) -> Path:
        """Of who opens the log."""
        return self.path("log.lease")

    def run_lease(self, run_id: str) -> Path:
        return self.path(f"run_leases/{run_id}.lease")

    @property
    def home(self) -> Home:
        return Home(self.folder.parent.parent)


class Store(Folder):
    """The store of one study: a file or a folder for each cell, its ledger beside it; orders and purchases.

    ``selections[00100|k_center]`` lies in ``selections/00100/k_center.parquet``, its ledger in
    ``selections/00100/k_center.json``.
    """

    def cell(self, cell: CellKey, suffix: str = "") -> str:
        """Name of a file of a cell; without suffix that of its folder, where the value is an adapter."""
        return "/".join((cell.asset, *cell.parts)) + suffix

    def ledger(self, cell: CellKey) -> str:
        """Name of a cell's ledger."""
        return self.cell(cell, _LEDGER)

    def adapter(self, cell: CellKey) -> Path:
        """The folder of a cell whose value is one."""
        return self.path(self.cell(cell))

    def table(self, cell: CellKey) -> Path:
        return self.path(self.cell(cell, _TABLE))

    def arrays(self, cell: CellKey) -> Path:
        return self.path(self.cell(cell, _ARRAYS))

    def text(self, cell: CellKey, suffix: str) -> Path:
        return self.path(self.cell(cell, suffix))

    def items(self, cell: CellKey) -> Path:
        """The finer table of a cell: apart, so that a folder's tables are alike."""
        *folders, name = (cell.asset, *cell.parts)
        return self.path("/".join((*folders, "items", f"{name}{_TABLE}")))

    def is_folder(self, cell: CellKey) -> bool:
        """Whether the value of a cell is a folder, such as an adapter."""
        # The table ``orders`` lies beside the folder of the orders themselves, which is no part of it.
        return self.adapter(cell).is_dir() and not self.table(cell).exists()

    def files(self, cell: CellKey) -> dict[str, Path]:
        """The files of a cell's value, by their name beside the ledger."""
        folder = self.adapter(cell)
        if self.is_folder(cell):
            found = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        else:
            found = self.table_files(cell)
        return {file.relative_to(folder.parent).as_posix(): file for file in found}

    def table_files(self, cell: CellKey) -> list[Path]:
        """The files of a table, with what belongs beside it; never those of a folder of its name."""
        beside = [*(self.text(cell, suffix) for suffix in _BESIDE), self.items(cell)]
        return [file for file in beside if file.is_file()]

    def beside_ledger(self, cell: CellKey, name: str) -> Path:
        """A file that the ledger of a cell names."""
        return self.adapter(cell).parent / name

    def lease(self, cell: CellKey) -> Path:
        """Of who makes a cell."""
        return self.path(f".leases/{self.cell(cell, '.lease')}")

    @property
    def order_lease(self) -> Path:
        """Of who places an order."""
        return self.path(".leases/order.lease")

    @property
    def orders(self) -> Path:
        """The folder of the orders."""
        return self.path("orders")

    def order(self, name: str) -> str:
        """Name of the file of what an order says beside its prompts."""
        return f"orders/{name}.json"

    def order_table(self, name: str) -> Path:
        return self.path(f"orders/{name}{_TABLE}")

    def order_tables(self) -> list[Path]:
        """The tables of all orders, also of one that was not placed to its end."""
        return [self.path(name) for name in self.list(f"orders/{_ORDER}*{_TABLE}")]

    def recorded(self, order: str) -> str:
        """Name of the file that says that the ledger of purchases has an order."""
        return f"orders/{order}.recorded"

    def recorded_orders(self) -> set[str]:
        """Names of the orders that the ledger of purchases has had."""
        return {Path(name).stem for name in self.list(f"orders/{_ORDER}*.recorded")}

    def cancelled(self, order: str) -> str:
        """Name of the file that says that an order was cancelled."""
        return f"orders/{order}.cancelled"

    @property
    def orders_lock(self) -> Path:
        return self.path("orders/.lock")

    def placed_orders(self) -> tuple[str, ...]:
        """Names of all orders, oldest first; reads file names alone."""
        names = (Path(name).stem for name in self.list(f"orders/{_ORDER}*.json"))
        return tuple(sorted(names, key=lambda name: (len(name), name)))

    def order_names(self) -> tuple[str, ...]:
        """Those of them that were not cancelled."""
        gone = {Path(name).stem for name in self.list(f"orders/{_ORDER}*.cancelled")}
        return tuple(name for name in self.placed_orders() if name not in gone)

    @property
    def purchases(self) -> Path:
        return self.path("purchases.jsonl")

    @property
    def answering_lock(self) -> Path:
        """Of who answers: one at a time."""
        return self.path("answering.lock")

    @property
    def answer_files(self) -> Path:
        """The folder of copies of the files of answers that were taken in."""
        return self.path("answer_files")

    @property
    def annotator_replies(self) -> Path:
        """The folder of the replies of an annotator that is a model."""
        return self.path("annotator_replies")
