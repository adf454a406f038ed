"""What a person wants to see of a ranking or a selection: prompts, tasks, a map, cards, overlaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.report.cards import Cards, make_cards
from edsel_assets.stages.inputs import clusters_of, column, embedding_matrix

_TASK_WIDTH = 24  # characters


def with_prompts(table: pa.Table, pool: pa.Table, rows: int = 10) -> pa.Table:
    """The first ``rows`` of a ranking as a page has room for them: ``pick`` (from 1), ``prompt, task, gain``.

    A long name of a task is cut: it cannot be broken into lines, and would leave the prompt no width.
    """
    head = table.slice(0, rows)
    found = pc.index_in(head["prompt_id"].cast(pool["prompt_id"].type), value_set=pool["prompt_id"])
    shown = pool.select(["prompt", "task"]).take(found)
    tasks = [_cut(name) for name in shown["task"].to_pylist()]
    shown = shown.set_column(1, "task", pa.array(tasks, pa.string()))
    return shown.add_column(0, "pick", pc.add(head["rank"], 1)).append_column("gain", head["gain"])


def _cut(name: str | None) -> str | None:
    return name if name is None or len(name) <= _TASK_WIDTH else name[: _TASK_WIDTH - 1] + "…"


def task_shares(selection: pa.Table, pool: pa.Table) -> pa.Table:
    """``selected, pool, task``: prompts in replicate 0 of the selection and in the pool, largest task first.

    The names come last, as a page may cut a wide table on its right.
    """
    chosen = selection.filter(pc.equal(selection["replicate"], 0))["prompt_id"]
    inside = pc.is_in(pool["prompt_id"], value_set=chosen.cast(pool["prompt_id"].type))
    marked = pa.table({"task": pool["task"].fill_null("(none)"), "selected": inside.cast(pa.int64())})
    shares = marked.group_by("task").aggregate([("selected", "count"), ("selected", "sum")])
    shares = shares.rename_columns(["task", "pool", "selected"]).select(["selected", "pool", "task"])
    return shares.sort_by([("pool", "descending"), ("task", "ascending")])


def map_of(
    rankings: pa.Table, pool: pa.Table, read_embeddings: Callable[[], pa.Table]
) -> tuple[np.ndarray, np.ndarray]:
    """The pool's embeddings and the rows that the ranking chose (replicate 0, any budget)."""
    ids = pool["prompt_id"]
    first = rankings.filter(pc.equal(rankings["replicate"], 0))
    chosen = pc.is_in(ids, value_set=pc.unique(first["prompt_id"]).cast(ids.type)).to_numpy()
    return embedding_matrix(read_embeddings(), ids), np.flatnonzero(chosen)


def cards_of(
    selection: pa.Table,
    pool: pa.Table,
    embeddings: pa.Table,
    clustering: Any,
    uncertainty: pa.Table | None = None,
    quality: pa.Table | None = None,
) -> Cards:
    """The cards of a selection's first replicate, with the uncertainty or quality that its strategy reads."""
    first = selection.filter(pc.equal(selection["replicate"], pc.min(selection["replicate"])))
    ids = pool["prompt_id"]
    return make_cards(
        pool,
        embedding_matrix(embeddings, ids),
        first,
        scores=_scores(ids, uncertainty, quality),
        clusters=clusters_of(clustering, ids).labels,
    )


def _scores(
    ids: pa.ChunkedArray, uncertainty: pa.Table | None, quality: pa.Table | None
) -> np.ndarray | None:
    """(N,) the one of the two that is given; None where neither is."""
    if uncertainty is not None:
        return column(uncertainty, "score", ids, "uncertainty_scores")
    return None if quality is None else column(quality, "quality", ids, "quality_scores")


def overlaps(selections: Mapping[str, pa.Table]) -> pa.Table:
    """``strategy, other, picks, shared, share`` of each pair; the share is of the strategy's own picks."""
    found = {}
    for name, table in selections.items():
        first = table.filter(pc.equal(table["replicate"], pc.min(table["replicate"])))
        found[name] = set(first["prompt_id"].to_pylist())
    rows = [
        {
            "strategy": name,
            "other": other,
            "picks": len(mine),
            "shared": len(mine & theirs),
            "share": len(mine & theirs) / len(mine),
        }
        for name, mine in found.items()
        for other, theirs in found.items()
    ]
    schema = pa.schema(
        {
            "strategy": pa.string(),
            "other": pa.string(),
            "picks": pa.int64(),
            "shared": pa.int64(),
            "share": pa.float64(),
        }
    )
    return pa.Table.from_pylist(rows, schema=schema)
