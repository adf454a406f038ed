import numpy as np
import pytest
from scipy import stats

from edsel_assets.report.statistics.inference import (
    Errors,
    benjamini_hochberg,
    compare,
    holm,
    needed_budgets,
    standard_errors,
)
from edsel_assets.report.statistics.moderation import Prior
from edsel_assets.report.statistics.noise import measure_noise

ONE, OTHER = np.array([1]), np.array([0])


def nothing(values):
    """A prior that lends nothing."""
    return Prior(np.zeros(1), np.ones(1), np.zeros((len(values), 1)), 0.0, np.ones(len(values)))


def test_one_cell_is_the_paired_t_test():
    values = np.array([[0.1, 0.5, 0.3, 0.2], [0.4, 0.5, 0.6, 0.4]])
    names = np.array(["random", "s"])
    found, _ = compare(values.mean(axis=1), measure_noise(values), np.full(2, 100.0), names, ONE, OTHER)
    expected = stats.ttest_rel(values[1], values[0])
    assert found.p == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval()
    assert found.value - found.half_width == pytest.approx(ends.low)
    assert found.value + found.half_width == pytest.approx(ends.high)


def test_one_source_of_noise_has_students_interval():
    errors = Errors(np.array([2.0, np.nan]), np.array([2.0, 2.0]), np.array([1.0, 1.0]), 10.0)
    width, unknown = errors.half_width()
    assert width == pytest.approx(2 * stats.t.ppf(0.975, 2))
    assert np.isnan(unknown)
    items = Errors(np.ones(1), np.array([2.0]), np.zeros(1), 7.0)
    assert items.half_width()[0] == pytest.approx(stats.t.ppf(0.975, 7))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.9])
def test_intervals_of_two_sources_hold_where_one_is_known_on_two_degrees_of_freedom(share):
    generator = np.random.default_rng(1)
    seeds = share * generator.chisquare(2, 100_000) / 2
    items = (1 - share) * generator.chisquare(99, 100_000) / 99
    errors = Errors(np.sqrt(seeds + items), np.full(100_000, 2.0), seeds / (seeds + items), 99.0)
    value = generator.standard_normal(100_000)
    welch = stats.t.ppf(0.975, (seeds + items) ** 2 / (seeds**2 / 2 + items**2 / 99)) * errors.se
    assert 0.93 <= (np.abs(value) <= errors.half_width()).mean() <= 0.965
    assert (np.abs(value) <= welch).mean() < (np.abs(value) <= errors.half_width()).mean()


def test_p_values_mix_the_tails_by_share():
    errors = Errors(np.array([2.0, np.nan]), np.array([2.0, 2.0]), np.array([0.25, 1.0]), 10.0)
    p = errors.two_sided(np.array([3.0, 3.0]))
    assert p[0] == pytest.approx(0.25 * 2 * stats.t.sf(1.5, 2) + 0.75 * 2 * stats.t.sf(1.5, 10))
    assert np.isnan(p[1])
    exact = Errors(np.zeros(2), np.ones(2), np.ones(2), np.inf).two_sided(np.array([0.0, 0.1]))
    assert exact.tolist() == [1.0, 0.0]


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03 times 3, 2, 1 is 0.03, 0.04, 0.03: the last may not fall below the one before.
    assert holm(np.array([0.03, np.nan, 0.01, 0.02])) == pytest.approx(
        [0.04, np.nan, 0.03, 0.04], nan_ok=True
    )
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.array([]))) == 0


def test_an_interval_inverts_the_test_along_a_line():
    """Random exact on a line in log(budget): the interval is that of the score, read off the line."""
    budgets = np.array([100.0, 200.0, 400.0])
    values = np.array([[1.0] * 3, [2.0] * 3, [3.0] * 3, [1.9, 2.0, 2.1]])
    noise = measure_noise(values)
    (found,) = needed_budgets(
        values.mean(axis=1), noise, nothing(values), np.array([3]), np.array([150.0]), np.arange(3), budgets
    )  # fmt: skip
    # Score 2 and slope 1 per doubling: the ends lie half a width of doublings from 200.
    width = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    # Each trial of random is a zero deviation, so the design's degrees of freedom are those of the pairs.
    assert found.budget == pytest.approx(200)
    errors = standard_errors(np.array([0.0, -1.0, 0, 1.0]), noise, nothing(values))
    assert errors.seed_df == pytest.approx(2)
    assert np.log2(found.high / 200) == pytest.approx(width * errors.se / (0.1 / np.sqrt(3)), rel=0.02)
    assert np.log2(200 / found.low) == pytest.approx(np.log2(found.high / 200), rel=0.02)


