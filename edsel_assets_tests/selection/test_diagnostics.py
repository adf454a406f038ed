"""Diagnostics against plain definitions and numbers worked out by hand."""

import numpy as np
import pytest

from edsel_assets.selection import coverage, low_quality_share, overlap
from edsel_assets_tests.selection.pools import labelled


def test_low_quality_share_by_hand():
    # Means .2, .5, .3: one of three is under .3.
    labels, quality = np.array([0, 0, 1, 1, 2]), np.array([0.1, 0.3, 0.4, 0.6, 0.3])
    assert low_quality_share(labels, quality) == pytest.approx(1 / 3)
    assert low_quality_share(labels, quality, threshold=0.31) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="finite"):
        low_quality_share(labels, np.full(5, np.nan))


def test_coverage_by_hand():
    points = np.array([[0.0], [1.0], [2.0], [5.0]])
    found = coverage(points, [0, 3], distance=1.0, normalise=False)
    assert found.share == 0.75  # rows 0, 1 and 3; row 2 is 2 away
    assert found.mean == (0 + 1 + 2 + 0) / 4
    assert found.quantiles[0.5] == 0.5
    assert found.quantiles[1.0] == 2.0


def test_coverage_is_the_plain_minimum():
    points, _ = labelled(3000, 12, 10, seed=4)
    chosen = np.random.default_rng(1).choice(3000, 700, replace=False)
    nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
    found = coverage(points, chosen, distance=2.0, normalise=False)
    assert found.share == pytest.approx((nearest <= 2).mean(), abs=1e-3)
    assert found.mean == pytest.approx(nearest.mean(), rel=1e-5)
    with pytest.raises(ValueError, match="at least one"):
        coverage(points, [])
    with pytest.raises(ValueError, match="distance must be"):
        coverage(points, [1], distance=-1)


def test_overlap_by_hand():
    assert overlap([1, 2, 3, 4], [3, 4, 5]) == (2, 2 / 5, 2 / 3)
    assert overlap(["a"], ["b"]) == (0, 0.0, 0.0)
    assert overlap([], []) == (0, 1.0, 1.0)
    assert overlap([], [1]) == (0, 0.0, 0.0)
