"""Cluster budgets, draws and round weights against their definitions."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edsel_assets.selection import Clusters, cluster_budgets, sample_clusters, update_weights


def clustering(labels: list[int], distances: list[float] | None = None) -> Clusters:
    labels = np.array(labels)
    distances = np.zeros(len(labels)) if distances is None else np.array(distances)
    return Clusters(
        labels, np.zeros((labels.max() + 1, 2), dtype=np.float32), distances.astype(np.float32), 0.0
    )


# -- budgets


def test_largest_remainder_by_hand():
    # 7 of 10: exact shares 3.5, 2.1, 1.4; floors 3, 2, 1; the one left goes to the remainder .5.
    assert cluster_budgets([5, 3, 2], 7).tolist() == [4, 2, 1]


def test_excess_of_a_full_cluster_goes_to_the_others_in_proportion():
    # Shares 6, 3, 3 of 12, but the first has 2: the other 10 go to equal weights, 5 and 5.
    assert cluster_budgets([10, 10, 10], 12, weights=[2, 1, 1], available=[2, 10, 10]).tolist() == [2, 5, 5]


def test_clusters_without_weight_give_last():
    assert cluster_budgets([5, 3, 2], 4, weights=[0, 1, 1]).tolist() == [0, 2, 2]
    assert cluster_budgets([5, 3, 2], 9, weights=[0, 1, 1]).tolist() == [4, 3, 2]


def test_more_clusters_than_budget_still_sums():
    # The published code gives 0 to each of 4,096 clusters of 4 at a budget of 10,000 of 16,384.
    budgets = cluster_budgets(np.full(4096, 4), 10_000)
    assert budgets.sum() == 10_000
    assert set(budgets.tolist()) == {2, 3}


@pytest.mark.parametrize("scale", [5e-324, 1.0, 1e300])
def test_weights_of_any_scale(scale):
    assert cluster_budgets([9, 9], 9, weights=[scale, 2 * scale]).tolist() == [3, 6]


budget_cases = st.integers(1, 30).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(0, 40), min_size=count, max_size=count),
        st.lists(st.floats(0, 1e6), min_size=count, max_size=count),
        st.lists(st.floats(0, 1), min_size=count, max_size=count),
        st.floats(0, 1),
    )
)


@given(budget_cases)
@settings(max_examples=200, deadline=None)
def test_budgets_are_exact_and_capped(case):
    sizes, weights, shares, fill = case
    available = [int(size * share) for size, share in zip(sizes, shares, strict=True)]
    budget = int(fill * sum(available))
    for chosen in (None, weights if any(weights) else None):
        budgets = cluster_budgets(sizes, budget, weights=chosen, available=available)
        assert budgets.sum() == budget
        assert (budgets >= 0).all()
        assert (budgets <= available).all()


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_without_caps_every_budget_is_within_one_of_its_share(sizes, fill):
    budget = int(fill * sum(sizes))
    exact = np.array(sizes) * budget / sum(sizes)
    assert (np.abs(cluster_budgets(sizes, budget) - exact) < 1 + 1e-9).all()


# -- draws


def test_closest_by_hand():
    found = clustering([0, 0, 0, 1, 1], [0.3, 0.1, 0.2, 0.5, 0.4])
    # Budgets 2 and 1: rows 1 and 2 of the first, 4 of the second, in turns.
    ranking = sample_clusters(found, 3, "closest")
    assert ranking.indices.tolist() == [1, 4, 2]
    np.testing.assert_allclose(ranking.gains, [-0.1, -0.4, -0.2])
    assert ranking.details["budgets"] == [2, 1]


def successive(odds: np.ndarray, count: int) -> dict[tuple[int, ...], float]:
    """Probability of each ordered outcome of ``count`` draws without replacement."""
    outcomes = {}
    for order in permutations(range(len(odds)), count):
        chance, left = 1.0, odds.sum()
        for item in order:
            chance *= odds[item] / left
            left -= odds[item]
        outcomes[order] = chance
    return outcomes


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_draws_without_replacement_are_successive_sampling(temperature):
    quality = np.array([0.1, 0.5, 1.0, 0.2])
    odds = quality if temperature is None else np.exp(quality / temperature)
    found, draws = clustering([0] * 4), 20_000
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(draws):
        ranking = sample_clusters(found, 2, "quality", quality=quality, temperature=temperature, seed=seed)
        picks = tuple(ranking.indices.tolist())
        seen[picks] = seen.get(picks, 0) + 1
    expected = successive(odds, 2)
    statistic = sum((seen.get(k, 0) - draws * p) ** 2 / (draws * p) for k, p in expected.items())
    assert statistic < 31.3  # chi-squared with 11 degrees of freedom, 0.1 %


def test_no_quality_comes_last_and_only_when_needed():
    quality = np.array([0.0, 0.0, 0.0, 1e-300, 1e300])
    found = clustering([0] * 5)
    for seed in range(30):
        ranking = sample_clusters(found, 4, "quality", quality=quality, seed=seed)
        assert set(ranking.indices[:2].tolist()) == {3, 4}
    last = {int(sample_clusters(found, 3, "quality", quality=quality, seed=s).indices[2]) for s in range(60)}
    assert last == {0, 1, 2}


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 1e9])
def test_extreme_temperatures_do_not_overflow(temperature):
    quality = np.array([-1e200, 5.0, 5.0, 3.0, -2.0])
    picks = [
        sample_clusters(
            clustering([0] * 5), 5, "quality", quality=quality, temperature=temperature, seed=s
        ).indices
        for s in range(40)
    ]
    assert all(sorted(p.tolist()) == list(range(5)) for p in picks)
    if temperature < 1:
        # Cold draws go by quality, and equal qualities still by chance.
        assert {tuple(p[2:].tolist()) for p in picks} == {(3, 4, 0)}
        assert {int(p[0]) for p in picks} == {1, 2}


def test_selected_prompts_use_up_their_cluster():
    found = clustering([0] * 5 + [1] * 5)
    ranking = sample_clusters(found, 5, "random", selected=[0, 1, 2, 3], seed=0)
    # Shares 2.5 and 2.5, one member left in the first: 1 and 4.
    assert ranking.details["budgets"] == [1, 4]
    assert 4 in ranking.indices
    assert not set(ranking.indices.tolist()) & {0, 1, 2, 3}


def test_with_replacement_counts_copies():
    found = clustering([0] * 4 + [1] * 4)
    quality = np.array([1.0, 0, 0, 0, 1, 1, 1, 1])
    ranking = sample_clusters(found, 6, "quality", quality=quality, replacement=True, seed=1)
    copies = dict(zip(ranking.indices.tolist(), ranking.details["copies"], strict=True))
    assert copies[0] == 3  # the only one with a chance in its cluster
    assert sum(copies.values()) == 6
    assert set(copies) <= {0, 4, 5, 6, 7}


@pytest.mark.parametrize(("rule", "replacement"), [("random", False), ("quality", False), ("quality", True)])
def test_draws_do_not_depend_on_row_order(rule, replacement):
    rng = np.random.default_rng(0)
    labels, quality, keys = rng.integers(4, size=80), rng.random(80), np.arange(80).astype(str)
    order = rng.permutation(80)
    settings_ = {"seed": 3, "replacement": replacement}
    one = sample_clusters(
        clustering(labels.tolist()),
        30,
        rule,
        quality=quality if rule == "quality" else None,
        tie_break=keys,
        **settings_,
    )
    other = sample_clusters(
        clustering(labels[order].tolist()),
        30,
        rule,
        quality=quality[order] if rule == "quality" else None,
        tie_break=keys[order],
        **settings_,
    )
    assert one.indices.tolist() == order[other.indices].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "best"}, "rule must be one of"),
        ({"rule": "random", "quality": np.ones(4)}, "belong to rule 'quality'"),
        ({"rule": "quality"}, "needs quality"),
        ({"rule": "quality", "quality": [1, 1, -1, 1]}, r"rows \[2\] are negative"),
        ({"rule": "quality", "quality": [1, 1, np.nan, 1]}, r"rows \[2\] are not"),
        ({"rule": "quality", "quality": np.ones(4), "temperature": 0}, "temperature must be"),
        ({"budget": 5}, "budget must not exceed"),
        ({"weights": [1.0]}, "one per cluster"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
    ],
)
def test_bad_sampling_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_clusters(clustering([0, 0, 1, 1]), **{"budget": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 7}, "must not exceed the 6"),
        ({"sizes": [1.5, 2]}, "whole numbers"),
        ({"sizes": [-1, 2]}, "at least 0"),
        ({"available": [4, 4]}, r"clusters \[0\]"),
        ({"weights": [1, np.nan]}, "finite"),
    ],
)
def test_bad_budget_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        cluster_budgets(**{"sizes": [2, 4], "budget": 3, **arguments})


# -- weights of iterative rounds


def test_weights_by_hand():
    # exp(0) : exp(log 3) = 1 : 3 on equal weights, over the two scored; the third keeps its share.
    updated = update_weights(np.array([1, 1, 2]), np.array([0, np.log(3), np.nan]))
    np.testing.assert_allclose(updated, [0.125, 0.375, 0.5])


def test_literal_weights_by_hand():
    # 0.2 x 1/4 : 0.3 x 3/4 = 2 : 9 of the half that is scored.
    updated = update_weights(np.array([0.2, 0.3, 0.5]), np.array([1.0, 3.0, np.nan]), literal=True)
    np.testing.assert_allclose(updated, [0.5 * 2 / 11, 0.5 * 9 / 11, 0.5])


def test_literal_refuses_a_negative_score():
    with pytest.raises(ValueError, match=r"lowest is -0.5"):
        update_weights(np.ones(2), np.array([-0.5, 1.0]), literal=True)


@given(
    st.lists(
        st.tuples(st.floats(0.001, 1), st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))),
        min_size=1,
        max_size=20,
    ),
    st.floats(1e-3, 1e3),
)
@settings(max_examples=200, deadline=None)
def test_weights_sum_to_one_and_unsampled_keep_theirs(pairs, temperature):
    weights, scores = np.array(pairs).T
    updated = update_weights(weights, scores, temperature=temperature)
    assert updated.sum() == pytest.approx(1)
    assert (updated >= 0).all()
    unsampled = np.isnan(scores)
    np.testing.assert_allclose(updated[unsampled], (weights / weights.sum())[unsampled])


def test_better_scores_earn_weight():
    updated = update_weights(np.full(4, 0.25), np.array([1.0, 2.0, 3.0, -5.0]), temperature=0.7)
    assert (np.argsort(updated) == [3, 0, 1, 2]).all()
