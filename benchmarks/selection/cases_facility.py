"""Facility location against apricot, submodlib and plain NumPy with numba."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.selection.case import Case, Outcome, clustered_pool, one_product, t0_embeddings


def ours(points: np.ndarray, **arguments: Any) -> Outcome:
    from edsel_assets.selection import facility_location

    ranking = facility_location(points, **arguments)
    return {
        "objective": ranking.objective,
        "upper_bound": ranking.upper_bound,
        "guarantee": ranking.guarantee,
        "details": ranking.details,
        "picks": len(set(ranking.indices.tolist())),
    }


def warm(contender: Callable[[np.ndarray], Outcome]) -> Callable[[], None]:
    """What a user pays once, imports and compilation, paid before the clock starts."""
    points = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return lambda: contender(points)  # type: ignore[return-value]


def similarity(points: np.ndarray, gamma: float) -> np.ndarray:
    """(N, N) float64 RBF kernel, as apricot and submodlib take it."""
    weights = (points @ points.T).astype(np.float64)
    weights -= 1
    weights *= 2 / gamma
    np.minimum(weights, 0, out=weights)
    return np.exp(weights, out=weights)


def exact_objective(points: np.ndarray, chosen: np.ndarray, gamma: float) -> float:
    """F of a choice over the untruncated kernel, in float64 sums: the same judge for everyone."""
    total = 0.0
    for start in range(0, len(points), 1024):
        best = (points[start : start + 1024] @ points[chosen].T).max(axis=1).astype(np.float64)
        total += float(np.exp(np.minimum(2 * (best - 1) / gamma, 0)).sum())
    return total


def apricot(points: np.ndarray, budget: int, gamma: float) -> Outcome:
    from apricot import FacilityLocationSelection

    chooser = FacilityLocationSelection(budget, metric="precomputed", optimizer="lazy")
    chooser.fit(similarity(points, gamma))
    return judged(points, np.asarray(chooser.ranking), gamma)


def submodlib(points: np.ndarray, budget: int, gamma: float) -> Outcome:
    from submodlib import FacilityLocationFunction

    objective = FacilityLocationFunction(
        n=len(points), mode="dense", sijs=similarity(points, gamma), separate_rep=False
    )
    picks = objective.maximize(budget=budget, optimizer="LazyGreedy", show_progress=False)
    return judged(points, np.array([row for row, _ in picks]), gamma)


@functools.cache
def _compiled_gain() -> Callable[[np.ndarray, np.ndarray], float]:
    import numba

    @numba.njit(parallel=True)
    def gain(row: np.ndarray, maxima: np.ndarray) -> float:
        total = 0.0
        for i in numba.prange(row.size):
            total += max(row[i] - maxima[i], 0.0)
        return total

    return gain


def plain(points: np.ndarray, budget: int, gamma: float) -> Outcome:
    """What one writes without a library: the whole float32 kernel, numba for the gain, a heap."""
    import heapq

    gain = _compiled_gain()
    weights = points @ points.T
    weights -= 1
    weights *= 2 / gamma
    np.exp(np.minimum(weights, 0, out=weights), out=weights)
    maxima = np.zeros(len(points), dtype=np.float32)
    heap = [(-float(row.sum(dtype=np.float64)), index) for index, row in enumerate(weights)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < budget:
        index = heapq.heappop(heap)[1]
        fresh = -gain(weights[index], maxima)
        if not heap or fresh <= heap[0][0]:
            chosen.append(index)
            np.maximum(maxima, weights[index], out=maxima)
        else:
            heapq.heappush(heap, (fresh, index))
    return judged(points, np.array(chosen), gamma)


def judged(points: np.ndarray, chosen: np.ndarray, gamma: float) -> Outcome:
    return {"objective": exact_objective(points, chosen, gamma), "picks": len(set(chosen.tolist()))}


def case(title: str, rows: int | None, budget: int, *, gamma: float = 0.1, **arguments: Any) -> Case:
    methods: dict[str, Callable[..., Outcome]] = {"edsel": ours}
    if arguments.pop("peers", False):
        methods |= {"apricot lazy": apricot, "submodlib lazy": submodlib, "numpy and numba": plain}

    load = arguments.pop("load", functools.partial(t0_embeddings, rows))
    slow = arguments.pop("slow", False)

    def bound(method: Callable[..., Outcome], picks: int) -> Callable[[np.ndarray], Outcome]:
        extra = arguments if method is ours else {}
        return functools.partial(method, budget=picks, gamma=gamma, **extra)

    return Case(
        title=title,
        load=load,
        floor=None if slow else one_product,
        contenders={name: bound(method, budget) for name, method in methods.items()},
        warm={
            "floor": warm(one_product),
            **{name: warm(bound(method, 8)) for name, method in methods.items()},
        },
        slow=slow,
    )


paper_pool = functools.partial(clustered_pool, 99_000, 4096)  # the size of the paper's

CASES = {
    "fl-20k": case("Facility location, 20,000 of T0, k = 8,000, RBF 0.1", 20_000, 8_000, peers=True),
    "fl-t0": case("Facility location, T0 (54,032), k = 20,000, RBF 0.1", None, 20_000),
    "fl-t0-narrow": case("Facility location, T0, k = 20,000, RBF 0.05", None, 20_000, gamma=0.05),
    "fl-t0-cosine": case(
        "Facility location, T0, k = 20,000, cosine, 6 GB", None, 20_000,
        kernel="cosine", memory_limit=6 * 10**9,
    ),
    "fl-99k": case(
        "Facility location, 99,000 x 4,096 clustered float16, k = 45,000, RBF 0.002, 10 GiB", None, 45_000,
        gamma=0.002, memory_limit=10 << 30, load=paper_pool, slow=True,
    ),
    "fl-99k-cosine": case(
        "Facility location, 99,000 x 4,096 clustered float16, k = 45,000, cosine, 10 GiB", None, 45_000,
        kernel="cosine", memory_limit=10 << 30, load=paper_pool, slow=True,
    ),
}  # fmt: skip
