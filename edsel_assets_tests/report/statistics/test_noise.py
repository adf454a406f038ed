import numpy as np
import pytest

from edsel_assets.report.statistics.noise import (
    average_items,
    items_from_scores,
    items_from_stderr,
    measure_noise,
)

NAN = np.nan


def test_variances_of_contrasts_by_hand():
    # Cell 0: 1, 2, 3 (variance 1); cell 1: 1, 1, 4 (variance 3); sample covariance 1.5.
    noise = measure_noise(np.array([[1.0, 2, 3], [1, 1, 4]]))
    assert noise.seed_variance(np.array([1.0, 0])) == pytest.approx(1 / 3)
    # Paired: differences 0, 1, -1 have variance 1 = 1 + 3 - 2 * 1.5.
    assert noise.seed_variance(np.array([1.0, -1])) == pytest.approx(1 / 3)
    assert noise.factors(np.array([1.0, -1])) == pytest.approx([1 / 3, 1 / 3])
    assert noise.item_variance(np.array([1.0, -1])) == 0


def test_degrees_of_freedom_are_those_of_the_known_designs():
    noise = measure_noise(np.array([[1.0, 2, 4], [1, 1, 3]]))
    mean, df = noise.design(np.array([[1.0, 0], [1, -1]]))
    assert mean == pytest.approx([1 / 3, 2 / 3])
    assert df == pytest.approx([2, 2])  # n - 1 for a mean, and for a paired difference
    # Seeds of their own: the variances add, and so do equal degrees of freedom.
    apart = measure_noise(np.array([[1.0, 2, 4, NAN, NAN, NAN], [NAN, NAN, NAN, 1, 1, 3]]))
    assert apart.design(np.array([1.0, -1]))[1] == pytest.approx(4)
    single = measure_noise(np.array([[1.0, NAN], [2.0, 3.0]]))
    mean, df = single.design(np.array([[1.0, 0], [1, -1]]))
    assert (mean[0], df[0], df[1]) == (0, 0, pytest.approx(1))


def test_the_expected_variance_is_that_of_normal_trials():
    generator = np.random.default_rng(0)
    present = np.array([[1, 1, 1, 0, 0, 0], [1] * 6], bool)
    contrast = np.array([1.0, -1])
    found = [
        measure_noise(np.where(present, generator.standard_normal((2, 6)), NAN)).seed_variance(contrast)
        for _ in range(4000)
    ]
    mean, df = measure_noise(np.where(present, 1.0, NAN)).design(contrast)
    assert np.mean(found) == pytest.approx(mean, rel=0.03)
    assert 2 * np.mean(found) ** 2 / np.var(found) == pytest.approx(df, rel=0.1)


def test_a_covariance_is_scaled_where_seed_counts_differ():
    generator = np.random.default_rng(3)
    values = generator.standard_normal((2, 6)) + generator.standard_normal(6)
    values[1, 3:] = NAN
    noise, contrast = measure_noise(values), np.array([1.0, -1])
    # Two cells with 6 and 3 seeds: the deviations' product is scaled to expect 3 / (6 * 3).
    covariance = noise.seed_covariance()
    assert covariance[0, 1] == pytest.approx((noise.seeds @ noise.seeds.T)[0, 1] * np.sqrt(1.25))
    whole = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert noise.seed_variance(contrast) == pytest.approx(max(whole, 0.0))


def test_the_whole_variance_counts_a_trials_own_noise_per_item_once():
    """Trials = cell + item + trial x item noise: the mean of n trials over I items has a known variance."""
    generator = np.random.default_rng(1)
    n, count, found = 3, 40, []
    for _ in range(1500):
        scores = 0.5 * generator.standard_normal(count) + generator.standard_normal((1, n, count))
        noise = measure_noise(scores.mean(axis=2), items_from_scores(scores))
        one = np.array([1.0])
        found.append(noise.seed_variance(one) + noise.item_variance(one))
    # Item variance 0.25 / I by the draw of items, and 1 / (n I) by the noise of the trials.
    assert np.mean(found) == pytest.approx(0.25 / count + 1 / (n * count), rel=0.05)


def test_items_that_all_cells_share_leave_their_difference():
    generator = np.random.default_rng(2)
    difficulty = generator.standard_normal(200)
    noise = measure_noise(np.zeros((2, 3)), items_from_scores(np.tile(difficulty, (2, 3, 1))))
    assert noise.item_variance(np.array([1.0, 0])) == pytest.approx(difficulty.var(ddof=1) / 200)
    assert noise.item_variance(np.array([1.0, -1])) == pytest.approx(0, abs=1e-12)


def test_standard_errors_add_and_tasks_average():
    part = items_from_stderr(np.array([0.3, 0.4]), 50)
    noise = measure_noise(np.array([[0.0, 1], [0, 1]]), part)
    assert noise.item_variance(np.array([1.0, -1])) == pytest.approx(0.25)
    assert noise.item_df == 49
    both = average_items([part, items_from_stderr(np.array([0.1, 0.1]), 20)], tasks=2)
    assert both.deviations @ both.deviations.T == pytest.approx(np.diag([0.1, 0.17]) / 4)
    assert both.df == 19
