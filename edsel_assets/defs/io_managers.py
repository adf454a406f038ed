"""Where the value of an asset lies: one readable file per cell under the study's store, its ledger beside it.

``selections[00100|k_center]`` is ``STORE/selections/00100/k_center.parquet``, which pandas and
DuckDB read directly, and ``k_center.json``. Writes are atomic; the same value gives the same bytes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

import dagster as dg
from dagster import InitResourceContext, InputContext, OutputContext

from edsel_assets.defs.links import made_from
from edsel_assets.keys import key_parts
from edsel_assets.planning.cells import Cell
from edsel_assets.running.asked import make_command
from edsel_assets.running.dagster_internals import ALLOW_MISSING, asset_of, cells_of_run, cells_of_step
from edsel_assets.store import Home
from edsel_assets.store.places import DagsterHome
from edsel_assets.study import Study

if TYPE_CHECKING:
    from pyarrow import Table

    from edsel_assets.planning.ledger import InputRead, Ledger
    from edsel_assets.planning.recording import StepRecord
else:
    # Dagster reads annotations as the definitions load, and pyarrow takes as long to import as they do.
    Table = Any

_ATTEMPTS = 5
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class StoredTable:
    """A table that is read only when asked for: embeddings can be gigabytes.

    What is read decides the cell, and goes into its ledger, by column.
    """

    path: Path
    note: Callable[[Sequence[str] | None], None]

    def read(self, columns: Sequence[str] | None = None) -> Any:
        """The ``pyarrow.Table``, or those columns of it."""
        self.note(columns)
        return self.show(columns)

    def read_part(self, name: str) -> Any:
        """The whole table, of which the part ``name`` alone is used: a change of the rest decides nothing."""
        self.note([name])
        return self.show()

    def show(self, columns: Sequence[str] | None = None) -> Any:
        """The same for a preview or a plot only, which does not decide the cell's value."""
        from edsel_assets.store import read_table

        return read_table(self.path, columns)


@dataclass(frozen=True)
class TableWithFiles:
    """A table with what belongs beside it.

    Attributes:
        arrays: numpy arrays by name, such as the centroids of clusters; part of the value.
        items: a finer table, such as scores by item, in the folder ``items``; part of the value.
        texts: files by suffix, such as a page; made of the table, and no part of the value.
    """

    table: Table
    arrays: dict[str, Any] = field(default_factory=dict)
    items: Table | None = None
    texts: dict[str, str] = field(default_factory=dict)


def table_of(value: Any) -> Any:
    """The table of a value, whatever lies beside it."""
    return getattr(value, "table", value)


def study_store(study: Study, home: Home) -> dg.IOManagerDefinition:
    """The IO manager of a study: while a run uses it, the run holds the leases of its cells."""

    def opened(context: InitResourceContext) -> Iterator[StudyStore]:
        from edsel_assets.planning.ledger import check_store
        from edsel_assets.planning.recording import forget_run
        from edsel_assets.running.leases import hold_for
        from edsel_assets.store.locks import hold

        store = home.store(study.name)
        check_store(store)
        run, instance = context.run, context.instance
        cells = cells_of_run(study, run) if run else []
        with ExitStack() as stack:
            if run and instance and instance.is_persistent:
                lease = DagsterHome.of(instance).run_lease(run.run_id)
                stack.enter_context(hold(lease, f"run {run.run_id} is alive"))
            log = context.log.info if context.log else None
            stack.enter_context(hold_for(study, home, instance, cells, log))
            yield StudyStore(study, home, cells)
            if run:
                forget_run(run.run_id)

    about = "One file per cell, with its ledger, under the study's store."
    # A generator is opened before the run and closed after it; the annotation of Dagster knows values alone.
    return dg.IOManagerDefinition(resource_fn=cast(Any, opened), description=about)


