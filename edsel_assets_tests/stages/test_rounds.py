"""Rounds: sizes that add up, picks never repeated, weights by hand, and what was ordered never re-picked."""

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.selection import STRATEGIES, Clusters
from edsel_assets.selection.strategies import Signals, StrategyOptions
from edsel_assets.stages.rounds import (
    next_weights,
    ordered_round,
    pick_round,
    round_size,
    spread_of,
    union,
)

IDS = np.array([f"{i:032x}" for i in range(12)])


def signals() -> Signals:
    labels = np.repeat([0, 1, 2], 4)
    clusters = Clusters(labels, np.zeros((3, 2), np.float32), np.zeros(12, np.float32), 0.0)
    return Signals(prompt_ids=IDS, clusters=clusters, quality=np.ones(12))


@pytest.mark.parametrize(("budget", "rounds"), [(10, 3), (7, 7), (100, 6), (5, 2)])
def test_round_sizes_add_up_to_the_budget_and_differ_by_one(budget, rounds) -> None:
    sizes = [round_size(budget, number, rounds) for number in range(1, rounds + 1)]
    assert sum(sizes) == budget
    assert max(sizes) - min(sizes) <= 1


def test_a_round_takes_no_prompt_that_an_earlier_round_took() -> None:
    strategy, earlier = STRATEGIES["iterative_kmq_perplexity"], []
    for _ in range(3):
        earlier.append(pick_round(strategy, signals(), 4, StrategyOptions(seed=1), earlier))
    taken = union(earlier)["prompt_id"].to_pylist()
    assert len(set(taken)) == len(taken) == 12
    assert union(earlier)["rank"].to_pylist() == list(range(12))


def test_weights_by_hand() -> None:
    # Clusters 0 and 1 score 1 and 0; cluster 2 was not sampled and keeps its third.
    table = next_weights(
        None, np.array([0, 0, 1]), np.array([0.5, 1.5, 0.0]), clusters=3, temperature=1.0, literal=False
    )
    assert table["members"].to_pylist() == [2, 1, 0]
    assert table["score"].to_pylist() == [1.0, 0.0, None]
    e = np.e
    expected = [2 / 3 * e / (e + 1), 2 / 3 * 1 / (e + 1), 1 / 3]
    np.testing.assert_allclose(table["weight"].to_numpy(), expected)


def test_literal_weights_follow_equation_6_and_refuse_a_negative_score() -> None:
    before = pa.table({"weight": [0.5, 0.25, 0.25], "history": [[1 / 3, 0.5], [1 / 3, 0.25], [1 / 3, 0.25]]})
    labels, scores = np.array([0, 1, 2]), np.array([1.0, 2.0, 1.0])
    table = next_weights(before, labels, scores, clusters=3, temperature=1.0, literal=True)
    np.testing.assert_allclose(table["weight"].to_numpy(), [0.5 / 1.25, 0.5 / 1.25, 0.25 / 1.25])
    assert table["history"].to_pylist()[0] == pytest.approx([1 / 3, 0.5, 0.4])
    with pytest.raises(ValueError, match="literal normalisation needs scores of at least 0"):
        next_weights(before, labels, -scores, clusters=3, temperature=1.0, literal=True)


def test_a_prompt_without_a_score_is_left_out_of_its_clusters_mean() -> None:
    labels, nan = np.array([0, 0, 1, 2]), float("nan")
    table = next_weights(
        None, labels, np.array([3.0, nan, nan, 1.0]), clusters=3, temperature=1.0, literal=False
    )
    assert table["members"].to_pylist() == [1, 0, 1]
    assert table["score"].to_pylist() == [3.0, None, 1.0]
    assert table["weight"][1].as_py() == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="none of the 4 prompts of the round has a score"):
        next_weights(None, labels, np.full(4, nan), clusters=3, temperature=1.0, literal=False)


def test_without_a_temperature_the_unit_of_the_scores_does_not_matter() -> None:
    scores = np.random.default_rng(0).normal(size=400)
    labels = np.arange(400) % 100
    tables = [
        next_weights(None, labels, unit * scores, clusters=100, temperature=None, literal=False)
        for unit in (0.01, 1.0, 300.0)
    ]
    for other in tables[1:]:
        np.testing.assert_allclose(other["weight"].to_numpy(), tables[0]["weight"].to_numpy(), rtol=1e-9)
    means = np.bincount(labels, scores) / 4
    expected = np.exp(means / scores.std())
    np.testing.assert_allclose(tables[0]["weight"].to_numpy(), expected / expected.sum())
    equal = next_weights(None, labels, np.full(400, 2.0), clusters=100, temperature=None, literal=False)
    np.testing.assert_allclose(equal["weight"].to_numpy(), np.full(100, 0.01))


def test_by_their_own_scale_no_scorer_leaves_a_few_clusters_at_the_papers_sizes() -> None:
    """3,333 prompts a round over 2,048 clusters, three rounds, scores in the units of each scorer."""
    for unit in (3.4, 1.4, 0.5):  # rewards, ratings, log-perplexities
        draw, table = np.random.default_rng(1), None
        for _ in range(3):
            labels = draw.integers(2048, size=3333)
            scores = unit * draw.normal(size=3333)
            table = next_weights(table, labels, scores, clusters=2048, temperature=None, literal=False)
        assert 300 < spread_of(table["weight"].to_numpy()).effective < 1000


def test_the_spread_of_weights_by_hand() -> None:
    # -2 (1/2) log(1/2) = log 2: as of two clusters, log 2 / log 4 = 1/2.
    found = spread_of(np.array([0.5, 0.5, 0.0, 0.0]))
    assert (found.entropy, found.effective, found.evenness) == pytest.approx((np.log(2), 2.0, 0.5))
    assert spread_of(np.full(7, 1 / 7)).evenness == pytest.approx(1.0)
    assert spread_of(np.array([1.0])).evenness == 1.0
    assert spread_of(np.array([1.0, 0.0])).evenness == 0.0


def test_a_round_that_was_ordered_is_its_order() -> None:
    orders = pa.table(
        {
            "prompt_id": IDS[:4].tolist(),
            "counts_for": ["round_1/selection[00010|iterative_kmq_perplexity.s0]"] * 3 + ["rankings[fl_rbf]"],
            "replaced": [False] * 4,
            "gain": [3.0, 2.0, None, 1.0],
            "validation": [False, False, True, False],
        }
    )
    frozen = ordered_round(orders, "round_1/selection[00010|iterative_kmq_perplexity.s0]")
    assert frozen is not None
    assert frozen["prompt_id"].to_pylist() == IDS[:2].tolist()
    assert ordered_round(orders, "round_2/selection[00010|iterative_kmq_perplexity.s0]") is None
