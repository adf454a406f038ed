"""Embeddings that one has already: a file of vectors, and which of them is whose.

A vector belongs to a prompt by ``prompt_id``, or by its row: the row of the pool's files, before duplicates,
held-out prompts and those beyond ``pool.limit`` are left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.pools import read_pool
from edsel_assets.stages.kept_rows import check_vectors
from edsel_assets.stages.pools import pool_source
from edsel_assets.study import EmbeddingSettings, Study

_SHOWN = 3
_REMEDY = "Leave such prompts out of the pool, or repair the file of embeddings."


class GivenError(ValueError):
    """A file of embeddings that is not there, is malformed, or does not fit the pool."""


@dataclass(frozen=True)
class Given:
    """A file of embeddings.

    Attributes:
        matrix: (n, d) floats, from disk where the format allows it.
        ids: (n,) prompt ids, unique; None where the vectors belong to rows.
    """

    matrix: np.ndarray
    ids: pa.Array | None


def given_embeddings(study: Study, prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """(N, d) float32, the vectors of the study's file for the pool's prompts, in their order.

    Raises:
        GivenError: naming file and prompts.
        UnusableEmbedding: a vector of the pool that is not finite, or is zero.
    """
    given = read_given(study.embeddings)
    rows = given_rows(study, given, prompt_ids)
    with np.errstate(over="ignore"):  # what is beyond float32 is found below, as infinity
        vectors = np.ascontiguousarray(given.matrix[rows], dtype=np.float32)
    check_vectors(prompt_ids.to_pylist(), vectors, _REMEDY)
    return vectors


def given_rows(study: Study, given: Given, prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """(N,) int64 row of the file's matrix for each prompt.

    Raises:
        GivenError: prompts without a vector, or another number of vectors than the pool's files have rows.
    """
    file = study.embeddings.path
    if given.ids is not None:
        places = pc.index_in(prompt_ids.cast(pa.large_string()), value_set=given.ids)
        what = f"{file} has {len(given.ids)} vectors by prompt_id"
        remedy = (
            "Add them; ids are those of pool.parquet in the store. For vectors by row set embeddings.align."
        )
    else:
        report = read_pool(pool_source(study.pool))
        if len(given.matrix) != report.rows_read:
            raise GivenError(
                f"{file} has {len(given.matrix)} vectors, and the pool's files have {report.rows_read} rows "
                f"(of which {len(prompt_ids)} prompts are the pool): by row, each row needs a vector, those "
                "of repeated prompts too. Give as many, or a file with prompt_id."
            )
        ids = report.table["prompt_id"]
        found = pc.index_in(prompt_ids.cast(ids.type), value_set=ids)
        places = pc.take(pa.array(report.positions), found)
        what, remedy = "the pool's files", "They have changed since the pool was made: run again."
    absent = pc.filter(prompt_ids, pc.is_null(places)).to_pylist()
    if absent:
        raise GivenError(
            f"{what}, and none for {len(absent)} of the pool's {len(prompt_ids)} prompts (first: "
            f"{', '.join(absent[:_SHOWN])}). {remedy}"
        )
    return places.to_numpy().astype(np.int64)


def check_given(study: Study, prompt_ids: pa.ChunkedArray) -> None:
    """Raise GivenError where the study's file does not fit the pool; reads no vector where formats allow."""
    given_rows(study, read_given(study.embeddings), prompt_ids)


