"""Which prompts each strategy takes, by the library's own functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from benchmarks.evidence.targets.design import ALL, RANDOM, SHARED, STRATEGIES, Data
from edsel_assets.selection import (
    demand_from_queries,
    facility_location,
    nearest,
    random_subset,
    task_diversity,
    variance_reduction,
)
from edsel_assets.selection.geometry.transform import fit_transform

PICKS = pa.schema(
    {
        "seed": pa.int32(),
        "target": pa.string(),
        "strategy": pa.string(),
        "rank": pa.int32(),
        "row": pa.int32(),
    }
)


def picks(data: Data, own: np.ndarray, seed: int) -> pa.Table:
    """Every strategy's picks of a seed in their order, up to the largest budget.

    Args:
        own: (N, d) embeddings by the model that is trained.
    """
    parts = []
    for target, strategy, rows in _chosen(data, own, seed):
        columns = {"seed": seed, "target": target, "strategy": strategy}
        parts += [columns | {"rank": rank, "row": int(row)} for rank, row in enumerate(rows)]
    return pa.Table.from_pylist(parts, schema=PICKS)


def _chosen(data: Data, own: np.ndarray, seed: int) -> Iterator[tuple[str, str, np.ndarray]]:
    design, pool, queries = data.design, data.pool(seed), data.queries(seed)
    ids, budget = data.ids[pool], max(design.budgets)
    yield ALL, RANDOM, pool[random_subset(len(pool), max(design.curve), seed=seed, tie_break=ids).indices]
    minilm, mine = (fit_transform(raw[pool], "centre") for raw in (data.minilm, own))
    points, own_points = minilm.apply(data.minilm[pool]), mine.apply(own[pool])
    tasks = data.frame["task"].to_numpy()[pool]
    unaimed, by_task = SHARED
    yield ALL, unaimed, pool[facility_location(points, budget, tie_break=ids).indices]
    yield ALL, by_task, pool[task_diversity(tasks, budget, seed=seed, tie_break=ids).indices]
    for target, rows in queries.items():
        asked, own_asked = minilm.apply(data.minilm[rows]), mine.apply(own[rows])
        wanted = demand_from_queries(points, asked, seed=seed, keys=ids).weights
        own_wanted = demand_from_queries(own_points, own_asked, seed=seed, keys=ids).weights
        members = np.flatnonzero(data.members(target)[pool])
        inside = random_subset(len(members), min(budget, len(members)), seed=seed, tie_break=ids[members])
        found = (
            facility_location(points, budget, tie_break=ids, demand=wanted).indices,
            random_subset(len(pool), budget, seed=seed, tie_break=ids, demand=wanted).indices,
            nearest(points, asked, budget, tie_break=ids).indices,
            variance_reduction(points, budget, queries=asked, tie_break=ids).indices,
            members[inside.indices],
            facility_location(own_points, budget, tie_break=ids, demand=own_wanted).indices,
        )
        for strategy, indices in zip(STRATEGIES, found, strict=True):
            yield target, strategy, pool[indices]
