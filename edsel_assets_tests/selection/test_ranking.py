"""The guarantee of a ranking, and top-b selection."""

import numpy as np
import pytest

from edsel_assets.selection import Ranking, random_subset, top_scores


@pytest.mark.parametrize(
    ("objective", "upper_bound", "guarantee"),
    [
        (8.0, 10.0, 0.8),
        (10.0, 10.0, 1.0),
        (-2.0, -1.0, 0.5),  # a cost of 2 where 1 may be possible
        (-1.0, -1.0, 1.0),
        (0.0, 0.0, 1.0),
        (-1.0, 0.0, 0.0),
        (None, 1.0, None),
        (1.0, None, None),
    ],
)
def test_guarantee_by_hand(objective, upper_bound, guarantee):
    ranking = Ranking(np.array([0]), np.array([1.0]), objective, upper_bound)
    assert ranking.guarantee == guarantee
    assert len(ranking) == 1


def test_top_scores_by_hand():
    ranking = top_scores([3.0, 9.0, 3.0, -1.0, 7.0], 3, exclude=[1], tie_break=["d", "c", "a", "b", "e"])
    assert ranking.indices.tolist() == [4, 2, 0]  # 7, then the two 3s by key
    assert ranking.gains.tolist() == [7.0, 3.0, 3.0]
    assert ranking.objective == 13.0
    assert ranking.guarantee == 1.0


def test_random_subset_is_uniform():
    counts = np.zeros(6)
    for seed in range(3000):
        counts[random_subset(6, 2, seed=seed, exclude=[3]).indices] += 1
    assert counts[3] == 0
    expected = 3000 * 2 / 5
    # Five counts that sum to 6000, variance p(1-p) each: chi-squared with 4 degrees of freedom, 0.1 %.
    statistic = ((counts[[0, 1, 2, 4, 5]] - expected) ** 2 / (expected * 0.6)).sum() * 4 / 5
    assert statistic < 18.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": [1.0, np.nan]}, r"rows \[1\]"),
        ({"scores": ["a", "b"]}, "must hold numbers"),
        ({"budget": 3}, "budget must not exceed the 2"),
        ({"budget": True}, "whole number"),
        ({"exclude": [5]}, "rows of the pool"),
        ({"tie_break": ["a", "a"]}, "unique"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        top_scores(**{"scores": [1.0, 2.0], "budget": 1, **arguments})
