import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from edsel_assets.report.statistics.curve import isotonic, places, reached


def test_isotonic_agrees_with_another_implementation():
    generator = np.random.default_rng(0)
    means, weights = generator.standard_normal((200, 7)), generator.integers(1, 7, 7).astype(float)
    expected = np.array([isotonic_regression(row, sample_weight=weights) for row in means])
    assert isotonic(means, weights) == pytest.approx(expected)
    assert isotonic(np.array([3.0, 1.0, 4.0]), np.array([1.0, 3.0, 1.0])) == pytest.approx([1.5, 1.5, 4.0])


def test_places_read_the_straight_line_in_the_logarithm():
    where, read = places(np.array([100.0, 200.0, 800.0]))
    means = np.array([1.0, 2.0, 6.0])
    assert {100.0, 200.0, 800.0} <= set(np.round(where, 6))
    assert read.sum(axis=1) == pytest.approx(1.0)
    assert read @ means == pytest.approx(np.interp(np.log(where), np.log([100, 200, 800]), means))
    assert places(np.array([100.0]))[0] == pytest.approx([100.0])


@pytest.mark.parametrize(
    ("score", "budget"),
    [
        (0.4, 100), (0.5, 100 * 2**0.5), (0.6, 200), (0.7, 400), (0.8, 800),
        (0.39, -np.inf), (0.81, np.inf),
    ],
)  # fmt: skip
def test_where_a_curve_reaches_a_score_by_hand(score, budget):
    # 0.4 at 100, 0.6 at 200, flat to 400's 0.6, 0.8 at 800 (0.7 is half-way from 200 * 2 to 800).
    budgets, curve = np.array([100.0, 200.0, 200.0 * 1.0001, 800.0]), np.array([0.4, 0.6, 0.6, 0.8])
    assert reached(budgets, curve, score) == pytest.approx(budget, rel=1e-3)
