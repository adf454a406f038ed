"""The kernel width that follows the pool, and the word about one that is too narrow."""

import warnings

import numpy as np
import pytest
import torch

from benchmarks.selection import width_pools
from benchmarks.selection.width import measure, passes
from edsel_assets.selection import NarrowKernel, auto_gamma, facility_location, gain_curves
from edsel_assets.selection.core import scale
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets.selection.facility.similarity import make_kernel

#: The pools of the benchmark that need no data, at a size for a test.
SMALL = {
    "Gaussian": lambda: width_pools.gaussian(400, 24),
    "clusters": lambda: width_pools.zipf_clusters(400, 24, 15),
    "repeated": lambda: width_pools.repeated(400, 24),
    "one-hot": lambda: width_pools.one_hot(400, 80),
}


def gaussian(rows: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def test_by_hand() -> None:
    # Two unit rows at right angles: their mean is (1/2, 1/2), at squared distance 1/2 from each.
    assert auto_gamma(np.eye(2)) == 0.5
    # 3 rows on a line, at -1, 0 and 4: the mean is 1, the squared distances 4, 1 and 9.
    assert auto_gamma(np.array([[-1.0], [0], [4]]), normalise=False) == 4.667


def test_half_the_mean_squared_distance_of_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "ROWS", 7)
    points = gaussian(60) + 3
    between = ((points[:, None].astype(np.float64) - points[None]) ** 2).sum(-1).mean()
    assert auto_gamma(points, normalise=False) == pytest.approx(between / 2, rel=1e-4)
    assert auto_gamma(1000 * points, normalise=False) == pytest.approx(1e6 * between / 2, rel=1e-4)


def test_the_default_is_the_pools_scale_whatever_the_row_order() -> None:
    points, ids = gaussian(300), np.arange(300)
    order = np.random.default_rng(1).permutation(300)
    one = facility_location(points, 40, tie_break=ids)
    assert one.details["gamma"] == auto_gamma(points)
    named = facility_location(points, 40, tie_break=ids, gamma=auto_gamma(points))
    assert named.indices.tolist() == one.indices.tolist()
    other = facility_location(points[order], 40, tie_break=ids[order])
    assert other.details["gamma"] == one.details["gamma"]
    assert order[other.indices].tolist() == one.indices.tolist()
    smaller = facility_location(points, 10, tie_break=ids)
    assert smaller.indices.tolist() == one.indices[:10].tolist()


@pytest.mark.parametrize("name", SMALL)
def test_near_the_best_width_and_beyond_random(name: str) -> None:
    result = measure(SMALL[name](), budgets=(10, 20, 40), widths=(0.002, 0.03, 0.1, 0.3, 1.0, 3.0, 30.0))
    assert [row["budget"] for row in result["budgets"] if not passes(row)] == []
    assert max(row["deviations"] for row in result["budgets"]) > 2  # so that the pool can tell


DEGENERATE = {
    "one row": gaussian(1),
    "two rows": gaussian(2),
    "five rows": gaussian(5),
    "all alike": np.repeat(gaussian(1), 9, axis=0),
    "all alike but one": np.concatenate([np.repeat(gaussian(1), 200, axis=0), gaussian(1, seed=3)]),
    "opposite": np.array([[1.0, 0], [-1, 0]]),
    "one-hot": np.eye(12),
    "half precision": gaussian(30).astype(np.float16),
}


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("name", DEGENERATE)
def test_defined_for_every_pool(name: str, normalise: bool) -> None:
    points = DEGENERATE[name]
    gamma = auto_gamma(points, normalise=normalise)
    assert np.isfinite(gamma)
    assert gamma > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranking = facility_location(points, len(points), normalise=normalise)
        facility_location(points, 1, normalise=normalise)
    assert sorted(ranking.indices.tolist()) == list(range(len(points)))
    assert np.isfinite(ranking.gains).all()


def test_zero_rows_that_are_not_normalised_are_all_alike() -> None:
    assert auto_gamma(np.zeros((4, 3)), normalise=False) == 1.0


def test_rows_in_a_narrow_cone_keep_their_precision() -> None:
    points = (gaussian(200, 24) + 100 * np.eye(24)[0]).astype(np.float64)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    gamma = auto_gamma(points)
    assert gamma < 0.003
    built = make_kernel(as_embeddings(points), "rbf", gamma, None)
    assert not built.sharp  # products around the mean are exact enough
    exact = np.exp(-((unit[:, None] - unit[None]) ** 2).sum(-1) / gamma)
    found = built.weights(torch.arange(200)).numpy() / 2**20
    np.testing.assert_allclose(found, exact, atol=2e-5)


@pytest.mark.parametrize("money", [False, True])
def test_a_width_at_which_picks_stand_for_themselves_alone_is_named_with_its_remedy(money: bool) -> None:
    points = gaussian(500, 48)
    budget = {"budget": 5.0, "prices": np.ones(500)} if money else {"budget": 5}
    with pytest.warns(NarrowKernel, match=r"gamma 0.002 is too narrow.*99% of.*Use gamma='auto'") as told:
        ranking = facility_location(points, gamma=0.002, **budget)
    assert ranking.details["unseen"] == 495 / 500
    assert ranking.details["warning"] == str(told[0].message)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide = facility_location(points, **budget)
        gain_curves(points, [0.002], 5)
        facility_location(points, 0, gamma=0.002)
    assert wide.details["unseen"] == 0
    assert "warning" not in wide.details


def test_picks_of_another_width_are_left_aside() -> None:
    points = gaussian(120)
    begun = facility_location(points, 20, gamma=0.05)
    anew = facility_location(points, 40)
    assert begun.indices.tolist() != anew.indices[:20].tolist()
    assert facility_location(points, 40, begun=begun).indices.tolist() == anew.indices.tolist()
