"""Gain curves over gamma and the rule that picks one."""

import numpy as np
import pytest

from edsel_assets.selection import facility_location, gain_curves, kept_share, usable_gamma


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 12))[rng.integers(30, size=400)] + 0.3 * rng.normal(size=(400, 12))


def test_kept_share_by_hand():
    # Ten picks: the early one is the first, 8; the last is 2.
    assert kept_share(np.array([8.0, 7, 6, 6, 5, 4, 4, 3, 3, 2])) == 0.25
    assert kept_share(np.zeros(5)) == 0.0
    assert kept_share(np.empty(0)) == 0.0


def test_the_rule_reads_figure_3_as_the_paper_does():
    size = np.arange(1, 1001)
    level, sublinear, vanished = 1 + 2 / size, 40 / np.sqrt(size), 1e5 / size**3
    curves = {0.001: level, 0.005: level, 0.01: level, 0.1: sublinear, 1.0: vanished, 10.0: vanished}
    assert usable_gamma(curves) == 0.01
    assert usable_gamma(curves, least_kept=0.3) == 0.1
    assert usable_gamma({1.0: vanished}) is None


def test_curves_are_the_gains_of_facility_location(points):
    seen = []
    curves = gain_curves(
        points, [1.0, 0.01, 0.1], 80, progress=lambda done, total: seen.append((done, total))
    )
    assert list(curves) == [0.01, 0.1, 1.0]
    for gamma, gains in curves.items():
        np.testing.assert_array_equal(gains, facility_location(points, 80, gamma=gamma).gains)
        assert (np.diff(gains) <= 0).all()
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("gammas", [[], [0.0], [-1.0], [float("nan")], [0.1, 0.1]])
def test_bad_gammas(points, gammas):
    with pytest.raises(ValueError, match="gammas must be"):
        gain_curves(points, gammas, 10)


def test_bad_share():
    with pytest.raises(ValueError, match="least_kept"):
        usable_gamma({}, least_kept=0)
