"""What callers hand in, read in one place: arrays, tensors, lists, tables and their columns.

Tables and columns are told by what they can do (``to_numpy``, ``column_names``), so that neither pandas nor
any other library of tables is imported here. Nothing is guessed: what has two readings is refused, with the
line that says which is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


class Column(Protocol):
    """A column or a table of pandas, polars or pyarrow."""

    def to_numpy(self) -> Any: ...

    def __len__(self) -> int: ...


if TYPE_CHECKING:
    #: (N, d) embeddings, one row for each prompt.
    Matrix = np.ndarray | torch.Tensor | Column | Sequence[Sequence[float]] | Sequence[np.ndarray]
    #: (N,) numbers, one for each prompt.
    Numbers = np.ndarray | torch.Tensor | Column | Sequence[float]
    #: Rows of the pool by number, or a mask of (N,) booleans.
    Rows = np.ndarray | torch.Tensor | Column | Sequence[int] | Sequence[bool]
    #: (N,) keys that sort, such as prompt ids.
    Keys = np.ndarray | Column | Sequence[object]


def read_matrix(name: str, value: Any) -> Any:
    """``value`` as an array or a tensor of two dimensions; arrays and tensors as they are.

    Raises:
        ValueError: texts, a data set, a sparse matrix, or rows of unlike length.
    """
    _refuse_tables(name, value)
    if hasattr(value, "toarray"):
        raise ValueError(f"{name} must be dense; got a sparse matrix. Pass {name}.toarray().")
    if _is_tensor(value) or (isinstance(value, np.ndarray) and value.dtype != object):
        return value
    rows = _array_of(value)
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        return rows
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        if rows.shape[1] != 1:
            raise ValueError(
                f"{name} must hold numbers alone; got a table with a column of another kind. Pass the "
                "columns of the embedding, or the one column that holds it."
            )
        rows = rows[:, 0]
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes)):
        raise ValueError(
            f"{name} must be an array, a tensor, a table or a list of shape (N, d); got "
            f"{type(value).__name__}."
        )
    return _stacked(name, list(rows))


def read_vector(name: str, value: Any) -> np.ndarray:
    """``value`` as an array of whatever it holds, one entry for each prompt.

    Raises:
        ValueError: a data set, or a table of more than one column.
    """
    _refuse_tables(name, value)
    if _is_tensor(value):
        return value.detach().cpu().numpy()
    found = _array_of(value)
    if not isinstance(found, np.ndarray):
        found = np.asarray(found if isinstance(found, (list, tuple)) else list(found))
    if hasattr(value, "columns") and found.ndim == 2:
        if found.shape[1] != 1:
            raise ValueError(
                f"{name} must be one column; got a table of {found.shape[1]}. Pass one: table['COLUMN']."
            )
        found = found[:, 0]
    return found


def read_rows(name: str, value: Any, pool_size: int) -> np.ndarray:
    """Row numbers as they are; a mask of ``pool_size`` booleans as the rows that it marks.

    Raises:
        ValueError: a mask of another length, ids, shares or a ranking.
    """
    if hasattr(value, "indices") and hasattr(value, "gains"):
        raise ValueError(f"{name} must be row numbers; got a Ranking. Pass ranking.indices.")
    rows = read_vector(name, value)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.dtype == object and all(isinstance(row, (bool, np.bool_)) for row in rows):
        rows = rows.astype(bool)
    if rows.dtype == bool:
        if rows.shape != (pool_size,):
            raise ValueError(
                f"{name} as a mask must have one boolean for each of the {pool_size} prompts; got shape "
                f"{rows.shape}."
            )
        return np.flatnonzero(rows)
    if rows.dtype.kind in "OSUT":
        raise ValueError(
            f"{name} must be row numbers or a mask; got {str(rows.flat[0])!r}. Turn ids into a mask: "
            f"numpy.isin(ids, {name})."
        )
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"{name} must be a flat list of row numbers, or a mask of booleans; got shape {rows.shape}, "
            f"dtype {rows.dtype}."
        )
    return rows.astype(np.int64)


def _array_of(value: Any) -> Any:
    """What a table or a column holds, as an array; anything else as it is."""
    if not hasattr(value, "to_numpy"):
        return value
    arrow = type(value).__module__.startswith("pyarrow")
    return value.to_numpy(zero_copy_only=False) if arrow else value.to_numpy()


def _stacked(name: str, rows: list[Any]) -> np.ndarray | torch.Tensor:
    """Rows of a list or of an object column as one array."""
    if rows and isinstance(rows[0], (str, bytes)):
        raise ValueError(
            f"{name} must be numbers; got texts. Embed them first, such as by "
            "sentence_transformers' model.encode(texts)."
        )
    if rows and _is_tensor(rows[0]):
        import torch

        rows = [row.detach() for row in rows]
        if len({tuple(row.shape) for row in rows}) == 1:
            return torch.stack(rows)
    widths = sorted({np.shape(row) for row in rows if not _is_tensor(row)}, key=str)
    if len(widths) > 1 or not rows:
        said = ", ".join(map(str, widths[:3])) or "no rows"
        raise ValueError(f"{name} must have rows of one length; got {said}. Embed all prompts by one model.")
    return np.asarray(rows)


def _refuse_tables(name: str, value: Any) -> None:
    """A data set has columns beside the one that is meant, and a mapping no order that is told."""
    columns = getattr(value, "column_names", None)
    if columns is None and isinstance(value, dict):
        columns = list(value)
    if columns is not None and not callable(columns):
        named = ", ".join(map(str, list(columns)[:8]))
        raise ValueError(
            f"{name} must be one column; got a {type(value).__name__} of the columns {named}. Pass one: "
            "data['COLUMN']."
        )


def _is_tensor(value: Any) -> bool:
    """Told by where its class comes from, so that torch is not imported for arrays."""
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__)
