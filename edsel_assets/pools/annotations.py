"""What is annotated already."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.files import open_source
from edsel_assets.pools.rows import batches
from edsel_assets.pools.source import PoolSource
from edsel_assets.pools.text import normalise, prompt_id

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
        path: file, glob, directory or URL in any format of a pool, with a ``response`` column and
            a ``prompt_id`` column, or a ``prompt`` column that the id is computed from;
            ``source`` (who annotated; the file's name by default) and ``cost`` (in the
            study's own unit, at least 0) may be absent. None: nothing is annotated yet.

    Rows without a response are not annotated yet and left out. The same annotation twice is
    one.

    Raises:
        PoolError: on a row without an id or prompt, a prompt with two different responses, a
            cost that is no number, or what ``read_pool`` refuses of a file.
    """
    found: dict[str, tuple[str, str | None, float | None]] = {}
    for where, row in _rows(path):
        response = row.get("response")
        if response is not None and not isinstance(response, str):
            raise PoolError(f"{where}: response should be text, but is {response!r:.60}. Repair the row.")
        if not response or not response.strip():
            continue
        key = _key(row, where)
        value = (normalise(response), row.get("source"), _cost(row.get("cost"), where))
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


def _rows(path: str | os.PathLike[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its place, its source filled in."""
    if path is None:
        return
    source = PoolSource(path)
    for opened in open_source(source):
        for batch in batches(opened, source, _wanted):
            if len(batch.numbers) and "response" not in batch.names:
                raise PoolError(
                    f"{opened.name} has no column response; it has {', '.join(batch.names)}. Rename the "
                    "column that holds the annotation."
                )
            for number, *values in zip(batch.numbers, *batch.columns.values(), strict=True):
                row = dict(zip(batch.columns, values, strict=True))
                row["source"] = str(row.get("source") or PurePosixPath(opened.name).name)
                yield f"{opened.name}, row {number}", row


def _wanted(names: Sequence[str]) -> list[str]:
    return [name for name in ("prompt_id", "prompt", "response", "source", "cost") if name in names]


def _key(row: dict[str, Any], where: str) -> str:
    key, prompt = row.get("prompt_id"), row.get("prompt")
    if isinstance(key, str) and key.strip():
        return key.strip()
    if isinstance(prompt, str) and prompt.strip():
        return prompt_id(prompt)
    raise PoolError(
        f"{where}: an annotation needs a prompt_id or a prompt, as text. Add one or remove the row."
    )


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
