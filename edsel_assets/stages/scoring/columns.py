"""Qualities that are given: a column of the pool, or of a file by ``prompt_id``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.study import QualitySettings, Study

_SHOWN = 3


class ColumnError(ValueError):
    """A column of qualities that is not there, or does not hold a number of at least 0 for each prompt."""


def column_quality(
    study: Study,
    pool: Callable[[list[str]], pa.Table],
    complexity_of: Callable[[list[str]], np.ndarray],
) -> pa.Table:
    """``prompt_id, quality, complexity`` of the pool's prompts as given, on the scale that they are given in.

    Args:
        pool: the named columns of the pool.
        complexity_of: (N,) from the prompts, where no column is the complexity.

    Raises:
        ColumnError: naming file, column, and the first prompts that lack a number.
    """
    settings = study.quality
    if settings.file is None:
        return _of_pool(pool, complexity_of, "complexity" in study.pool.columns)
    table = pool(["prompt_id", "prompt"])
    given = read_scores(settings)
    rows = pc.index_in(table["prompt_id"].cast(pa.large_string()), value_set=given["prompt_id"])
    absent = pc.filter(table["prompt_id"], pc.is_null(rows)).to_pylist()
    if absent:
        raise ColumnError(
            f"{settings.file} has no row for {len(absent)} of {table.num_rows} prompts (first: "
            f"{', '.join(absent[:_SHOWN])}). Add them."
        )
    taken = given.take(rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows)
    harder = (
        complexity_of(table["prompt"].to_pylist())
        if settings.complexity_column is None
        else taken["complexity"].to_numpy()
    )
    return pa.table(
        {"prompt_id": table["prompt_id"], "quality": taken["quality"].to_numpy(), "complexity": harder}
    )


def _of_pool(
    pool: Callable[[list[str]], pa.Table],
    complexity_of: Callable[[list[str]], np.ndarray],
    has_complexity: bool,
) -> pa.Table:
    names = ["quality", "complexity"] if has_complexity else ["quality"]
    table = pool(["prompt_id", "prompt", *names])
    for name in names:
        if table[name].null_count:
            absent = pc.filter(table["prompt_id"], pc.is_null(table[name])).to_pylist()
            raise ColumnError(
                f"{len(absent)} of {table.num_rows} prompts have no {name} in the pool's column (first: "
                f"{', '.join(absent[:_SHOWN])}). Add it to the pool's file."
            )
    harder = table["complexity"].to_numpy() if has_complexity else complexity_of(table["prompt"].to_pylist())
    return pa.table(
        {"prompt_id": table["prompt_id"], "quality": table["quality"].to_numpy(), "complexity": harder}
    )


def read_scores(settings: QualitySettings) -> pa.Table:
    """``prompt_id, quality`` and where it is named ``complexity`` of the file of scores, checked.

    Raises:
        ColumnError: no file, no such column, a prompt twice, or a value that is no number of at least 0.
    """
    file = Path(str(settings.file)).expanduser()
    if not file.is_file():
        raise ColumnError(f"there is no file {file}. Check quality.file.")
    table = _read(file)
    wanted = {"prompt_id": "prompt_id", "quality": settings.column}
    if settings.complexity_column is not None:
        wanted["complexity"] = settings.complexity_column
    for name in wanted.values():
        if name not in table.column_names:
            raise ColumnError(f"{file} has no column {name}; it has {', '.join(table.column_names)}.")
    ids = table["prompt_id"].cast(pa.large_string())
    if ids.null_count or len(pc.unique(ids)) != len(ids):
        raise ColumnError(f"{file}: prompt_id must be there once for each prompt. Drop repeated rows.")
    columns = {
        ours: _numbers(table[theirs], theirs, file) for ours, theirs in wanted.items() if ours != "prompt_id"
    }
    return pa.table({"prompt_id": ids.combine_chunks(), **columns})


def _read(file: Path) -> pa.Table:
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    readers: dict[str, Callable[[Path], pa.Table]] = {
        ".parquet": pyarrow.parquet.read_table,
        ".csv": pyarrow.csv.read_csv,
        ".jsonl": pyarrow.json.read_json,
    }
    if file.suffix not in readers:
        raise ColumnError(f"{file} is not one of {', '.join(readers)}. Write the scores in one of these.")
    try:
        return readers[file.suffix](file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ColumnError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error


def _numbers(column: pa.ChunkedArray, name: str, file: Path) -> np.ndarray:
    try:
        values = column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ColumnError(f"{file}: the column {name} is of type {column.type}, not numbers.") from error
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        raise ColumnError(
            f"{file}, row {wrong[0] + 1}: {name} must be a number of at least 0; got {values[wrong[0]]}."
        )
    return values
