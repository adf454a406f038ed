"""Facility location for money: exact greedy steps, the promised share of the best, and its certificate."""

import itertools
import math

import numpy as np
import pytest

from edsel_assets.selection import facility_location, qdit
from edsel_assets.selection.money.knapsack import SHARE
from edsel_assets_tests.selection.facility.test_greedy import UNIT_NOISE, pool, value, weights


def best_for(w, prices, money, selected=(), utility=None) -> float:
    """The best objective of any set that ``money`` buys, by looking at every one."""
    free = [j for j in range(len(w)) if j not in selected]
    found = 0.0
    for size in range(len(free) + 1):
        for chosen in itertools.combinations(free, size):
            if prices[list(chosen)].sum() <= money + 1e-12:
                found = max(found, value(w, [*selected, *chosen], utility))
    return found


def naive(w, prices, money, scaled, selected=(), utility=None) -> list[int]:
    """Greedy by the definition, everything recomputed at every step."""
    chosen, spent, picks = list(selected), 0.0, []
    while True:
        now = value(w, chosen, utility)
        best = None
        for j in range(len(w)):
            if j in chosen or spent + prices[j] > money + 1e-12:
                continue
            gain = value(w, [*chosen, j], utility) - now
            key = gain / prices[j] if scaled else gain
            if best is None or key > best[0] + 1e-9:
                best = key, j
        if best is None:
            return picks
        picks.append(best[1])
        chosen.append(best[1])
        spent += prices[best[1]]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kernel", ["rbf", "cosine"])
def test_it_reaches_its_share_of_the_best_and_the_bound_holds(seed, kernel) -> None:
    rng = np.random.default_rng(seed)
    points, prices = pool(10, seed=seed), rng.uniform(0.2, 5.0, 10)
    selected = (0,) if seed % 3 == 0 else ()
    utility = rng.random(10) if seed % 2 else None
    w, money = weights(points, kernel, 0.5), float(rng.uniform(1, 9))
    chosen = facility_location(
        points, money, kernel=kernel, gamma=0.5, prices=prices, selected=selected, utility=utility
    )
    best = best_for(w, prices, money, selected, utility)
    start = value(w, list(selected), utility)
    reached = value(w, [*selected, *chosen.indices.tolist()], utility)
    assert prices[chosen.indices].sum() <= money + 1e-9
    assert chosen.details["spent"] == pytest.approx(prices[chosen.indices].sum())
    assert chosen.objective == pytest.approx(reached, abs=10 * UNIT_NOISE)
    assert reached - start >= SHARE * (best - start) - 1e-6
    assert best <= chosen.upper_bound + 1e-9
    assert chosen.upper_bound <= start + (reached - start) / SHARE + 1e-3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("engine", ["dense", "blocked", "sparse", "auto"])
def test_its_picks_are_those_of_the_better_plain_loop(seed, engine) -> None:
    rng = np.random.default_rng(100 + seed)
    points, prices = pool(40, seed=seed), np.exp(rng.normal(size=40))
    w, money = weights(points, "rbf", 0.3), 8.0
    chosen = facility_location(points, money, gamma=0.3, prices=prices, engine=engine)
    runs = {
        name: naive(w, prices, money, scaled) for name, scaled in (("gain per price", True), ("gain", False))
    }
    reached = {name: value(w, picks) for name, picks in runs.items()}
    best = max(reached, key=reached.__getitem__)
    assert chosen.details["greedy"] == best
    assert chosen.indices.tolist() == runs[best]
    for name, curve in chosen.details["curves"].items():
        assert curve[0] == [0.0, 0.0]
        assert curve[-1] == pytest.approx([prices[runs[name]].sum(), reached[name]], abs=40 * UNIT_NOISE)


