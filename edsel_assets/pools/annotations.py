"""What is annotated already."""

from __future__ import annotations

import math
import os
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from edsel_assets.pools.answer_rows import answer_lines
from edsel_assets.pools.source import PoolError, PoolSource
from edsel_assets.pools.text import UnusableRow, normalise, shown, unicode

ANNOTATION_SCHEMA = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("response", pa.large_string(), nullable=False),
        pa.field("source", pa.large_string()),
        pa.field("cost", pa.float64()),
    ]
)


def read_annotations(path: str | os.PathLike[str] | None) -> pa.Table:
    """Prompts that have been annotated: prompt_id, response, source, cost, ascending by prompt_id.

    Args:
        path: file, glob, directory or URL in any format of a pool, with a column of answers
            and one that names their prompts (see ``answer_rows``);
            ``source`` (who annotated; the file's name by default) and ``cost`` (in the
            study's own unit, at least 0) may be absent. None: nothing is annotated yet.

    Rows without a response are not annotated yet and left out. The same annotation twice is
    one.

    Raises:
        PoolError: on a row without an id or prompt, a prompt with two different responses, a
            cost that is no number, or what ``read_pool`` refuses of a file.
    """
    found: dict[str, tuple[str, str | None, float | None]] = {}
    for line in answer_lines(PoolSource(path)) if path is not None else []:
        response, row, where = line.response, line.row, line.place
        if response is not None and not isinstance(response, str):
            raise PoolError(
                f"{where}: response should be text, but is {shown(response, 60)}. Repair the row."
            )
        if not response or not response.strip():
            continue
        key = _key(line.key, where)
        source = str(row.get("source") or PurePosixPath(where.rpartition(", row ")[0]).name)
        value = (normalise(_unicode(response, where)), source, _cost(row.get("cost"), where))
        if found.setdefault(key, value)[0] != value[0]:
            raise PoolError(f"{where}: prompt {key} is annotated twice, differently. Keep one of its rows.")
    keys = sorted(found)
    columns = zip(*(found[key] for key in keys), strict=True) if keys else ([], [], [])
    return pa.table(
        [
            pa.array(values, kind.type)
            for values, kind in zip([keys, *columns], ANNOTATION_SCHEMA, strict=True)
        ],
        schema=ANNOTATION_SCHEMA,
    )


def _key(key: Any, where: str) -> str:
    if isinstance(key, str) and key.strip():
        return key.strip()
    raise PoolError(
        f"{where}: an annotation needs a prompt_id or a prompt, as text. Add one or remove the row."
    )


def _unicode(response: str, where: str) -> str:
    try:
        return unicode("the response", response)
    except UnusableRow as error:
        raise PoolError(f"{where}: {error}. Repair the row.") from error


def _cost(value: Any, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        cost = float(value)
    except (TypeError, ValueError) as error:
        raise PoolError(f"{where}: cost should be a number, but is {value!r}. Repair the row.") from error
    if not math.isfinite(cost) or cost < 0:
        raise PoolError(f"{where}: cost should be a number of at least 0, but is {value!r}. Repair the row.")
    return cost
