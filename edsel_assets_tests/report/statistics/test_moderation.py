import numpy as np
import pytest

from edsel_assets.report.statistics.moderation import MOST, Prior, fit_prior


def drawn(count: int, df: float, prior: float, generator: np.random.Generator) -> np.ndarray:
    """Estimated variances whose true ones are scaled inverse chi-squared, scale 4."""
    true = 4.0 * prior / generator.chisquare(prior, count)
    return true * generator.chisquare(df, count) / df


def fitted(variances, deviations, at=None, budgets=(100.0,), df=2.0):
    at = np.full(len(variances), 100.0) if at is None else at
    of, strategies = np.arange(len(variances)), np.zeros(len(budgets), int)
    counts = np.full(len(variances), df)
    return fit_prior(variances, counts, deviations, at, of, np.array(budgets), strategies + len(of))


def test_what_is_borrowed_shrinks_as_variances_differ():
    generator = np.random.default_rng(0)
    apart = generator.standard_normal((3000, 3))
    assert fitted(drawn(3000, 2, 4.0, generator), apart).df == pytest.approx(4.0, rel=0.2)
    assert fitted(drawn(3000, 2, 40.0, generator), apart).df == MOST


def test_budgets_that_differ_take_nothing_off_what_is_borrowed():
    generator = np.random.default_rng(1)
    at = np.repeat([100.0, 400.0], 1000)
    variances = np.where(at == 100, 1.0, 100.0) * generator.chisquare(2, 2000) / 2
    apart = generator.standard_normal((2000, 3))
    found = fitted(variances, apart, at, [50.0, 100.0, 200.0, 400.0, 800.0])
    assert found.df == MOST
    assert found.trust.tolist() == [1.0] * 5, "cells of strategies without a contrast"
    low, high = (variances[at == budget].mean() for budget in (100, 400))
    assert found.read @ found.variances == pytest.approx([low, low, (low + high) / 2, high, high])


def test_steadied_variances_by_hand():
    prior = Prior(np.array([4.0, 8.0]), np.array([10.0, 7.0]), np.eye(2), 6.0, np.ones(2))
    shares = np.array([[1.0, 0], [0, 1.0], [0.5, 0.5], [1.0, 0]])
    variances, df = prior.moderate(np.array([1.0, 9.0, 6.0, 0.0]), np.array([2.0, 2, 9, 0]), shares)
    assert variances == pytest.approx([(24 + 2) / 8, (48 + 18) / 8, (36 + 54) / 15, 4.0])
    # Half of each budget: 6^2 / (2^2 / 10 + 4^2 / 7) degrees of freedom at most.
    assert df == pytest.approx([8, 7, 36 / (0.4 + 16 / 7), 6])
    empty = Prior(np.zeros(1), np.ones(1), np.zeros((2, 1)), 0.0, np.ones(2))
    variances, df = empty.moderate(np.array([1.0, 0.0]), np.array([2.0, 0.0]), shares[:2])
    assert (variances[0], df.tolist()) == (1.0, [2.0, 0.0])
    assert np.isnan(variances[1])


def test_one_cell_borrows_nothing_and_copies_count_once():
    one = fitted(np.array([2.0]), np.ones((1, 3)))
    assert one.moderate(np.array([2.0]), np.array([2.0]), np.ones((1, 1))) == (2.0, 2.0)
    generator = np.random.default_rng(1)
    copies = fitted(np.full(20, 2.0), np.tile(generator.standard_normal(3), (20, 1)))
    assert copies.limits == pytest.approx([2.0])
    apart = fitted(2.0 * generator.chisquare(2, 20), generator.standard_normal((20, 3)))
    assert 10 < apart.limits[0] <= 40
    zero = fitted(np.zeros(3), np.zeros((3, 3)))
    assert zero.variances.tolist() == [0.0]
    unknown = fitted(np.zeros(3), np.zeros((3, 3)), df=0.0)
    assert (unknown.df, unknown.variances.tolist()) == (0.0, [0.0])


def test_a_noisier_strategy_borrows_nothing_and_lends_nothing():
    """Five strategies at three budgets: one has 100 times the variance of the others, which are alike."""
    of, at = np.repeat(np.arange(5), 3), np.tile([100.0, 200.0, 400.0], 5)
    variances = np.where(of == 4, 100.0, 1.0)
    deviations = np.random.default_rng(0).standard_normal((15, 3))
    cells, budgets = np.r_[of, 9], np.r_[at, 100.0]
    found = fit_prior(variances, np.full(15, 2.0), deviations, at, of, budgets, cells)
    assert found.variances == pytest.approx([1.0, 1.0, 1.0])
    assert found.trust[:15][of < 4].min() > 0.5
    assert found.trust[:15][of == 4].max() < 1e-3
    # A contrast of it with the control borrows what the noisier one may.
    shares = np.zeros((1, 16))
    shares[0, [14, 15]] = 0.5
    variance, df = found.moderate(np.array([100.0]), np.array([2.0]), shares)
    assert (variance[0], df[0]) == pytest.approx((100.0, 2.0), rel=1e-2)
