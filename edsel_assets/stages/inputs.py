"""From stored tables to the ``Signals`` that a strategy reads, aligned with the pool row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.selection import Clusters
from edsel_assets.selection.strategy import EMBEDDINGS, LENGTHS, TASKS, Signals, Strategy, StrategyOptions
from edsel_assets.store import table_embeddings
from edsel_assets.study import Study


@dataclass(frozen=True)
class Aim:
    """What a strategy reads of its target: ``demand`` (prompt_id, weight), or ``queries`` with embeddings."""

    demand: pa.Table | None = None
    queries: pa.Table | None = None


class MisalignedTable(ValueError):
    """A table made from another state of the pool."""


def column(table: pa.Table, name: str, prompt_ids: pa.ChunkedArray, what: str) -> np.ndarray:
    """Column ``name`` of ``table`` as numpy, once its rows are known to be the pool's, in order."""
    check_rows(table["prompt_id"], prompt_ids, what)
    return table[name].to_numpy()


def check_rows(found: pa.ChunkedArray, prompt_ids: pa.ChunkedArray, what: str) -> None:
    if len(found) != len(prompt_ids) or not found.cast(prompt_ids.type).equals(prompt_ids):
        raise MisalignedTable(
            f"{what} holds {len(found)} prompts that are not the pool's {len(prompt_ids)}: it was made from "
            "an older pool. Materialize it again (edsel run does)."
        )


def embedding_matrix(table: pa.Table, prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """(N, d) embeddings in the pool's order."""
    check_rows(table["prompt_id"], prompt_ids, "embeddings")
    return table_embeddings(table)[1]


def annotated_rows(annotations: pa.Table, prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """(s,) int64 rows of the pool that are annotated already, ascending."""
    rows = pc.index_in(pc.unique(annotations["prompt_id"].cast(prompt_ids.type)), value_set=prompt_ids)
    return np.sort(rows.drop_null().to_numpy().astype(np.int64))


def clusters_of(clustering: Any, prompt_ids: pa.ChunkedArray) -> Clusters:
    """The ``Clusters`` of a stored clustering (``table`` and ``arrays``)."""
    labels = column(clustering.table, "cluster", prompt_ids, "clusters").astype(np.int64)
    distances = clustering.table["distance"].to_numpy()
    inertia = float(np.square(distances.astype(np.float64)).sum())
    return Clusters(labels, clustering.arrays["centroids"], distances, inertia)


def signals_of(
    strategy: Strategy,
    pool: pa.Table,
    annotations: pa.Table,
    read_embeddings: Callable[[], pa.Table],
    uncertainty: pa.Table | None,
    clustering: Any | None,
    quality: pa.Table | None,
    cluster_weights: np.ndarray | None = None,
    prices: np.ndarray | None = None,
    aim: Aim | None = None,
    read_pool: Callable[[list[str]], pa.Table] | None = None,
) -> Signals:
    """The signals that ``strategy`` needs, and no others: embeddings are read only for those.

    Args:
        read_pool: columns -> the pool's table, for the signals that are its columns.
    """
    ids = pool["prompt_id"]
    needs_embeddings = EMBEDDINGS in strategy.needs
    aim = aim or Aim()
    return Signals(
        prompt_ids=ids.to_numpy().astype(str),
        embeddings=embedding_matrix(read_embeddings(), ids) if needs_embeddings else None,
        uncertainty=None if uncertainty is None else column(uncertainty, "score", ids, "uncertainty_scores"),
        clusters=None if clustering is None else clusters_of(clustering, ids),
        quality=None if quality is None else column(quality, "quality", ids, "quality_scores"),
        complexity=None if quality is None else column(quality, "complexity", ids, "quality_scores"),
        cluster_weights=cluster_weights,
        selected=annotated_rows(annotations, ids),
        prices=prices,
        demand=None if aim.demand is None else column(aim.demand, "weight", ids, "demand"),
        queries=None if aim.queries is None else table_embeddings(aim.queries)[1],
        tasks=_tasks(read_pool) if TASKS in strategy.needs and read_pool else None,
        lengths=_lengths(read_pool) if LENGTHS in strategy.needs and read_pool else None,
    )


def _tasks(read_pool: Callable[[list[str]], pa.Table]) -> np.ndarray:
    """(N,) task of each prompt; those without one are a task of their own."""
    tasks = read_pool(["task"])["task"]
    if tasks.null_count == len(tasks):
        raise ValueError(
            "The pool has no tasks to share the budget out over. Set selection.quotas_by to clusters, or "
            "name the column of tasks in pool.columns."
        )
    return tasks.fill_null("").to_numpy()


def _lengths(read_pool: Callable[[list[str]], pa.Table]) -> np.ndarray:
    """(N,) characters of the answers where every prompt has one, else of the prompts."""
    texts = read_pool(["prompt", "response"])
    name = "prompt" if texts["response"].null_count else "response"
    return pc.utf8_length(texts[name]).to_numpy().astype(np.float64)


def money_prices(study: Study, read: Callable[[list[str]], pa.Table]) -> np.ndarray | None:
    """(N,) prices of the pool's prompts where the study's budgets are money, else None.

    Args:
        read: columns -> the pool's table.
    """
    if not study.selection.by_price:
        return None
    from edsel_assets.annotation import pool_prices

    return pool_prices(study.annotation, read)


def strategy_options(
    study: Study, strategy: str, progress: Callable[[int, int], None] | None = None
) -> StrategyOptions:
    """The switches of a strategy, or of a variant of one."""
    chosen, shared = study.selection.of(strategy), study.selection
    limit = shared.memory_limit_gib
    return StrategyOptions(
        seed=chosen.seed,
        gamma=chosen.gamma,
        normalise=chosen.normalise,
        k_center_normalise=chosen.k_center_normalise,
        utility_weight=chosen.utility_weight,
        seed_point=chosen.seed_point,
        deita_threshold=chosen.deita_threshold,
        qdit_alpha=chosen.qdit_alpha,
        replacement=chosen.replacement,
        worth=chosen.worth,
        noise=chosen.noise,
        temperature=chosen.quality_temperature,
        engine=shared.engine,
        memory_limit=None if limit is None else int(limit * 2**30),
        device=study.model.device,
        progress=progress,
    )


def rows_of(wanted: list[str], prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """(n,) int64 row of the pool of each id."""
    rows = pc.index_in(pa.array(wanted, prompt_ids.type), value_set=prompt_ids)
    if rows.null_count:
        raise MisalignedTable(
            f"{rows.null_count} prompts are not in the pool. Materialize the selection again."
        )
    return rows.to_numpy().astype(np.int64)