def read_given(settings: EmbeddingSettings) -> Given:
    """The file of embeddings, its form checked: two dimensions, floats, ids that are there and unique.

    Raises:
        GivenError: naming the file, the rule and the remedy.
    """
    file = Path(str(settings.path)).expanduser()
    if not file.is_file():
        raise GivenError(f"there is no file {file}. Check embeddings.path.")
    readers = {".npy": _read_npy, ".parquet": _read_parquet, ".safetensors": _read_safetensors}
    try:
        given = readers[file.suffix](file, settings)
    except (GivenError, MemoryError):
        raise
    except Exception as error:  # each library raises kinds of its own
        raise GivenError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if given.ids is None and settings.align == "prompt_id":
        raise GivenError(f"{file} has no prompt_id. Add it, or set embeddings.align to row.")
    if given.matrix.ndim != 2 or 0 in given.matrix.shape:
        raise GivenError(
            f"{file}: embeddings are of shape (prompts, dimensions); got {tuple(given.matrix.shape)}."
        )
    if not np.issubdtype(given.matrix.dtype, np.floating):
        raise GivenError(f"{file}: embeddings are floats; got {given.matrix.dtype}. Convert them.")
    return given


def _read_npy(file: Path, settings: EmbeddingSettings) -> Given:
    with file.open("rb") as opened:  # a pickle is refused by its first bytes, never loaded
        if opened.read(6) != b"\x93NUMPY":
            raise GivenError(f"{file} is no .npy file. Write it with numpy.save.")
    return Given(np.load(file, mmap_mode="r", allow_pickle=False), None)


def _read_parquet(file: Path, settings: EmbeddingSettings) -> Given:
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    names = opened.schema_arrow.names
    if settings.column not in names:
        raise GivenError(
            f"{file} has no column {settings.column}; it has {', '.join(names)}. Set embeddings.column."
        )
    by_id = "prompt_id" in names and settings.align != "row"
    table = opened.read(columns=[settings.column, *(["prompt_id"] if by_id else [])])
    ids = _checked_ids(table["prompt_id"], file) if by_id else None
    return Given(_list_matrix(table[settings.column], file), ids)


def _list_matrix(column: pa.ChunkedArray, file: Path) -> np.ndarray:
    """(n, d) of lists of numbers, of fixed size or not."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise GivenError(f"{file}: embeddings are lists of floats; the column is of type {kind}.")
    lengths = Counter(pc.list_value_length(column).to_pylist())
    if len(lengths) > 1 or None in lengths:
        raise GivenError(
            f"{file}: every row needs a list of the same length; found lengths "
            f"{', '.join(str(n) for n, _ in lengths.most_common(_SHOWN))} (None: no list)."
        )
    dimension = next(iter(lengths), 0)
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    values = np.concatenate(parts) if parts else np.empty(0)
    return values.reshape(len(column), dimension or 0)


def _read_safetensors(file: Path, settings: EmbeddingSettings) -> Given:
    """One tensor of two dimensions, by row; or a tensor for each prompt, named by its id."""
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as opened:  # numpy has no bfloat16
        names = list(opened.keys())
        if len(names) == 1 and len(opened.get_slice(names[0]).get_shape()) == 2:
            return Given(_as_numpy(opened.get_tensor(names[0])), None)
        shapes = Counter(tuple(opened.get_slice(name).get_shape()) for name in names)
        if len(shapes) != 1 or len(next(iter(shapes))) != 1 or settings.align == "row":
            raise GivenError(
                f"{file} holds {len(names)} tensors of shapes {', '.join(map(str, list(shapes)[:_SHOWN]))}. "
                "Give one of shape (rows, dimensions), or one of shape (dimensions,) for each prompt_id."
            )
        matrix = np.stack([_as_numpy(opened.get_tensor(name)) for name in names])
    return Given(matrix, pa.array(names, pa.large_string()))


def _as_numpy(tensor: Any) -> np.ndarray:
    import torch

    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _checked_ids(column: pa.ChunkedArray, file: Path) -> pa.Array:
    ids = column.cast(pa.large_string()).combine_chunks()
    if ids.null_count:
        raise GivenError(f"{file}: prompt_id is missing in {ids.null_count} of {len(ids)} rows. Fill it in.")
    if len(pc.unique(ids)) != len(ids):
        counts = pc.value_counts(ids)
        twice = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1)).to_pylist()
        raise GivenError(
            f"{file}: {len(twice)} prompt_ids occur more than once (first: {', '.join(twice[:_SHOWN])}). "
            "Keep one row of each."
        )
    return ids
