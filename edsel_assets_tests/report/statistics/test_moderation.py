import numpy as np
import pytest

from edsel_assets.report.statistics.moderation import Prior, fit_prior


def drawn(count: int, df: float, prior: float, generator: np.random.Generator) -> np.ndarray:
    """Estimated variances whose true ones are scaled inverse chi-squared, mean scale 4."""
    true = 4.0 * prior / generator.chisquare(prior, count) if np.isfinite(prior) else np.full(count, 4.0)
    return true * generator.chisquare(df, count) / df


def test_the_prior_is_found_again():
    generator = np.random.default_rng(0)
    apart = generator.standard_normal((3000, 3))
    found = fit_prior(drawn(3000, 2, 6.0, generator), np.full(3000, 2.0), apart)
    assert found.df == pytest.approx(6.0, rel=0.3)
    assert found.variance == pytest.approx(4.0, rel=0.1)
    alike = fit_prior(drawn(3000, 2, np.inf, generator), np.full(3000, 2.0), apart)
    assert alike.df > 40
    assert alike.variance == pytest.approx(4.0, rel=0.1)


def test_steadied_variances_by_hand():
    variances, df = Prior(4.0, 6.0, 100.0).moderate(np.array([1.0, 9.0, 0.0]), np.array([2.0, 2.0, 0.0]))
    assert variances == pytest.approx([(24 + 2) / 8, (24 + 18) / 8, 4.0])
    assert df == pytest.approx([8, 8, 6])
    variances, df = Prior(4.0, np.inf, 30.0).moderate(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    assert (variances.tolist(), df.tolist()) == ([4.0, 4.0], [30.0, 30.0])
    variances, df = Prior(0.0, 0.0, 2.0).moderate(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    assert variances[0] == 1.0
    assert np.isnan(variances[1])


def test_one_cell_borrows_nothing_and_copies_count_once():
    one = fit_prior(np.array([2.0]), np.array([2.0]), np.ones((1, 3)))
    assert (one.df, one.limit) == (0, 2)
    generator = np.random.default_rng(1)
    deviation = generator.standard_normal(3)
    copies = fit_prior(np.full(20, 2.0), np.full(20, 2.0), np.tile(deviation, (20, 1)))
    assert copies.limit == pytest.approx(2.0)
    apart = fit_prior(drawn(20, 2, np.inf, generator), np.full(20, 2.0), generator.standard_normal((20, 3)))
    assert 10 < apart.limit <= 40
    nothing = fit_prior(np.zeros(3), np.full(3, 2.0), np.zeros((3, 3)))
    assert (nothing.df, nothing.variance) == (0, 0)
