"""Facility location against apricot, submodlib and plain NumPy with numba."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.selection.case import Case, Outcome, one_product, t0_embeddings


def ours(points: np.ndarray, **arguments: Any) -> Outcome:
    from edsel_assets.selection.facility_location import facility_location

    ranking = facility_location(points, **arguments)
    return {
        "objective": ranking.objective,
        "upper_bound": ranking.upper_bound,
        "guarantee": ranking.guarantee,
        "details": ranking.details,
        "picks": len(set(ranking.indices.tolist())),
    }


def warm_ours(engine: str) -> None:
    """Compile what is compiled once per installation, on a pool of no size."""
    from edsel_assets.selection.facility_location import facility_location

    points = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    facility_location(points, 8, gamma=0.1, engine=engine)


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


def judged(points: np.ndarray, chosen: np.ndarray, gamma: float) -> Outcome:
    return {"objective": exact_objective(points, chosen, gamma), "picks": len(set(chosen.tolist()))}


def case(title: str, rows: int | None, budget: int, gamma: float, *, peers: bool) -> Case:
    contenders = {"edsel": functools.partial(ours, budget=budget, gamma=gamma)}
    if peers:
        contenders["apricot lazy"] = functools.partial(apricot, budget=budget, gamma=gamma)
        contenders["submodlib lazy"] = functools.partial(submodlib, budget=budget, gamma=gamma)
    return Case(
        title=title,
        load=functools.partial(t0_embeddings, rows),
        floor=one_product,
        contenders=contenders,
        warm={"edsel": functools.partial(warm_ours, "auto")},
    )


CASES = {
    "fl-20k": case("Facility location, 20,000 of T0, k = 8,000, RBF 0.1", 20_000, 8_000, 0.1, peers=True),
    "fl-t0": case("Facility location, T0 (54,032), k = 20,000, RBF 0.1", None, 20_000, 0.1, peers=False),
}
