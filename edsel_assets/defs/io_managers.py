"""Where the value of an asset lies: one readable file per cell under the study's store.

``selections[00100|k_center]`` is ``STORE/selections/00100/k_center.parquet``, which pandas and
DuckDB read directly. Writes are atomic; the same value gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import dagster as dg
from dagster import InputContext, OutputContext

if TYPE_CHECKING:
    from pyarrow import Table
else:
    # Dagster reads annotations as the definitions load, and pyarrow takes as long to import as they do.
    Table = Any

#: Input metadata of an asset that can do with the partitions there are.
ALLOW_MISSING = "allow_missing_partitions"


@dataclass(frozen=True)
class StoredTable:
    """A table that is read only when asked for: embeddings can be gigabytes."""

    path: Path

    def read(self, columns: Sequence[str] | None = None) -> Any:
        """The ``pyarrow.Table``, or those columns of it."""
        from edsel_assets.store import read_table

        return read_table(self.path, columns)


@dataclass(frozen=True)
class TableWithArrays:
    """A table and named arrays beside it, such as clusters and their centroids."""

    table: Table
    arrays: dict[str, Any] = field(default_factory=dict)  # numpy arrays


class StudyStore(dg.ConfigurableIOManager):
    """Keeps tables as Parquet, arrays as safetensors, adapters as directories."""

    root: str

    def cell_path(self, asset_key: dg.AssetKey, partition_key: str | None) -> Path:
        """Path of a cell without suffix; a directory where the value is an adapter."""
        return cell_path(Path(self.root), asset_key, partition_key)

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        from edsel_assets.store import write_arrays, write_table

        key = context.partition_key if context.has_partition_key else None
        path = self.cell_path(context.asset_key, key)
        if isinstance(obj, Path):
            if obj != path or not obj.is_dir():
                raise ValueError(
                    f"{context.asset_key.to_user_string()} must be written to {path}; got {obj}."
                )
        elif isinstance(obj, TableWithArrays):
            write_arrays(arrays_file(path), obj.arrays)
            write_table(table_file(path), obj.table)
        else:
            write_table(table_file(path), obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(str(_file(path)))})

    def load_input(self, context: InputContext) -> Any:
        """One value, or a dict by partition key where the input is annotated so; None for no partition."""
        if not context.has_asset_partitions:
            return self._load(context, None)
        keys = list(context.asset_partition_keys)
        if not keys:
            return None
        missing_allowed = bool((context.definition_metadata or {}).get(ALLOW_MISSING))
        paths = {key: self.cell_path(context.asset_key, key) for key in keys}
        if not _wants_dict(context):
            return self._load(context, keys[0])
        return {
            key: self._load(context, key)
            for key, path in paths.items()
            if not missing_allowed or _file(path).exists()
        }

    def _load(self, context: InputContext, partition_key: str | None) -> Any:
        from edsel_assets.store import read_arrays, read_table

        path = self.cell_path(context.asset_key, partition_key)
        wanted = context.dagster_type.typing_type
        if path.is_dir() and not table_file(path).exists():
            return path
        if wanted is StoredTable:
            return StoredTable(table_file(path))
        table = read_table(table_file(path))
        if arrays_file(path).exists():
            return TableWithArrays(table, read_arrays(arrays_file(path)))
        return table


def _wants_dict(context: InputContext) -> bool:
    """Whether the input is annotated ``dict[str, ...]``, perhaps with ``| None``."""
    wanted = context.dagster_type.typing_type
    return any(get_origin(kind) is dict for kind in (wanted, *get_args(wanted)))


def cell_path(root: Path, asset_key: dg.AssetKey, partition_key: str | None) -> Path:
    parts = partition_key.split("|") if partition_key else []
    return root.joinpath(*asset_key.path, *parts)


def cell_exists(root: Path, asset_key: dg.AssetKey, partition_key: str | None) -> bool:
    return _file(cell_path(root, asset_key, partition_key)).exists()


def table_file(path: Path) -> Path:
    # Not with_suffix: "k_center.s0" has a suffix already.
    return path.parent / f"{path.name}.parquet"


def arrays_file(path: Path) -> Path:
    return path.parent / f"{path.name}.safetensors"


def _file(path: Path) -> Path:
    return table_file(path) if table_file(path).exists() else path
