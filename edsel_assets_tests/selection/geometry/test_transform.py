"""Centring and whitening against their definitions, and the cases in which a direction is missing."""

import numpy as np
import pytest

from edsel_assets.selection.geometry import transform as module
from edsel_assets.selection.geometry.transform import fit_transform
from edsel_assets_tests.selection.pools import labelled


def cone(rows: int = 400, dim: int = 12) -> np.ndarray:
    """Points around 8 centres, all shifted far along one direction."""
    return labelled(rows, dim, 8, seed=2)[0] + 20 * np.eye(dim)[3]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_centring_is_its_definition():
    points = cone()
    centred = unit(points) - unit(points).mean(axis=0)
    made = fit_transform(points, "centre").apply(points)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, unit(centred), atol=1e-6)
    assert (unit(points) @ unit(points).T).mean() > 0.9
    assert abs((made @ made.T).mean()) < 0.05


def test_whitening_is_that_of_the_singular_values():
    points = cone()
    centred = unit(points) - unit(points).mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)  # whitened rows are those of U, times sqrt(N)
    expected = unit(left[:, :5])
    made = fit_transform(points, "whiten", dimensions=5).apply(points)
    np.testing.assert_allclose(made @ made.T, expected @ expected.T, atol=1e-5)  # but for the axes' signs
    fitted = fit_transform(points, "whiten", dimensions=5)
    whitened = centred @ fitted.basis
    np.testing.assert_allclose(whitened.T @ whitened / len(points), np.eye(5), atol=1e-8)


@pytest.mark.parametrize("kind", ["centre", "whiten"])
def test_neither_order_nor_blocks_nor_narrow_floats_change_it_beyond_rounding(kind, monkeypatch):
    points = cone()
    whole = fit_transform(points, kind, dimensions=6)
    made = whole.apply(points)
    order = np.random.default_rng(0).permutation(len(points))
    np.testing.assert_allclose(
        fit_transform(points[order], kind, dimensions=6).apply(points), made, atol=1e-6
    )
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * points.shape[1] * 7)
    np.testing.assert_allclose(fit_transform(points, kind, dimensions=6).apply(points), made, atol=1e-6)
    narrow = points.astype(np.float16)
    rough = fit_transform(narrow, kind, dimensions=6).apply(narrow)
    assert (rough * made).sum(axis=1).min() > 0.99
    if whole.basis is not None:
        largest = whole.basis[np.abs(whole.basis).argmax(axis=0), np.arange(6)]
        assert (largest > 0).all()


def test_directions_without_variance_are_left_out():
    flat = np.hstack([cone(dim=4), np.zeros((400, 3)), np.ones((400, 1))])
    assert fit_transform(flat, "whiten", dimensions=8).apply(flat).shape[1] <= 5
    assert np.isfinite(fit_transform(flat, "whiten").apply(flat)).all()


@pytest.mark.parametrize("kind", ["centre", "whiten"])
def test_a_pool_of_one_direction_stays_as_it_is(kind):
    for pool in (np.array([[3.0, 4.0]], np.float32), np.tile([[1.0, 2.0, 2.0]], (5, 1)).astype(np.float32)):
        fitted = fit_transform(pool, kind)
        assert fitted.kind == "none"
        np.testing.assert_array_equal(fitted.apply(pool), pool)


def test_a_prompt_at_the_mean_keeps_its_own_direction():
    shifted = module.Transform("centre", np.array([0.0, 0.0, 1.0]), None, 1.0)
    np.testing.assert_allclose(shifted.apply(np.array([[0.0, 0.0, 5.0]])), [[0.0, 0.0, 1.0]])
    turned = module.Transform("whiten", np.array([0.0, 0.0, 1.0]), np.eye(3)[:, :2], 1.0)
    np.testing.assert_allclose(turned.apply(np.array([[0.0, 0.0, 5.0]])), [[1.0, 0.0]])


def test_unknown_kinds_and_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"none, centre, whiten; got 'zca'"):
        fit_transform(cone(), "zca")
    with pytest.raises(ValueError, match="dimensions must be at least 1; got 0"):
        fit_transform(cone(), "whiten", dimensions=0)
