"""Demand weights find what looks like the queries, and say where nothing does."""

import numpy as np
import pytest

from edsel_assets.selection.targets.demand import demand_from_queries, demand_from_tasks


def two_kinds(size: int, share: float, seed: int = 0, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Unit points of which the first ``share`` lie around another centre, and whether each does."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(size, 16))
    wanted = np.arange(size) < share * size
    points[wanted, 0] += apart
    return points / np.linalg.norm(points, axis=1, keepdims=True), wanted


def test_weights_lie_on_what_looks_like_the_queries() -> None:
    points, wanted = two_kinds(3000, 0.1, apart=4.0)
    asked = two_kinds(40, 1.0, seed=1, apart=4.0)[0]
    demand = demand_from_queries(points, asked)
    assert demand.weights.mean() == pytest.approx(1.0)
    assert demand.weights.min() >= 0
    assert demand.weights[wanted].sum() > 0.7 * demand.weights.sum()  # 0.1 where nothing is learned
    assert demand.auc > 0.9
    assert demand.auc_low > 0.5
    assert demand.told_apart
    assert 0.03 < demand.share < 0.2  # 0.1, known to a factor of two or three
    assert demand.effective_size < 1500


def test_queries_like_the_pool_are_said_to_buy_nothing() -> None:
    """At most one in forty intervals lies over 0.5 by chance; of ten, two are allowed."""
    points, _ = two_kinds(1000, 0.0)
    surely = [
        demand_from_queries(points, two_kinds(30, 0.0, seed=seed)[0]).told_apart for seed in range(1, 11)
    ]
    assert sum(surely) <= 2


def test_weights_do_not_depend_on_row_order_and_follow_strength() -> None:
    points, _ = two_kinds(500, 0.2)
    asked = two_kinds(20, 1.0, seed=1)[0]
    keys = np.arange(500)
    whole = demand_from_queries(points, asked, keys=keys).weights
    turned = np.random.default_rng(2).permutation(500)
    np.testing.assert_allclose(
        demand_from_queries(points[turned], asked, keys=keys[turned]).weights, whole[turned], rtol=1e-4
    )
    half = demand_from_queries(points, asked, keys=keys, strength=0.5).weights
    np.testing.assert_allclose(half, 0.5 + 0.5 * whole)
    np.testing.assert_array_equal(demand_from_queries(points, asked, strength=0.0).weights, 1.0)


def test_prompts_outside_the_pool_are_weighed_on_the_same_scale() -> None:
    """Those drawn as the pool is have its weights, kind by kind."""
    points, wanted = two_kinds(2000, 0.1, apart=4.0)
    asked = two_kinds(40, 1.0, seed=1, apart=4.0)[0]
    others, like = two_kinds(2000, 0.3, seed=5, apart=4.0)
    found = demand_from_queries(points, asked, others=others)
    np.testing.assert_array_equal(found.weights, demand_from_queries(points, asked).weights)
    assert found.others.shape == (2000,)
    assert found.others.max() <= found.weights.max() * (1 + 1e-12), "clipped where the pool is"
    for own, other in ((wanted, like), (~wanted, ~like)):
        assert np.median(found.others[other]) == pytest.approx(np.median(found.weights[own]), rel=0.25)
    half = demand_from_queries(points, asked, others=others, strength=0.5)
    np.testing.assert_allclose(half.others, 0.5 + 0.5 * found.others)


def test_a_cone_of_embeddings_is_told_apart_as_well() -> None:
    points, wanted = two_kinds(2000, 0.1, apart=4.0)
    asked = two_kinds(30, 1.0, seed=1, apart=4.0)[0]
    cone = [np.c_[0.05 * part, np.full(len(part), 2.0)] for part in (points, asked)]
    flat = demand_from_queries(points, asked).weights
    squeezed = demand_from_queries(cone[0], cone[1]).weights
    assert squeezed[wanted].sum() > 0.9 * flat[wanted].sum()


@pytest.mark.parametrize(
    ("queries", "options", "message"),
    [
        (np.ones((4, 16)), {}, "at least 5 queries"),
        (np.ones((9, 3)), {}, "16 dimensions; got 3"),
        (np.ones((9, 16)), {"strength": 1.5}, "strength must be from 0"),
        (np.full((9, 16), np.nan), {}, "queries must be finite"),
        (np.ones((9, 16)), {"others": np.ones((2, 3))}, "others must have the pool's 16"),
    ],
)
def test_bad_queries_are_refused(queries: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        demand_from_queries(two_kinds(50, 0.5)[0], queries, **options)


def test_tasks_have_their_shares_whatever_their_sizes() -> None:
    tasks = ["a"] * 6 + ["b"] * 3 + ["c"] + [None] * 2
    equal = demand_from_tasks(tasks)
    # Each of three tasks counts 4 of the 12 weights in all, dealt to its 6, 3 and 1 prompts.
    np.testing.assert_allclose(equal.weights, [4 / 6] * 6 + [4 / 3] * 3 + [4] + [0, 0])
    assert equal.told_apart
    named = demand_from_tasks(tasks, {"a": 3, "c": 1})
    np.testing.assert_allclose(named.weights, [9 / 6] * 6 + [0] * 3 + [3] + [0, 0])
    assert named.share == pytest.approx(7 / 12)
    for shares, message in [
        ({"d": 1}, "pool has not: \\['d'\\]"),
        ({"a": -1}, "at least 0"),
        ({"a": 0}, "0"),
    ]:
        with pytest.raises(ValueError, match=message):
            demand_from_tasks(tasks, shares)
    with pytest.raises(ValueError, match="no prompt has one"):
        demand_from_tasks([None, None])
