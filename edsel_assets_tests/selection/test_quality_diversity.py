"""Deita and QDIT against their definitions, written as plain loops."""

from itertools import combinations

import numpy as np
import pytest

from edsel_assets.selection import deita, facility_location, qdit, top_scores
from edsel_assets_tests.selection.pools import t0_embeddings


def cosines(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return points @ points.T


def plain_deita(points, scores, budget, threshold, selected=()):
    similar = cosines(points)
    chosen, passed = list(selected), []
    for row in sorted(set(range(len(points))) - set(selected), key=lambda r: (-scores[r], r)):
        if len(chosen) - len(selected) == budget:
            break
        if chosen and similar[row, chosen].max() >= threshold - 1e-6:
            passed.append(row)
        else:
            chosen.append(row)
    picks = chosen[len(selected) :]
    return picks + passed[: budget - len(picks)]


def plain_qdit(points, quality, budget, alpha, selected=()):
    weights = np.maximum(cosines(points), 0)
    covered = weights[:, list(selected)].max(1, initial=0)
    picks: list[int] = []
    for _ in range(budget):
        gains = (1 - alpha) * np.maximum(weights - covered[:, None], 0).sum(0) + alpha * quality
        gains[[*picks, *selected]] = -np.inf
        # Two prompts that cover only each other gain the same: the first of them.
        picks.append(int(np.argmax(gains >= gains.max() - 1e-8)))
        covered = np.maximum(covered, weights[:, picks[-1]])
    return picks


def pool(rows: int, dim: int, seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, dim)), rng.random(rows), rng.random(rows)


def test_deita_by_hand():
    # Scores 6, 4, 3, 1. Row 1 points as row 0 does and is passed over; 2 is orthogonal; 3 opposite.
    points = np.array([[1.0, 0], [2.0, 0.1], [0, 1.0], [-1.0, 0]])
    ranking = deita(points, [3, 2, 3, 1], [2, 2, 1, 1], 3)
    assert ranking.indices.tolist() == [0, 2, 3]
    assert ranking.gains.tolist() == [6.0, 3.0, 1.0]
    assert ranking.details == {"accepted": 3, "passed_over": 1, "filled": 0}
    filled = deita(points, [3, 2, 3, 1], [2, 2, 1, 1], 4)
    assert filled.indices.tolist() == [0, 2, 3, 1]
    assert filled.details == {"accepted": 3, "passed_over": 1, "filled": 1}


def test_deita_at_threshold_one_drops_equal_prompts_alone():
    points = np.random.default_rng(7).normal(size=(300, 20)).astype(np.float16)
    ranking = deita(np.repeat(points, 2, axis=0), np.ones(600), np.ones(600), 600, threshold=1.0)
    assert ranking.details == {"accepted": 300, "passed_over": 300, "filled": 300}
    assert ranking.indices[:300].tolist() == list(range(0, 600, 2))


