"""HOW artifacts lie on disk: atomic writes, deterministic files, rows stored by content.

Nothing here knows what an artifact means. A file appears under its own name only when it is
whole, the same input gives the same bytes, and rows that were computed once are found again
under a fingerprint of everything that went into them. ``places`` alone knows what lies where, and ``locks``
has every lock. POSIX only: a temporary file whose
writer is alive is told from a torn one by an advisory lock.

Names are imported when first used: the definitions of the graph load without pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edsel_assets.store.atomic import atomic_path, sweep_temporaries
    from edsel_assets.store.checksums import checked_json, has_checksum, read_checked_json
    from edsel_assets.store.content import content_hash, table_hashes
    from edsel_assets.store.errors import StoreError, named_failure
    from edsel_assets.store.files import (
        embeddings_table,
        list_matrix,
        read_arrays,
        read_table,
        table_embeddings,
        write_arrays,
        write_table,
        write_text,
    )
    from edsel_assets.store.fingerprints import fingerprint
    from edsel_assets.store.lines import check_lines, known_lines, lines_file, note_lines
    from edsel_assets.store.places import Home, Store
    from edsel_assets.store.rows import MissingRows, RowStore

_MODULES = {
    "Home": "places",
    "MissingRows": "rows",
    "RowStore": "rows",
    "Store": "places",
    "StoreError": "errors",
    "atomic_path": "atomic",
    "check_lines": "lines",
    "checked_json": "checksums",
    "content_hash": "content",
    "embeddings_table": "files",
    "fingerprint": "fingerprints",
    "has_checksum": "checksums",
    "known_lines": "lines",
    "lines_file": "lines",
    "list_matrix": "files",
    "named_failure": "errors",
    "note_lines": "lines",
    "read_arrays": "files",
    "read_checked_json": "checksums",
    "read_table": "files",
    "sweep_temporaries": "atomic",
    "table_embeddings": "files",
    "table_hashes": "content",
    "write_arrays": "files",
    "write_table": "files",
    "write_text": "files",
}

__all__ = [
    "Home",
    "MissingRows",
    "RowStore",
    "Store",
    "StoreError",
    "atomic_path",
    "check_lines",
    "checked_json",
    "content_hash",
    "embeddings_table",
    "fingerprint",
    "has_checksum",
    "known_lines",
    "lines_file",
    "list_matrix",
    "named_failure",
    "note_lines",
    "read_arrays",
    "read_checked_json",
    "read_table",
    "sweep_temporaries",
    "table_embeddings",
    "table_hashes",
    "write_arrays",
    "write_table",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
