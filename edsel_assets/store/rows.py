"""Rows per prompt, kept under a fingerprint of what decides their values."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edsel_assets.store.atomic import atomic_path, listing, sweep_temporaries
from edsel_assets.store.content import content_hash
from edsel_assets.store.errors import StoreError
from edsel_assets.store.files import DamagedFile, embeddings_table, list_matrix, read_table, write_table
from edsel_assets.store.fingerprints import canonical_json, fingerprint
from edsel_assets.store.places import Home

ID = "prompt_id"
_log = logging.getLogger(__name__)


class MissingRows(StoreError, KeyError):
    """Rows asked of a ``RowStore`` that it does not hold; ``count`` says how many."""

    def __init__(self, message: str, count: int = 0) -> None:
        super().__init__(message)
        self.count = count


class RowStore:
    """Rows keyed by ``prompt_id``, under a fingerprint of all that decides their values.

    ``HOME/rows/KIND/FINGERPRINT/`` holds ``fields.json`` (what was fingerprinted) and shards
    ``shard-HASH.parquet``, each named by its content and written atomically: a reader sees
    whole shards only, writers of the same rows write the same file, and a killed writer
    loses the shard it was at. Of a prompt stored twice, the shard of the lower name counts.
    A shard that is found damaged is set aside as ``damaged-shard-HASH.parquet``; its rows are missing then.

    The index holds the ids alone (about 40 bytes each). One object is for one thread.
    """

    def __init__(self, home: Home, kind: str, fingerprint_fields: Mapping[str, Any]) -> None:
        self.fields = dict(fingerprint_fields)
        self.fingerprint = fingerprint(**self.fields)
        self.folder = home.rows(kind, self.fingerprint)
        #: torn temporary files that opening the store removed
        self.swept = sweep_temporaries(self.folder)
        self._ids: dict[str, pa.Array] = {}  # shard name -> its prompt_id column
        self._schema: pa.Schema | None = None

    def __len__(self) -> int:
        """How many prompts have a row."""
        self._refresh()
        return len(pc.unique(self._all_ids()))

    def missing(self, prompt_ids: Sequence[str]) -> np.ndarray:
        """(m,) int64 positions in ``prompt_ids`` of the prompts without a row, ascending."""
        self._refresh()
        return np.flatnonzero(self._locate(prompt_ids) < 0)

    def append(self, rows: pa.Table) -> Path | None:
        """Store ``rows`` as one shard; its path, or None where there are no rows.

        Raises:
            ValueError: when ``prompt_id`` is absent, null or repeated, or the columns are not
                those of the shards that are there.
            StoreError: when the disk is full or cannot be written.
        """
        self._check(rows)
        if rows.num_rows == 0:
            return None
        rows = rows.replace_schema_metadata(None)
        fields = self.folder / "fields.json"
        if not fields.exists():
            with atomic_path(fields) as temporary:
                plain = json.loads(canonical_json(self.fields))
                temporary.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n")
        path = self.folder / f"shard-{content_hash(rows)}.parquet"
        if not path.exists():
            write_table(path, rows)
        return path

    def read(self, prompt_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of ``prompt_ids``, in that order (an id may repeat).

        Reads shard by shard; memory is the result and one shard for columns of fixed-size
        lists, twice the result for others. Text and lists come back with 64-bit offsets.

        Raises:
            MissingRows: when a prompt has no row, or its shard was found damaged just now and is set aside.
            StoreError: when a shard lacks a column.
        """
        self._refresh()
        places = self._locate(prompt_ids)
        absent = np.flatnonzero(places < 0)
        if len(absent):
            examples = ", ".join(str(prompt_ids[i]) for i in absent[:3])
            raise MissingRows(
                f"{len(absent)} of {len(prompt_ids)} prompts have no row in {self.folder} (first: "
                f"{examples}). Compute and append them first.",
                len(absent),
            )
        if self._schema is None:
            names = list(columns) if columns is not None else [ID]
            return pa.table({name: pa.array([], pa.string() if name == ID else pa.null()) for name in names})
        return self._gather(places, list(columns) if columns is not None else self._schema.names)

    # -- index

    def _refresh(self) -> None:
        """Read the ids of shards that came since; forget those that went."""
        names = sorted(p.name for p in listing(self.folder) if p.name.startswith("shard-"))
        for name in [n for n in self._ids if n not in set(names)]:
            del self._ids[name]
        for name in names:
            if name not in self._ids and (table := self._shard(name, [ID])) is not None:
                ids = table.column(ID)
                self._ids[name] = pa.concat_arrays([c.cast(pa.large_string()) for c in ids.chunks])
        self._ids = {name: self._ids[name] for name in names if name in self._ids}
        if self._ids and self._schema is None:
            self._schema = pq.read_schema(self.folder / next(iter(self._ids))).remove_metadata()

    def _shard(self, name: str, columns: Sequence[str]) -> pa.Table | None:
        """Columns of a shard; None where it is damaged, and set aside."""
        path = self.folder / name
        try:
            return read_table(path, columns)
        except DamagedFile as error:
            try:
                path.rename(path.with_name(f"damaged-{name}"))
            except FileNotFoundError:
                return None  # another process has set it aside
            except OSError:
                raise error from None
            _log.warning("%s It is set aside as damaged-%s.", error, name)
            return None

    def _all_ids(self) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.large_string()), *self._ids.values()])

    def _locate(self, prompt_ids: Sequence[str]) -> np.ndarray:
        """(n,) int64 place of each prompt in the shards laid end to end; -1 where absent."""
        wanted = _id_array(prompt_ids)
        return pc.index_in(wanted, value_set=self._all_ids()).fill_null(-1).to_numpy().astype(np.int64)

    def _check(self, rows: pa.Table) -> None:
        if ID not in rows.column_names:
            raise ValueError(f"Rows need a {ID} column; got {', '.join(rows.column_names) or 'no column'}.")
        ids = rows.column(ID)
        if ids.null_count or len(pc.unique(ids)) != len(ids):
            raise ValueError(f"{ID} must be present and unique within one append; drop nulls and repeats.")
        for field in rows.schema:
            if _is_matrix(field.type) and rows.column(field.name).null_count:
                raise ValueError(f"Column {field.name} must have a vector in every row; drop rows without.")
        self._refresh()
        if self._schema is not None and not self._schema.equals(rows.schema.remove_metadata()):
            raise ValueError(
                f"Rows under one fingerprint have one schema; {self.folder} has "
                f"{_schema_line(self._schema)}, these have {_schema_line(rows.schema)}. "
                "Put what changed into the fingerprint's fields, or cast the rows."
            )

    # -- values

    def _gather(self, places: np.ndarray, columns: list[str]) -> pa.Table:
        ends = np.cumsum([len(ids) for ids in self._ids.values()])
        shards = np.searchsorted(ends, places, side="right")
        order = np.argsort(shards, kind="stable")
        cuts = np.searchsorted(shards[order], np.arange(len(ends) + 1))
        gathered, lost = _Gathered(len(places)), 0
        for number, name in enumerate(self._ids):
            targets = order[cuts[number] : cuts[number + 1]]
            if len(targets):
                rows = places[targets] - (ends[number] - len(self._ids[name]))
                shard = self._shard(name, columns)
                if shard is None:
                    lost += len(targets)
                else:
                    gathered.add(shard, rows, targets)
        if lost:
            raise MissingRows(f"Rows of {lost} prompts in {self.folder} were damaged. Run again.", lost)
        return gathered.table() if len(places) else self._empty(columns)

    def _empty(self, columns: list[str]) -> pa.Table:
        assert self._schema is not None
        return _widened(self._schema.empty_table().select(columns))