class StudyStore(dg.IOManager):
    """Keeps tables as Parquet, arrays as safetensors, adapters as directories.

    Args:
        cells: those of the run; the files outside that they read are hashed now, before they are read.
    """

    def __init__(self, study: Study, home: Home, cells: Sequence[Cell] = ()) -> None:
        from edsel_assets.planning.external import External

        self._home, self._store = home, home.store(study.name)
        self._study, self._external = study, External(study, home)
        self._hashes: Mapping[Cell, dict[str, str]] = {
            cell: self._external.of(cell.kind, partition=cell.partition) for cell in cells
        }

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        from edsel_assets.planning.ledger import mark_store, stored_files, withdraw_ledger, write_ledger
        from edsel_assets.planning.recording import make_ledger, step_record
        from edsel_assets.store import write_arrays, write_table, write_text

        cell = self._cell(context.asset_key, context.partition_key if context.has_partition_key else None)
        store, record = self._store, step_record(context.run_id, context.step_key)
        mark_store(store)
        withdraw_ledger(store, cell)
        if isinstance(obj, Path):
            if obj != store.adapter(cell) or not obj.is_dir():
                raise ValueError(f"{cell} must be written to {store.adapter(cell)}; got {obj}.")
        else:
            value = obj if isinstance(obj, TableWithFiles) else TableWithFiles(obj)
            for old in store.table_files(cell):
                old.unlink()  # what the new value does not have must not stay as part of it
            if value.arrays:
                write_arrays(store.arrays(cell), value.arrays)
            if value.items is not None:
                write_table(store.items(cell), value.items)
            for suffix, text in value.texts.items():
                write_text(store.text(cell, suffix), text)
            write_table(store.table(cell), value.table)
        _store_pictures(self._home, record.pictures)
        files = stored_files(store.files(cell))
        hashes = self._hashes.get(cell)
        if hashes is None:
            hashes = self._external.of(cell.kind, partition=cell.partition)
        ledger = make_ledger(self._study, cell, context.name, record, files, hashes, context.run_id)
        write_ledger(store, ledger)
        file = store.beside_ledger(cell, next(iter(files))) if len(files) == 1 else store.adapter(cell)
        # Relative to the home, so that a home that was moved still says where its files lie.
        shown: dict[str, dg.MetadataValue] = {
            name: dg.MetadataValue.path(str(path.relative_to(self._home.folder)))
            for name, path in (("file", file), ("ledger", store.path(store.ledger(cell))))
        }
        if ledger.inputs:
            shown["made_from"] = made_from(self._study, map(Cell.parse, ledger.inputs))
        context.add_output_metadata(shown)

    def load_input(self, context: InputContext) -> Any:
        """One value, or a dict by partition key where the input is annotated so; None for no partition.

        An input of which partitions may be missing is a dict of those there are.
        """
        if not context.has_asset_partitions:
            return self._load(context, None)
        keys = self._read_keys(context)
        may_miss = bool((context.definition_metadata or {}).get(ALLOW_MISSING))
        if not keys and not may_miss:
            return None
        if not _wants_dict(context):
            return self._load(context, keys[0])
        if may_miss:
            cells = {key: self._cell(context.asset_key, key) for key in keys}
            keys = [key for key, cell in cells.items() if self._store.exists(self._store.ledger(cell))]
        return {key: self._load(context, key) for key in keys}

    def _read_keys(self, context: InputContext) -> list[str]:
        """Keys of an input's partitions that the cell being made reads, in the study's order of strategies.

        Dagster gives them in an order that differs from process to process, and some values keep it.
        """
        from edsel_assets.kinds.assets import strategy_of
        from edsel_assets.planning.lineage import lineage_of

        lineage = lineage_of(self._study, self._home)
        asset, names = self._cell(context.asset_key).asset, self._study.selection.names
        read = {p for c in cells_of_step(self._study, context.step_context) for p in lineage.parents(c)}

        def place(key: str) -> tuple[str, int, str]:
            strategy = strategy_of(self._study, key)
            return "".join(key_parts(key)[:-1]), names.index(strategy) if strategy else -1, key

        return sorted({p.partition or "" for p in read if p.asset == asset}, key=place)

    def _load(self, context: InputContext, partition_key: str | None) -> Any:
        from edsel_assets.planning.recording import step_record

        cell = self._cell(context.asset_key, partition_key)
        step = context.step_context
        record = step_record(step.run_id, step.step.key)
        if StoredTable in _wanted(context):
            return self._lazily(cell, record)
        value, ledger = self._consistent(cell)
        record.inputs[str(cell)] = _read(ledger)
        return value

    def _lazily(self, cell: Cell, record: "StepRecord") -> StoredTable:
        from edsel_assets.planning.ledger import InputRead, read_ledger

        ledger = read_ledger(self._store, cell)
        if ledger is not None:
            record.inputs[str(cell)] = InputRead(content=ledger.content, columns={}, rows=ledger.rows)

        def note(columns: Sequence[str] | None) -> None:
            found = self._verified(cell)
            before = record.inputs[str(cell)].columns
            known = found.columns or {}
            # A ledger of an earlier version may not tell a part: then the whole counts.
            if columns is None or before is None or not set(columns) <= set(known):
                record.inputs[str(cell)] = _read(found)
            else:
                kept = {name: known[name] for name in columns}
                record.inputs[str(cell)] = InputRead(
                    content=found.content, columns={**before, **kept}, rows=found.rows
                )

        return StoredTable(self._store.table(cell), note)

    def _consistent(self, cell: Cell) -> tuple[Any, "Ledger"]:
        """The value of a cell and the ledger that belongs to it, though it may be made anew meanwhile."""
        from edsel_assets.store import StoreError

        for _ in range(_ATTEMPTS):
            before = self._verified(cell)
            value = self._value(cell)
            after = self._verified(cell)
            if before.content == after.content:
                return value, after
        raise StoreError(
            f"{cell} was made again each time it was read. Run again when the other run has ended."
        )

    def _verified(self, cell: Cell) -> "Ledger":
        """The ledger of a cell whose files are as it says."""
        from edsel_assets.planning.ledger import damage, read_ledger
        from edsel_assets.store import StoreError
        from edsel_assets.store.locks import held_elsewhere

        ledger = read_ledger(self._store, cell)
        while ledger is None and held_elsewhere(self._store.lease(cell)):
            time.sleep(_POLL_SECONDS)  # another run is making it anew just now
            ledger = read_ledger(self._store, cell)
        if ledger is None:
            command = make_command(self._study, cell)
            raise StoreError(f"{cell} is not there yet. Make it first: {command} does.")
        wrong = damage(self._store, ledger)
        if wrong:
            command = make_command(self._study, cell)
            raise StoreError(f"{cell} is damaged: {'; '.join(wrong)}. Make it again: {command} does.")
        return ledger

    def _cell(self, key: dg.AssetKey, partition: str | None = None) -> Cell:
        asset = asset_of(self._study, key)
        if asset is None:
            raise ValueError(
                f"{key.to_user_string()} is no asset of study {self._study.name}, whose files this resource "
                "keeps. Give the study a prefix, so that its resources have names of their own."
            )
        return Cell(asset, partition)

    def _value(self, cell: Cell) -> Any:
        from edsel_assets.store import read_arrays, read_table

        store = self._store
        if store.is_folder(cell):
            return store.adapter(cell)
        table, arrays, items = read_table(store.table(cell)), store.arrays(cell), store.items(cell)
        if not arrays.exists() and not items.exists():
            return table
        return TableWithFiles(
            table,
            arrays=read_arrays(arrays) if arrays.exists() else {},
            items=read_table(items) if items.exists() else None,
        )


def _read(ledger: "Ledger") -> "InputRead":
    from edsel_assets.planning.ledger import InputRead

    return InputRead(content=ledger.content, rows=ledger.rows)


def _wants_dict(context: InputContext) -> bool:
    """Whether the input is annotated ``dict[str, ...]``, perhaps with ``| None``."""
    return any(get_origin(kind) is dict for kind in _wanted(context))


def _wanted(context: InputContext) -> tuple[Any, ...]:
    """The type that an input is annotated with, its parts where it is a union, and theirs."""
    wanted = context.dagster_type.typing_type
    parts = get_args(wanted)
    return (wanted, *parts, *(inner for part in parts for inner in get_args(part)))


def _store_pictures(home: Home, pictures: dict[str, bytes]) -> None:
    """Write what a step drew into the home; named by content, so what is there already stays."""
    while pictures:
        digest, png = pictures.popitem()
        home.create(home.picture(digest), png)
