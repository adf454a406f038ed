"""HOW artifacts lie on disk: atomic writes, deterministic files, rows stored by content.

Nothing here knows what an artifact means. A file appears under its own name only when it is
whole, the same input gives the same bytes, and rows that were computed once are found again
under a fingerprint of everything that went into them. POSIX only: a temporary file whose
writer is alive is told from a torn one by an advisory lock.
"""

from edsel_assets.store.atomic import StoreError, atomic_path, edsel_home, study_home, sweep_temporaries
from edsel_assets.store.content import content_hash, fingerprint
from edsel_assets.store.files import (
    embeddings_table,
    list_matrix,
    read_arrays,
    read_arrays_metadata,
    read_table,
    table_embeddings,
    write_arrays,
    write_table,
)
from edsel_assets.store.rows import MissingRows, RowStore

__all__ = [
    "MissingRows",
    "RowStore",
    "StoreError",
    "atomic_path",
    "content_hash",
    "edsel_home",
    "embeddings_table",
    "fingerprint",
    "list_matrix",
    "read_arrays",
    "read_arrays_metadata",
    "read_table",
    "study_home",
    "sweep_temporaries",
    "table_embeddings",
    "write_arrays",
    "write_table",
]
