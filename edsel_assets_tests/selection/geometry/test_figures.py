"""Figures of a pool's geometry against plain definitions."""

import numpy as np
import pytest

from edsel_assets.selection.geometry.figures import geometry
from edsel_assets_tests.selection.pools import labelled


def test_the_plain_definitions():
    points, labels = labelled(600, 10, 5, seed=3)
    points[50:60] = points[:10] * 2  # twins whatever their length
    tasks = [f"t{label}" if label else None for label in labels]
    found = geometry(points, tasks=tasks)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosines = unit @ unit.T
    apart = ~np.eye(600, dtype=bool)
    values = np.linalg.eigvalsh(np.cov(unit.T, bias=True))
    nearest = np.where(apart, cosines, -2).argmax(axis=1)
    known = [i for i in range(600) if tasks[i] is not None]
    assert (found.dimensions, found.looked_at) == (10, 600)
    assert found.mean_cosine == pytest.approx(cosines[apart].mean(), abs=1e-6)
    assert found.effective_dimension == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-5)
    assert found.twins == pytest.approx(np.mean(np.where(apart, cosines, -2).max(axis=1) > 0.99))
    assert found.same_task == pytest.approx(np.mean([tasks[i] == tasks[nearest[i]] for i in known]))
    assert found.by_chance == pytest.approx(
        np.mean([np.mean([tasks[j] == tasks[i] for j in range(600) if j != i]) for i in known])
    )
    assert found.pairs.sum() == 600 * 599 // 2


def test_a_cone_and_a_single_direction():
    cone = labelled(300, 8, 4, seed=0)[0] + 50
    assert geometry(cone).mean_cosine > 0.99
    same = geometry(np.tile([[1.0, 2.0]], (5, 1)))
    assert (same.mean_cosine, same.effective_dimension, same.twins) == (pytest.approx(1.0), 0.0, 1.0)
    assert same.same_task is None
    with pytest.raises(ValueError, match="2 prompts at least"):
        geometry(np.ones((1, 3)))
