"""Coverage, twins and random draws against plain definitions."""

import numpy as np
import pytest

from edsel_assets.selection.geometry import chance
from edsel_assets.selection.geometry.chance import Standing, random_draws, standings
from edsel_assets_tests.selection.pools import labelled


def test_by_hand():
    # Directions 0, 90, 180 and 0 degrees. Picks 0 and 3 are twins; cosines to them are 1, 0, -1 and 1.
    points = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [5.0, 0.0]])
    assert standings(points, [np.array([0, 3]), np.array([0, 1])]) == [
        Standing(0.25, 1.0),
        Standing(0.75, 0.0),
    ]
    # With row 2 known before, that row is covered whatever is picked.
    assert standings(points, [np.array([0, 3])], known=[2]) == [Standing(0.75, 1.0)]


def test_the_plain_definition(monkeypatch):
    points, _ = labelled(700, 9, 6, seed=4)
    points[100:110] = points[:10]
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    known, draws = np.array([7, 300]), random_draws(np.arange(700), 60, known=[7, 300], draws=5)
    draws.append(np.r_[0:10, 100:105])
    monkeypatch.setattr(chance, "_BLOCK", 1000)  # several blocks
    for rows, found in zip(draws, standings(points, draws, known=known), strict=True):
        best = (unit @ unit[np.r_[rows, known]].T).max(axis=1)
        among = unit[rows] @ unit[rows].T - 2 * np.eye(len(rows))
        assert found.coverage == pytest.approx(best.mean(), abs=1e-6)
        assert found.twins == (among.max(axis=1) > 0.99).mean()
    assert found.twins == 10 / 15


def test_a_large_pool_is_looked_at_by_its_keys():
    points, _ = labelled(5000, 6, 9, seed=1)
    keys = np.array([f"p{i}" for i in range(5000)])
    rows, order = np.arange(0, 5000, 100), np.random.default_rng(0).permutation(5000)
    (found,) = standings(points, [rows], keys=keys)
    back = np.argsort(order)[rows]
    (again,) = standings(points[order], [back], keys=keys[order])
    assert again == pytest.approx(found, abs=1e-6)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert found.coverage == pytest.approx((unit @ unit[rows].T).max(axis=1).mean(), abs=0.01)


def test_draws_are_uniform_keyed_and_of_nothing_known():
    keys = np.array([f"p{i}" for i in range(40)])
    draws = random_draws(keys, 10, known=[3, 5], draws=4000, seed=1)
    counts = np.bincount(np.concatenate(draws), minlength=40)
    assert counts[[3, 5]].sum() == 0
    expected = 4000 * 10 / 38
    assert np.abs(np.delete(counts, [3, 5]) - expected).max() < 5 * np.sqrt(expected * 28 / 38)
    assert all(len(set(rows.tolist())) == 10 for rows in draws)
    order = np.random.default_rng(0).permutation(40)
    (one,), (other,) = (random_draws(k, 10, draws=1) for k in (keys, keys[order]))
    assert set(keys[one]) == set(keys[order][other])


def test_draws_for_money_spend_what_there_is():
    prices = np.array([5.0, 1.0, 1.0, 1.0, 9.0, 2.0])
    for rows in random_draws(np.arange(6), 6.0, prices=prices, draws=20):
        assert prices[rows].sum() <= 6
        left = 6 - prices[rows].sum()
        assert (np.delete(prices, rows) > left).all()
