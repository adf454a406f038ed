"""Every strategy for money: what it costs, that it is spent, and each rule against a plain one."""

import itertools

import numpy as np
import pytest

from edsel_assets.selection import STRATEGIES, Signals, StrategyOptions, kmeans, top_scores
from edsel_assets.selection.money.spending import (
    by_bisection,
    fitting,
    fractional_knapsack,
    in_order,
    per_price,
    top_worth,
)

NAMES = list(STRATEGIES)
OPTIONS = StrategyOptions(gamma=0.5, engine="dense")


def signals(size: int = 60, seed: int = 0, **more) -> Signals:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(size, 4))
    parts = {
        "embeddings": points,
        "uncertainty": -rng.random(size),
        "clusters": kmeans(points, 4),
        "quality": rng.random(size),
        "complexity": rng.random(size),
        "prices": np.exp(rng.normal(size=size)),
        "demand": rng.lognormal(size=size),
        "queries": rng.normal(size=(5, 4)),
        "tasks": rng.integers(0, 3, size),
        "lengths": rng.random(size),
    }
    return Signals(np.arange(size).astype(str), **(parts | more))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("money", [0.0, 5.0, 20.0, 1e6])
def test_money_is_spent_and_never_more(name, money) -> None:
    given = signals(selected=(3, 8))
    ranking = STRATEGIES[name](given, money, OPTIONS)
    prices, rows = given.prices, ranking.indices.tolist()
    assert len(set(rows)) == len(rows)
    assert not {3, 8} & set(rows)
    spent = prices[rows].sum()
    assert spent <= money * (1 + 1e-9)
    assert ranking.details["spent"] == pytest.approx(spent)
    if STRATEGIES[name].nested:  # nothing that is left could still be paid
        rest = np.setdiff1d(np.arange(60), [*rows, 3, 8])
        assert not (spent + prices[rest] <= money * (1 - 1e-9)).any()
    else:
        assert spent > money - prices.max() * 4 or len(rows) == 58
    assert np.isfinite(ranking.gains).all()


@pytest.mark.parametrize("name", NAMES)
def test_row_order_does_not_matter(name) -> None:
    given = signals()
    order = np.random.default_rng(9).permutation(60)
    place = np.argsort(order)
    clusters = given.clusters
    shuffled = Signals(
        given.prompt_ids[order],
        given.embeddings[order],
        given.uncertainty[order],
        type(clusters)(
            clusters.labels[order], clusters.centroids, clusters.distances[order], clusters.inertia
        ),
        given.quality[order],
        given.complexity[order],
        prices=given.prices[order],
        demand=given.demand[order],
        queries=given.queries,
        tasks=given.tasks[order],
        lengths=given.lengths[order],
    )
    one = STRATEGIES[name](given, 12.0, OPTIONS).indices
    two = STRATEGIES[name](shuffled, 12.0, OPTIONS).indices
    assert order[two].tolist() == one.tolist()
    assert place[one].tolist() == two.tolist()


@pytest.mark.parametrize("name", [name for name in NAMES if STRATEGIES[name].per_price])
def test_prices_change_the_picks_of_what_looks_at_them(name) -> None:
    given = signals()
    dear = np.ones(60)
    first = STRATEGIES[name](signals(prices=np.ones(60)), 10, OPTIONS).indices
    dear[first[:5]] = 9.0
    second = STRATEGIES[name](signals(prices=dear), 10, OPTIONS).indices
    assert not set(first[:5].tolist()) & set(second.tolist())
    assert given.prices is not None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "iterative_kmq_perplexity"])
def test_at_one_price_a_budget_of_money_is_one_of_prompts(name) -> None:
    plain = STRATEGIES[name](signals(prices=None), 11, OPTIONS).indices
    bought = STRATEGIES[name](signals(prices=np.ones(60)), 11, OPTIONS).indices
    assert bought.tolist() == plain.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_top_worth_is_half_of_the_best_at_least(seed) -> None:
    rng = np.random.default_rng(seed)
    scores, prices, money = rng.normal(size=9), rng.uniform(0.1, 4, 9), float(rng.uniform(0.5, 8))
    chosen = top_worth(scores, prices, money)
    worth = scores - min(0, scores.min())
    sets = itertools.chain.from_iterable(itertools.combinations(range(9), k) for k in range(10))
    best = max(worth[list(s)].sum() for s in sets if prices[list(s)].sum() <= money)
    assert chosen.objective == pytest.approx(worth[chosen.indices].sum())
    assert best / 2 - 1e-12 <= chosen.objective <= best + 1e-9
    assert best <= chosen.upper_bound + 1e-9
    assert chosen.gains.tolist() == scores[chosen.indices].tolist()


def test_a_score_below_zero_does_not_make_dear_prompts_better() -> None:
    # Minus the margin: the first two are alike, one at half the price of the other; the last is surest.
    chosen = top_worth(np.array([-0.1, -0.1, -0.9]), np.array([2.0, 1.0, 1.0]), 3.0)
    assert chosen.indices.tolist() == [1, 0]


def test_fractional_knapsack_by_hand() -> None:
    # 6 / 2, 4 / 2, 3 / 3: 3 of money buys the first and half of the second.
    assert fractional_knapsack(np.array([3.0, 6.0, 4.0]), np.array([3.0, 2.0, 2.0]), 3.0) == 8.0
    assert fractional_knapsack(np.array([3.0, 6.0]), np.array([5.0, 2.0]), 3.0) == 6.0  # too dear is left out
    assert fractional_knapsack(np.array([3.0, 6.0]), np.array([0.0, 0.0]), 0.0) == 9.0


def test_each_that_fits_is_bought_in_order() -> None:
    assert fitting(np.array([2.0, 5.0, 1.0, 0.5, 0.5]), 3.5).tolist() == [True, False, True, True, False]
    assert fitting(np.full(10, 0.1), 1.0).all()  # though ten times 0.1 is not 1 in floats
    assert per_price(np.array([1.0, 1.0]), np.zeros(2)).tolist() == [1.0, 1.0]


def test_in_order_asks_for_more_until_nothing_can_be_paid() -> None:
    prices = np.array([9.0, 9.0, 9.0, 9.0, 1.0, 1.0])
    asked = []

    def choose(count: int):
        asked.append(count)
        return top_scores(-np.arange(6.0), count)

    assert in_order(choose, prices, 2.0, 6).indices.tolist() == [4, 5]
    assert asked == [1, 2, 4, 6]


def test_bisection_stops_where_one_more_costs_too_much() -> None:
    prices = np.array([1.0, 1.0, 5.0, 1.0])
    assert by_bisection(lambda n: top_scores(-np.arange(4.0), n), prices, 6.0, 4).indices.tolist() == [0, 1]