@pytest.mark.parametrize("threshold", [-0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("selected", [(), (3, 17, 60)])
def test_deita_is_the_plain_loop(threshold, selected):
    points, quality, complexity = pool(2500, 4, seed=1)
    scores = quality * complexity
    for budget in (1, 40, 2000):
        ranking = deita(points, quality, complexity, budget, threshold=threshold, selected=selected)
        assert ranking.indices.tolist() == plain_deita(points, scores, budget, threshold, selected)


def test_deita_on_real_embeddings():
    points = t0_embeddings(3000)
    rng = np.random.default_rng(2)
    quality, complexity = rng.random(3000), rng.random(3000)
    ranking = deita(points, quality, complexity, 1500)
    chosen = cosines(points)[np.ix_(ranking.indices, ranking.indices)]
    assert np.triu(chosen, 1).max() < 0.9 + 1e-6
    assert ranking.details["accepted"] == 1500
    assert ranking.details["passed_over"] > 0
    assert ranking.indices.tolist() == plain_deita(points, quality * complexity, 1500, 0.9)


@pytest.mark.parametrize("engine", ["auto", "dense", "sparse", "blocked"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.95])
def test_qdit_is_the_plain_loop(alpha, engine):
    points, quality, _ = pool(150, 5, seed=3)
    quality = 5 * quality
    for selected in [(), (2, 90)]:
        ranking = qdit(points, quality, 60, alpha=alpha, selected=selected, engine=engine)
        assert ranking.indices.tolist() == plain_qdit(points, quality, 60, alpha, selected)
        assert (np.diff(ranking.gains) <= 1e-6).all()
        everyone = [*selected, *ranking.indices]
        objective = (1 - alpha) * np.maximum(cosines(points), 0)[:, everyone].max(1).sum()
        objective += alpha * quality[everyone].sum()
        assert ranking.objective == pytest.approx(objective, rel=1e-5)


def test_qdit_between_its_two_ends():
    points, quality, _ = pool(120, 6, seed=4)
    assert (
        qdit(points, quality, 30, alpha=0).indices.tolist()
        == facility_location(points, 30, kernel="cosine").indices.tolist()
    )
    assert qdit(points, quality, 30, alpha=1).indices.tolist() == top_scores(quality, 30).indices.tolist()


def test_qdit_engines_agree_where_pairs_come_late():
    """Real prompts are too many near pairs at first: the sparse engine begins with products."""
    points = t0_embeddings(1200)
    quality = np.random.default_rng(6).random(1200)
    sparse = qdit(points, quality, 400, alpha=0.7, engine="sparse", selected=[5, 6])
    blocked = qdit(points, quality, 400, alpha=0.7, engine="blocked", selected=[5, 6])
    assert sparse.objective == pytest.approx(blocked.objective, rel=1e-9)
    assert sparse.objective <= sparse.upper_bound <= blocked.upper_bound * (1 + 1e-6)
    assert sparse.indices.tolist() == blocked.indices.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_qdit_bound_holds_against_all_subsets(seed):
    points, quality, _ = pool(10, 3, seed)
    weights = np.maximum(cosines(points), 0)
    for alpha in (0.2, 0.8):
        best = max(
            (1 - alpha) * weights[:, list(chosen)].max(1).sum() + alpha * quality[list(chosen)].sum()
            for chosen in combinations(range(10), 3)
        )
        ranking = qdit(points, quality, 3, alpha=alpha)
        assert ranking.objective <= best + 1e-5
        assert best <= ranking.upper_bound + 1e-6
        assert ranking.objective >= (1 - 1 / np.e) * best


@pytest.mark.parametrize("rule", ["deita", "qdit"])
def test_ties_go_by_key_whatever_the_row_order(rule):
    rng = np.random.default_rng(5)
    points = rng.integers(-1, 2, size=(60, 3)) + np.array([5.0, 0, 0])
    quality, keys = rng.integers(1, 3, size=60).astype(float), np.arange(60)
    order = rng.permutation(60)

    def run(rows):
        if rule == "deita":
            return deita(points[rows], quality[rows], np.ones(60), 40, tie_break=keys[rows]).indices
        return qdit(points[rows], quality[rows], 40, tie_break=keys[rows]).indices

    assert run(keys).tolist() == order[run(order)].tolist()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (deita, {"threshold": 1.5}, "threshold must be"),
        (deita, {"quality": [1, -1, 1, 1]}, r"quality must be at least 0; rows \[1\]"),
        (deita, {"complexity": [1, 1, np.nan, 1]}, r"complexity must be finite; rows \[2\]"),
        (deita, {"complexity": [1, 1]}, "one value per prompt"),
        (qdit, {"alpha": -0.1}, "alpha must be"),
        (qdit, {"alpha": float("nan")}, "alpha must be"),
        (qdit, {"engine": "apricot"}, "engine must be"),
        (qdit, {"quality": [1e12, 1, 1, 1]}, "Scale quality down"),
        (qdit, {"budget": 5}, "budget must not exceed"),
        (qdit, {"embeddings": np.zeros((4, 2))}, "zero vectors"),
        (qdit, {"memory_limit": 1}, "memory_limit"),
    ],
)
def test_bad_arguments(function, arguments, message):
    given = {"embeddings": np.eye(4), "quality": np.ones(4), "budget": 2, **arguments}
    if function is deita:
        given.setdefault("complexity", np.ones(4))
    with pytest.raises(ValueError, match=message):
        function(**given)