class _Gathered:
    """Rows of several tables brought into one order.

    Matrices go straight to their place, since a take over them would hold them twice.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.names: list[str] = []
        self.matrices: dict[str, np.ndarray] = {}
        self.pieces: list[pa.Table] = []
        self.targets: list[np.ndarray] = []

    def add(self, shard: pa.Table, rows: np.ndarray, targets: np.ndarray) -> None:
        self.names = shard.column_names
        for field, column in zip(shard.schema, shard.columns, strict=True):
            if _is_matrix(field.type):
                matrix = list_matrix(column)
                if field.name not in self.matrices:
                    self.matrices[field.name] = np.empty((self.rows, matrix.shape[1]), matrix.dtype)
                self.matrices[field.name][targets] = matrix[rows]
        rest = [name for name in shard.column_names if name not in self.matrices]
        # Wide offsets, as many shards together may exceed the 2^31 of narrow ones.
        self.pieces.append(_widened(shard.select(rest)).take(pa.array(rows)))
        self.targets.append(targets)

    def table(self) -> pa.Table:
        back = np.empty(self.rows, dtype=np.int64)
        back[np.concatenate(self.targets)] = np.arange(self.rows)
        rest = pa.concat_tables(self.pieces).combine_chunks().take(pa.array(back))
        columns = {}
        for name in self.names:
            if name in self.matrices:
                columns[name] = embeddings_table(pa.nulls(self.rows, pa.string()), self.matrices[name])[
                    "embedding"
                ]
            else:
                columns[name] = rest.column(name)
        return pa.table(columns)


def _is_matrix(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) and kind.value_type in (pa.float16(), pa.float32())


def _widened(table: pa.Table) -> pa.Table:
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_string(kind):
            kind = pa.large_string()
        elif pa.types.is_list(kind):
            kind = pa.large_list(kind.value_field)
        fields.append(pa.field(field.name, kind))
    return table.cast(pa.schema(fields))


def _id_array(prompt_ids: Sequence[str] | pa.Array) -> pa.Array:
    if isinstance(prompt_ids, pa.ChunkedArray):
        prompt_ids = prompt_ids.combine_chunks()
    if isinstance(prompt_ids, pa.Array):
        return prompt_ids.cast(pa.large_string())
    return pa.array(prompt_ids, pa.large_string())


def _schema_line(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
