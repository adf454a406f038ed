"""Which prompts each strategy takes, by the library's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from benchmarks.evidence.targets.design import AIMED, ALL, RANDOM, Data
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
    untargeted = {
        "fl_rbf_unaimed": lambda: facility_location(points, budget, tie_break=ids).indices,
        "task_diversity": lambda: task_diversity(tasks, budget, seed=seed, tie_break=ids).indices,
    }
    for strategy in design.shared:
        yield ALL, strategy, pool[untargeted[strategy]()]
    for target, rows in queries.items():
        asked, own_asked = minilm.apply(data.minilm[rows]), mine.apply(own[rows])
        wanted = demand_from_queries(points, asked, seed=seed, keys=ids).weights
        members = np.flatnonzero(data.members(target)[pool])
        chosen = _aimed(points, asked, wanted, own_points, own_asked, members, seed, budget, ids)
        for strategy in design.strategies:
            yield target, strategy, pool[chosen[strategy]()]


def _aimed(
    points: np.ndarray,
    asked: np.ndarray,
    wanted: np.ndarray,
    own_points: np.ndarray,
    own_asked: np.ndarray,
    members: np.ndarray,
    seed: int,
    budget: int,
    ids: np.ndarray,
) -> dict[str, Callable[[], np.ndarray]]:
    """What gives each strategy's picks for a target, as places in the pool of the seed."""

    def own() -> np.ndarray:
        own_wanted = demand_from_queries(own_points, own_asked, seed=seed, keys=ids).weights
        return facility_location(own_points, budget, tie_break=ids, demand=own_wanted).indices

    def inside() -> np.ndarray:
        most = min(budget, len(members))
        return members[random_subset(len(members), most, seed=seed, tie_break=ids[members]).indices]

    return {
        AIMED: lambda: facility_location(points, budget, tie_break=ids, demand=wanted).indices,
        "random_target": lambda: (
            random_subset(len(ids), budget, seed=seed, tie_break=ids, demand=wanted).indices
        ),
        "nearest": lambda: nearest(points, asked, budget, tie_break=ids).indices,
        "variance_reduction": lambda: (
            variance_reduction(points, budget, queries=asked, tie_break=ids).indices
        ),
        "inside": inside,
        "fl_rbf_own": own,
    }
