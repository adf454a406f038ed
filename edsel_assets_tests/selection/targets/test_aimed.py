"""Strategies that aim, each against its definition."""

import numpy as np
import pytest

from edsel_assets.selection.clustering.kmeans import Clusters
from edsel_assets.selection.clustering.sampling import sample_clusters
from edsel_assets.selection.scores import random_subset
from edsel_assets.selection.targets.nearest import nearest
from edsel_assets.selection.targets.quotas import task_diversity
from edsel_assets.selection.targets.variance_reduction import variance_reduction


def unit(size: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(size, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_draws_by_demand_have_the_probabilities_of_successive_draws() -> None:
    weights = np.array([4.0, 2.0, 1.0, 0.0])
    count, first, second = 4000, np.zeros(4), np.zeros((4, 4))
    for seed in range(count):
        a, b, _, d = random_subset(4, 4, seed=seed, demand=weights).indices
        first[a] += 1
        second[a, b] += 1
        assert d == 3  # what has no weight comes last
    np.testing.assert_allclose(first / count, weights / 7, atol=4 * np.sqrt(0.25 / count))
    assert second[0, 1] / first[0] == pytest.approx(2 / 3, abs=0.04)
    # Equal weights are the uniform draw itself, and the ranking is nested and skips what is excluded.
    uniform = random_subset(50, 20, seed=7).indices
    assert random_subset(50, 20, seed=7, demand=np.full(50, 2.0)).indices.tolist() == uniform.tolist()
    part = random_subset(4, 2, seed=1, demand=weights, exclude=[0]).indices
    assert part.tolist() == [row for row in random_subset(4, 4, seed=1, demand=weights).indices if row][:2]


def test_clusters_share_a_budget_by_their_demand() -> None:
    labels = np.repeat([0, 1], [30, 10])
    clusters = Clusters(labels, np.zeros((2, 3)), np.arange(40.0), 0.0)
    demand = np.where(labels == 1, 6.0, 1.0)  # sums: 30 and 60
    for rule, more in (("random", {}), ("closest", {}), ("quality", {"quality": np.ones(40)})):
        ranking = sample_clusters(clusters, 9, rule, demand=demand, **more)
        assert ranking.details["budgets"] == [3, 6]
    # Inside a cluster draws go by weight: half of the first cluster has none and is never drawn.
    demand[:15] = 0
    drawn = [set(sample_clusters(clusters, 6, demand=demand, seed=s).indices.tolist()) for s in range(20)]
    assert all(not rows & set(range(15)) for rows in drawn)
    with pytest.raises(ValueError, match="pass one of them"):
        sample_clusters(clusters, 6, weights=np.ones(2), demand=demand)


def test_nearest_takes_turns_by_the_definition() -> None:
    points, queries = unit(60), unit(4, seed=1)
    similarity = queries @ points.T
    left = set(range(60)) - {3, 8}
    expected = []
    for turn in range(25):
        row = max(left, key=lambda i: similarity[turn % 4, i])
        left.remove(row)
        expected.append(row)
    ranking = nearest(points, queries, 25, selected=[3, 8])
    assert ranking.indices.tolist() == expected
    np.testing.assert_allclose(
        ranking.gains, [similarity[turn % 4, row] for turn, row in enumerate(expected)], atol=1e-6
    )
    twins = np.repeat(points[:5], 3, axis=0)
    by_key = nearest(twins, queries, 15, tie_break=[f"k{14 - i:02}" for i in range(15)])
    first = by_key.indices[by_key.indices // 3 == by_key.indices[0] // 3]
    assert first.tolist() == sorted(first, reverse=True)  # equal similarity: the lower key first
    with pytest.raises(ValueError, match="6 dimensions; got 2"):
        nearest(points, queries[:, :2], 3)


def posterior(points: np.ndarray, chosen: list[int], others: np.ndarray, noise: float) -> np.ndarray:
    """k_S between ``others`` and all ``points`` by the Gaussian process's own formula, N x N."""
    if not chosen:
        return others @ points.T
    held = points[chosen]
    solved = np.linalg.solve(held @ held.T + noise * np.eye(len(chosen)), held @ points.T)
    return others @ points.T - (others @ held.T) @ solved


@pytest.mark.parametrize("kind", ["queries", "demand", "pool"])
def test_variance_reduction_is_greedy_by_the_definition(kind: str) -> None:
    points, noise, selected = unit(40, 5).astype(np.float32), 0.05, [2, 30]
    targets, weights, more = points.astype(np.float64), np.ones(40), {}
    if kind == "queries":
        targets, weights = unit(7, 5, seed=1), np.ones(7)
        more = {"queries": targets}
    elif kind == "demand":
        weights = np.random.default_rng(2).uniform(0, 3, 40)
        more = {"demand": weights}
    weights = weights / weights.sum()
    ranking = variance_reduction(points, 20, noise=noise, selected=selected, **more)
    chosen, x = list(selected), points.astype(np.float64)
    for pick, gain in zip(ranking.indices, ranking.gains, strict=True):
        to_targets = posterior(x, chosen, targets, noise)
        own = np.diag(posterior(x, chosen, x, noise))
        worth = weights @ to_targets**2 / (own + noise)
        worth[chosen] = -1
        assert gain == pytest.approx(worth[pick], abs=1e-6)
        assert worth[pick] >= worth.max() - 1e-6
        chosen.append(int(pick))
    left = posterior(targets, [], targets, noise)  # prior, then given all that was chosen
    held = x[chosen]
    solved = np.linalg.solve(held @ held.T + noise * np.eye(len(chosen)), held @ targets.T)
    left = left - (targets @ held.T) @ solved
    assert ranking.details["variance"] == pytest.approx(weights @ np.diag(left), abs=1e-6)
    assert ranking.objective == pytest.approx(ranking.gains.sum(), abs=1e-6)


def test_variance_reduction_stays_exact_over_many_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    from edsel_assets.selection.targets import variance_reduction as module

    points, queries = unit(900, 12), unit(20, 12, seed=3)
    long = variance_reduction(points, 700, queries=queries)
    monkeypatch.setattr(module, "REFRESH", 1)
    exact = variance_reduction(points, 700, queries=queries)
    assert (long.indices[:300] == exact.indices[:300]).mean() > 0.99
    assert long.objective == pytest.approx(exact.objective, rel=1e-9)


def test_quotas_are_equal_or_by_inverse_confidence() -> None:
    tasks = ["a"] * 10 + ["b"] * 10 + ["c"] * 2
    equal = task_diversity(tasks, 12, seed=0)
    # 4 each; c has 2, and its 2 others are dealt in turns to a and b.
    assert equal.details["quotas"] == {"a": 5, "b": 5, "c": 2}
    assert len(set(equal.indices.tolist())) == 12
    assert [tasks[row] for row in equal.indices[:6]] == ["a", "b", "c", "a", "b", "c"]
    assert task_diversity(tasks, 7, seed=0).indices.tolist() == equal.indices[:7].tolist()  # nested
    confidence = np.array([0.25] * 10 + [0.5] * 10 + [1.0] * 2)
    unsure = task_diversity(tasks, 7, confidence=confidence, seed=0)
    assert unsure.details["quotas"] == {"a": 4, "b": 2, "c": 1}  # 7 shared as 4 : 2 : 1
    left = task_diversity(tasks, 12, seed=0, selected=[20, 21])
    assert left.details["quotas"] == {"a": 6, "b": 6, "c": 0}
    with pytest.raises(ValueError, match="probabilities over 0"):
        task_diversity(tasks, 3, confidence=np.zeros(22), seed=0)