def test_ends_beyond_the_curve_are_open_and_a_narrow_set_is_found():
    budgets = np.array([100.0, 200.0])
    values = np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 2.2], [1.49, 1.51], [1.5, 1.5], [5.0, 5.1], [0.5, 0.5]])
    cells, at = np.arange(2, 7), np.full(5, 150.0)
    found = needed_budgets(
        values.mean(axis=1), measure_noise(values), nothing(values), cells, at, np.arange(2),
        budgets,
    )  # fmt: skip
    assert (found[0].low, found[0].high) == (-np.inf, np.inf)
    assert 100 < found[1].low < found[1].budget < found[1].high < 200
    middle = 100 * 2**0.5
    assert (found[2].low, found[2].budget, found[2].high) == pytest.approx((middle, middle, middle))
    assert found[3].budget == np.inf
    assert found[4].budget == -np.inf
    assert found[3].low > 200
    assert found[3].high == np.inf
    assert (found[4].low, found[4].high < 100) == (-np.inf, True)
    assert [each.flat for each in found] == [True, False, False, False, False]


def test_benjamini_and_hochberg_agree_with_scipy():
    p = np.array([0.03, 0.001, 0.2, 0.04, 0.9])
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert benjamini_hochberg(np.array([0.02, np.nan, 0.5])) == pytest.approx(
        [0.04, np.nan, 0.5], nan_ok=True
    )


def exact(values):
    """Needed budgets of cells without noise against a control at 100, 200, 400, 800."""
    budgets, trials = np.array([100.0, 200.0, 400.0, 800.0]), np.repeat(np.array(values)[:, None], 2, axis=1)
    cells = np.arange(4, len(values))
    own = budgets[1 : 1 + len(cells)]
    return needed_budgets(
        trials.mean(axis=1), measure_noise(trials), nothing(trials), cells, own, np.arange(4), budgets
    )


def test_over_a_dip_the_interval_holds_every_budget_with_the_score():
    """The control falls from 0.5 to 0.4; the cells score what it scores at their own budgets."""
    peak, dip = exact([0.3, 0.5, 0.4, 0.6, 0.5, 0.4])
    for needed, own in ((peak, 200.0), (dip, 400.0)):
        assert needed.low - 1e-6 <= own <= needed.high + 1e-6
        assert needed.low <= needed.budget <= needed.high
        assert needed.p == 1.0
    assert peak.high > 400.0, "0.5 is reached again between 400 and 800"
    assert dip.low < 200.0, "0.4 is passed before 200 too"


def test_the_error_of_the_interpolation_is_in_the_interval_and_in_p():
    """A curve that bends: between its budgets a score is no number, at one of them it is."""
    at_node, between = exact([0.0, 0.6, 0.7, 0.72, 0.6, 0.66])
    assert (at_node.low, at_node.high) == pytest.approx((200.0, 200.0), rel=0.02)
    assert between.low < between.budget < between.high
    assert between.high / between.low > 1.05
    assert between.p == 0.0, "its own budget is measured, and there is no error there"


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 4.0])
def test_a_half_width_with_a_bias_covers_as_often(ratio):
    """Of a normal value whose bias is as large as it may be."""
    errors = Errors(np.ones(1), np.full(1, 1e9), np.ones(1), np.inf)
    width = errors.half_width(np.full(1, ratio))[0]
    covered = stats.norm.cdf(width - ratio) - stats.norm.cdf(-width - ratio)
    assert covered == pytest.approx(0.95, abs=0.002)