def test_each_run_alone_can_be_bad_and_the_better_one_is_not() -> None:
    # Four prompts stand for nobody but themselves. By gain per price the cheap one (1 / 0.1) is first, after
    # which the three that are alike (gain 3, price 10) cannot be paid: 1 of 3. By gain they are taken.
    alike = np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    prices = np.array([10.0, 10.0, 10.0, 0.1])
    chosen = facility_location(alike, 10.0, gamma=0.01, prices=prices)
    assert chosen.indices.tolist() == [0]
    assert chosen.details["greedy"] == "gain"
    # Many cheap ones against one dear one of little more gain: by gain alone 2 of 5.
    points = np.eye(6, dtype=np.float32)
    points[5] = points[4]
    prices = np.array([1.0, 1.0, 1.0, 1.0, 4.0, 4.0])
    chosen = facility_location(points, 4.0, gamma=0.01, prices=prices)
    assert sorted(chosen.indices.tolist()) == [0, 1, 2, 3]
    assert chosen.details["greedy"] == "gain per price"


def test_equal_prices_choose_as_a_number_of_prompts_does() -> None:
    points = pool(200, seed=3)
    plain = facility_location(points, 25, gamma=0.2, engine="dense")
    bought = facility_location(points, 25 * 0.1, gamma=0.2, prices=np.full(200, 0.1), engine="dense")
    assert bought.indices.tolist() == plain.indices.tolist()
    assert bought.gains.tolist() == plain.gains.tolist()
    assert bought.objective == plain.objective


def test_what_is_free_is_taken_first_and_what_is_too_dear_never() -> None:
    points = pool(12, seed=1)
    prices = np.full(12, 2.0)
    prices[5], prices[7] = 0.0, 100.0
    chosen = facility_location(points, 4.0, gamma=0.2, prices=prices)
    assert 5 in chosen.indices
    assert 7 not in chosen.indices
    assert len(chosen) == 3
    assert facility_location(points, 0.0, gamma=0.2, prices=prices).indices.tolist() == [5]


def test_row_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    points, prices, ids = pool(60, seed=2), rng.uniform(0.1, 3, 60), np.arange(60).astype(str)
    order = rng.permutation(60)
    one = facility_location(points, 9.0, gamma=0.2, prices=prices, tie_break=ids).indices
    two = facility_location(points[order], 9.0, gamma=0.2, prices=prices[order], tie_break=ids[order]).indices
    assert order[two].tolist() == one.tolist()


@pytest.mark.parametrize("alpha", [0.0, 0.4, 0.9])
def test_qdit_for_money_against_every_set(alpha) -> None:
    rng = np.random.default_rng(5)
    points, prices, quality = pool(9, seed=4), rng.uniform(0.2, 3, 9), rng.random(9)
    w = weights(points, "cosine", 1.0)

    def worth(chosen: list[int]) -> float:
        return (1 - alpha) * value(w, chosen) + alpha * quality[chosen].sum()

    chosen = qdit(points, quality, 4.0, alpha=alpha, prices=prices)
    sets = itertools.chain.from_iterable(itertools.combinations(range(9), k) for k in range(10))
    best = max(worth(list(s)) for s in sets if prices[list(s)].sum() <= 4.0)
    reached = worth(chosen.indices.tolist())
    assert chosen.objective == pytest.approx(reached, abs=1e-4)
    assert SHARE * best - 1e-6 <= reached <= best + 1e-9
    assert best <= chosen.upper_bound + 1e-6
    ends = [curve[-1][1] for curve in chosen.details["curves"].values()]
    assert max(ends) == pytest.approx(reached, abs=1e-4)


@pytest.mark.parametrize(
    ("money", "prices", "reason"),
    [
        (4.0, [1.0, -1.0, 1.0], "prices must be at least 0; rows \\[1\\]"),
        (4.0, [1.0, math.nan, 1.0], "prices must be finite"),
        (4.0, [1.0], "prices must have shape"),
        (-1.0, [1.0, 1.0, 1.0], "finite number of at least 0; got -1.0"),
        (math.inf, [1.0, 1.0, 1.0], "finite number of at least 0"),
        ("4", [1.0, 1.0, 1.0], "a number; got '4'"),
    ],
)
def test_wrong_prices_and_money_are_refused(money, prices, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        facility_location(pool(3), money, prices=np.array(prices))


def test_a_sample_of_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="leave out stochastic or prices"):
        facility_location(pool(5), 3.0, prices=np.ones(5), stochastic=0.1, seed=1)
