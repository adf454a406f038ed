"""Inertia by number of clusters, and where it bends."""

import numpy as np
import pytest

from edsel_assets.selection import elbow, elbow_point, kmeans


def test_elbow_falls_and_bends_at_the_true_count():
    rng = np.random.default_rng(3)
    points = np.eye(16)[rng.integers(16, size=800)] * 4 + 0.1 * rng.normal(size=(800, 16))
    inertia = elbow(points, [64, 4, 8, 16, 32, 16])
    assert list(inertia) == [4, 8, 16, 32, 64]
    assert (np.diff(list(inertia.values())) < 0).all()
    assert inertia[16] == kmeans(points, 16).inertia
    assert elbow_point(inertia) == 16
    with pytest.raises(ValueError, match="at least 3"):
        elbow_point({2: 1.0, 4: 0.5})
