import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from sklearn.isotonic import isotonic_regression

from edsel_assets.report.statistics.curve import (
    budget_between,
    gap_errors,
    isotonic,
    reached,
    read_curve,
    wide_gaps,
)


def test_isotonic_agrees_with_another_implementation():
    generator = np.random.default_rng(0)
    weights = generator.integers(1, 7, 7).astype(float)
    for means in generator.standard_normal((200, 7)):
        assert isotonic(means, weights) == pytest.approx(isotonic_regression(means, sample_weight=weights))
    assert isotonic(np.array([3.0, 1.0, 4.0]), np.array([1.0, 3.0, 1.0])) == pytest.approx([1.5, 1.5, 4.0])


def test_a_line_in_the_logarithm_is_read_exactly():
    budgets = np.array([100.0, 200.0, 400.0, 800.0])
    curve = read_curve(budgets, np.array([1.0, 2.0, 3.0, 4.0]))
    assert set(budgets) <= set(curve.where)
    assert curve.values == pytest.approx(1 + np.log2(curve.where / 100))
    assert curve.error == pytest.approx(0.0, abs=1e-12)
    assert curve.weights.sum(axis=1) == pytest.approx(1.0)
    assert read_curve(np.array([100.0]), np.array([5.0])).where == pytest.approx([100.0])


def test_the_curve_is_that_of_fritsch_and_carlson_and_weights_are_its_slopes_in_the_means():
    budgets, means = np.array([50.0, 100.0, 400.0, 800.0]), np.array([1.0, 2.0, 2.4, 5.0])
    curve = read_curve(budgets, means)
    # By hand between 100 and 400: slopes by the weighted harmonic mean of the neighbouring secants.
    h, secants = np.diff(np.log(budgets)), np.diff(means) / np.diff(np.log(budgets))
    one, two = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    slope = (one + two) / (one / secants[:-1] + two / secants[1:])
    t = 0.25
    expected = (
        means[1] * (2 * t**3 - 3 * t**2 + 1) + h[1] * slope[0] * (t**3 - 2 * t**2 + t)
        + means[2] * (3 * t**2 - 2 * t**3) + h[1] * slope[1] * (t**3 - t**2)
    )  # fmt: skip
    place = 24 + 6
    assert curve.where[place] == pytest.approx(100 * 4**t)
    assert curve.values[place] == pytest.approx(expected)
    moved = means + np.array([0.0, 1e-3, 0.0, 0.0])
    again = read_curve(budgets, moved).values[place] - curve.values[place]
    assert curve.weights[place, 1] == pytest.approx(again / 1e-3, rel=0.01)


def test_the_error_is_what_the_others_miss_by_over_the_smaller_gap():
    budgets, means = np.array([100.0, 200.0, 400.0, 1600.0]), np.array([0.0, 1.0, 1.5, 1.8])
    logs = np.log(budgets)
    one = abs(PchipInterpolator(logs[[0, 2, 3]], means[[0, 2, 3]])(logs[1]) - 1.0)
    two = abs(PchipInterpolator(logs[[0, 1, 3]], means[[0, 1, 3]])(logs[2]) - 1.5)
    # Gaps of one, one and two doublings; without the second budget a gap of two, without the third of three.
    expected = [one / 4, max(one / 4, two / 9), two * 4 / 9]
    assert gap_errors(budgets, means) == pytest.approx(expected)
    error = read_curve(budgets, means).error
    assert error[[0, 24, 48, 72]] == pytest.approx(0.0)
    assert error[[12, 36, 60]] == pytest.approx(expected)
    assert gap_errors(budgets[:2], means[:2]) == pytest.approx([0.0])


@pytest.mark.parametrize("name", ["saturating", "power"])
def test_the_error_bounds_what_smooth_curves_are_missed_by(name):
    budgets = np.array([100.0, 200, 400, 800, 1600, 3200])
    truth = {"saturating": lambda b: 0.7 - 0.5 * np.exp(-b / 500), "power": lambda b: 1 - (b / 50) ** -0.5}[
        name
    ]
    curve = read_curve(budgets, truth(budgets))
    missed = np.abs(curve.values - truth(curve.where))
    assert missed.max() <= 1.1 * curve.error.max()
    straight = np.interp(np.log(curve.where), np.log(budgets), truth(budgets))
    assert missed.max() < np.abs(straight - truth(curve.where)).max()


def test_gaps_that_are_too_wide_and_the_budget_between():
    assert wide_gaps(np.array([100, 250, 1000])) == [(250.0, 1000.0)]
    assert [budget_between(*gap) for gap in ((250, 1000), (100, 1600), (2, 8), (30_000, 90_000))] == [
        500, 400, 4, 52_000,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("score", "budget"),
    [(0.4, 100), (0.5, 100 * 2**0.5), (0.6, 200), (0.8, 400), (0.39, -np.inf), (0.81, np.inf)],
)
def test_where_a_curve_reaches_a_score_by_hand(score, budget):
    # 0.4 at 100, 0.6 at 200, 0.8 at 400: a line, so half-way is half-way.
    budgets, curve = np.array([100.0, 200.0, 400.0]), np.array([0.4, 0.6, 0.8])
    assert reached(budgets, curve, score) == pytest.approx(budget)


def test_a_plateau_is_reached_at_its_beginning():
    assert reached(np.array([100.0, 200.0, 400.0]), np.array([0.4, 0.6, 0.6]), 0.6) == 200.0
