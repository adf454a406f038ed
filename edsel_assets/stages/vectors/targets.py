"""Targets: their own prompts with embeddings, and the weight that a target gives each prompt of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.pools import read_pool
from edsel_assets.selection.geometry.transform import fit_transform
from edsel_assets.selection.targets.demand import Demand, demand_from_queries, demand_from_tasks
from edsel_assets.stages.checks import Finding
from edsel_assets.stages.inputs import embedding_matrix
from edsel_assets.stages.pools import pool_source
from edsel_assets.stages.signals import OpenModel, Progress, raw_embeddings
from edsel_assets.store import Home, embeddings_table, table_embeddings
from edsel_assets.study import Study

FEWEST = 20  # queries with which a target is known well enough
_SHOWN = 10


@dataclass(frozen=True)
class Queries:
    """A target's own prompts.

    Attributes:
        table: ``prompt_id, embedding``, embedded and transformed as the pool is.
        prompts: ``prompt_id, prompt``.
        repeated: rows of its files that repeat a query.
        counts: rows of embeddings new and reused.
    """

    table: pa.Table
    prompts: pa.Table
    repeated: int
    counts: dict[str, Any]


def target_queries(
    study: Study,
    home: Home,
    name: str,
    pool: pa.Table,
    model_path: str,
    open_model: OpenModel,
    progress: Progress | None = None,
) -> Queries:
    """The prompts of the target ``name``.

    Args:
        pool: with the columns that its embeddings are made from: by their kept rows queries are transformed.

    Raises:
        PoolError, ValueError: where the target's files cannot be read or hold no prompt.
    """
    target = study.targets[name]
    report = read_pool(pool_source(target.source))
    prompts = report.table.select(["prompt_id", "prompt"])
    embedder = study.embeddings_of_queries(name)
    one = study.model_copy(update={"pool": target.source, "embeddings": embedder})
    raw, counts = raw_embeddings(one, home, prompts, model_path, open_model, progress)
    vectors = _as_the_pool(study, home, name, pool, raw, model_path, open_model)
    table = embeddings_table(prompts["prompt_id"], vectors)
    return Queries(table, prompts, report.duplicates, counts)


def _as_the_pool(
    study: Study,
    home: Home,
    name: str,
    pool: pa.Table,
    raw: np.ndarray,
    model_path: str,
    open_model: OpenModel,
) -> np.ndarray:
    """Embeddings of other prompts, transformed as those of the pool are."""
    whole, _ = raw_embeddings(study, home, pool, model_path, open_model, None)
    if raw.shape[1] != whole.shape[1]:
        raise ValueError(
            f"targets.{name}: its embeddings have {raw.shape[1]} dimensions and the pool's {whole.shape[1]}. "
            "Embed both by the same model."
        )
    return fit_transform(whole, study.embeddings.transform, dimensions=study.embeddings.dimensions).apply(raw)


def enough_queries(name: str, queries: Queries) -> Finding:
    """Warns of a target of few queries, or with repeated ones."""
    count = queries.table.num_rows
    figures: dict[str, int | float | str] = {"queries": count, "repeated": queries.repeated}
    if count < FEWEST:
        return Finding(
            f"targets.{name} has {count} queries; with fewer than {FEWEST} its demand is rough. Add some.",
            figures,
        )
    return Finding(figures=figures)


def query_prompts(study: Study) -> Iterator[tuple[str, str]]:
    """(id, prompt) of the queries of every target, as its files are now."""
    for name, target in study.targets.items():
        if target.prompts is not None:
            table = read_pool(pool_source(target.source)).table
            for prompt_id, prompt in zip(
                table["prompt_id"].to_pylist(), table["prompt"].to_pylist(), strict=True
            ):
                yield f"{name}: {prompt_id}", prompt


def none_held_out(name: str, queries: Queries, held_out: pa.Table) -> Finding:
    """A query that scores are taken on would be aimed at, and scores would flatter."""
    kept = held_out["prompt_id"].cast(pa.string())
    both = pc.filter(queries.table["prompt_id"], pc.is_in(queries.table["prompt_id"].cast(pa.string()), kept))
    if not len(both):
        return Finding(figures={"held_out_queries": 0})
    return Finding(
        f"{len(both)} queries of targets.{name} are held-out prompts, which scores are taken on (first: "
        f"{both[0].as_py()}). Take them out of its file.",
        {"held_out_queries": len(both)},
    )


def demand(
    study: Study, name: str, pool: pa.Table, embeddings: pa.Table | None, queries: pa.Table | None
) -> Demand:
    """What the target ``name`` asks of each prompt.

    Args:
        pool: ``prompt_id``, and ``task`` for a target by tasks.
        embeddings, queries: of the pool and of a target by prompts.
    """
    strength = study.targets[name].strength
    if embeddings is not None and queries is not None:
        return _from_queries(study, name, pool, embeddings, queries, strength=strength)
    found = _from_tasks(study, name, pool)
    return Demand((1 - strength) + strength * found.weights, found.share)


def _from_queries(
    study: Study, name: str, pool: pa.Table, embeddings: pa.Table, queries: pa.Table, **more: Any
) -> Demand:
    ids, asked = pool["prompt_id"], table_embeddings(queries)[1]
    seed, keys = study.targets[name].seed, ids.to_numpy().astype(str)
    try:
        return demand_from_queries(embedding_matrix(embeddings, ids), asked, seed=seed, keys=keys, **more)
    except ValueError as error:
        raise ValueError(f"targets.{name}: {error}") from error


def _from_tasks(study: Study, name: str, pool: pa.Table) -> Demand:
    tasks = study.targets[name].tasks
    try:
        return demand_from_tasks(pool["task"].to_pylist(), None if tasks == "equal" else tasks)
    except ValueError as error:
        raise ValueError(f"targets.{name}: {error}") from error


def held_out_weights(
    study: Study,
    home: Home,
    name: str,
    pool: pa.Table,
    held_out: pa.Table,
    embeddings: pa.Table | None,
    queries: pa.Table | None,
    model_path: str,
    open_model: OpenModel,
) -> pa.Table:
    """``prompt_id, weight`` of the held-out prompts: how much each counts for the target, on demand's scale.

    The target alone counts, whatever its ``strength``: scores are taken on it, not on the mixture.

    Args:
        pool, held_out: with ``task`` for a target by tasks, else with what embeddings are made from.
        embeddings, queries: of the pool and of a target by prompts.
    """
    if embeddings is None or queries is None:
        by_task = dict(zip(pool["task"].to_pylist(), _from_tasks(study, name, pool).weights, strict=True))
        weights = np.array([by_task.get(task, 0.0) for task in held_out["task"].to_pylist()])
    else:
        raw, _ = raw_embeddings(study, home, held_out, model_path, open_model, None)
        others = _as_the_pool(study, home, name, pool, raw, model_path, open_model)
        found = _from_queries(study, name, pool, embeddings, queries, others=others)
        assert found.others is not None
        weights = found.others
    return pa.table({"prompt_id": held_out["prompt_id"], "weight": weights})


def told_apart(name: str, demand: Demand) -> Finding:
    """Warns where pool and target look alike."""
    figures: dict[str, int | float | str] = {} if demand.auc is None else {"auc": demand.auc}
    if demand.told_apart:
        return Finding(figures=figures)
    return Finding(
        f"targets.{name} cannot be told from the pool: AUC {demand.auc:.2f}, {demand.auc_low:.2f} to "
        f"{demand.auc_high:.2f} with 95 % confidence. Aiming at it buys nothing.",
        figures,
    )


def demand_table(pool: pa.Table, demand: Demand) -> pa.Table:
    """``prompt_id, weight``."""
    return pa.table({"prompt_id": pool["prompt_id"], "weight": demand.weights})


def most_and_least(pool: pa.Table, demand: Demand) -> tuple[pa.Table, pa.Table]:
    """``weight, prompt, task`` of the most wanted prompts and of the least wanted ones."""
    order = np.argsort(-demand.weights, kind="stable")
    shown = pool.select(["prompt", "task"]).add_column(0, "weight", pa.array(demand.weights))
    return shown.take(order[:_SHOWN]), shown.take(order[::-1][:_SHOWN])


def figures(demand: Demand) -> dict[str, Any]:
    """What is said of a target's demand, plain numbers."""
    found: dict[str, Any] = {
        "effective_size": demand.effective_size,
        "estimated_share": demand.share,
        "largest_weight": float(demand.weights.max()),
    }
    if demand.auc is not None:
        found |= {"auc": demand.auc, "auc_low": demand.auc_low, "auc_high": demand.auc_high}
    return found
