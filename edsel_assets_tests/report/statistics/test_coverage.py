"""The procedure held to its promise: intervals of 95 %, and marks by chance in at most 5 % of tables."""

from itertools import product

import numpy as np
import pytest

from edsel_assets.report.statistics.inference import compare, needed_budgets
from edsel_assets.report.statistics.noise import items_from_scores, measure_noise

BUDGETS = np.array([100.0, 200.0, 400.0, 800.0, 1600.0])
TRUTHS = {
    "rising": 0.3 + 0.06 * np.log2(BUDGETS / 100),
    "plateau": np.array([0.3, 0.5, 0.5, 0.5, 0.5]),
}


def by_strategy(strategy, budget):
    """Every second strategy is noisier than the others and the control."""
    return np.where(strategy % 2 == 1, 0.05, 0.02)


def by_budget(strategy, budget):
    return np.array([0.015, 0.02, 0.03, 0.05, 0.07])[budget]


def by_both(strategy, budget):
    """The control and every third strategy are noisier at larger budgets, the others hardly."""
    noisy = np.array([0.02, 0.03, 0.05, 0.09, 0.09])[budget]
    return np.where(strategy % 3 == 0, noisy, np.array([0.02, 0.02, 0.02, 0.025, 0.025])[budget])


#: Standard deviations of a training seed's effect on all trials, on a strategy's budgets, and on a
#: trial, the last by (strategy, budget); and the items' noise, 1 for the standard deviations 0.3, 0.1, 0.3.
EQUAL = {
    "apart": (0.0, 0.0, lambda s, b: 0.015, 1.0),
    "shared seeds": (0.02, 0.0, lambda s, b: 0.01, 1.0),
    "nested": (0.0, 0.015, lambda s, b: 0.008, 1.0),
}
UNEQUAL = {
    "by budget": (0.0, 0.0, by_budget, 0.2),
    "by strategy": (0.0, 0.0, by_strategy, 0.2),
    "by both": (0.0, 0.0, by_both, 0.2),
}
NOISES = EQUAL | UNEQUAL
#: The control's numbers of seeds: twice the others', as studies have it by default, or as many.
CONTROL_SEEDS = (6, 3)
#: Share of tables with a mark where noise differs: the promise of 5 % is missed by so much at most.
MARKED_UNEQUAL = 0.075
USED = [1, 2, 3]  # the strategies' budgets: 200, 400, 800
SEEDS, ITEMS = 3, 100


def null_tables(truth, noise, control_seeds, strategies, count, generator):
    """Item scores of tables in which every strategy is the control under another name.

    Yields:
        (C, J, I) scores; row b is the control at budget b, then each strategy at USED.
    """
    shared, nested, own, scale = noise
    budget = np.r_[np.arange(len(BUDGETS)), np.tile(USED, strategies)]
    strategy = np.r_[np.zeros(len(BUDGETS), int), np.repeat(np.arange(1, strategies + 1), len(USED))]
    present = np.arange(max(control_seeds, SEEDS)) < np.where(strategy == 0, control_seeds, SEEDS)[:, None]
    cells, seeds = present.shape
    spread = np.broadcast_to(own(strategy, budget), cells)[:, None]
    for _ in range(count):
        trial = truth[budget][:, None] + shared * generator.standard_normal(seeds)
        trial = trial + nested * generator.standard_normal((strategies + 1, seeds))[strategy]
        trial = np.where(present, trial + spread * generator.standard_normal(present.shape), np.nan)
        item = 0.3 * generator.standard_normal(ITEMS) + 0.1 * generator.standard_normal((cells, 1, ITEMS))
        item = item + 0.3 * generator.standard_normal((cells, seeds, ITEMS))
        yield trial[:, :, None] + scale * item


def simulate(truth, noise, control_seeds, strategies, count, seed=0):
    """Shares of intervals that hold the truth, all and those shown; of numbers shown; of tables marked."""
    generator = np.random.default_rng(seed)
    own = np.arange(len(BUDGETS))
    rows = np.arange(len(BUDGETS), len(BUDGETS) + strategies * len(USED))
    budgets = np.tile(USED, strategies)
    all_budgets = np.r_[BUDGETS, BUDGETS[budgets]]
    names = np.r_[np.zeros(len(BUDGETS), int), np.repeat(np.arange(strategies) + 1, len(USED))]
    holds, shown, marked = [], [], []
    for scores in null_tables(truth, noise, control_seeds, strategies, count, generator):
        values = scores.mean(axis=2)
        means, seen = np.nanmean(values, axis=1), measure_noise(values, items_from_scores(scores))
        differences, prior = compare(means, seen, all_budgets, names, rows, budgets)
        marked.append((differences.adjusted <= 0.05).any())
        found = needed_budgets(means, seen, prior, rows, BUDGETS[budgets], own, BUDGETS)
        for needed, budget in zip(found, BUDGETS[budgets], strict=True):
            holds.append(needed.low <= budget <= needed.high)  # saved = 0, as it is the control
            shown.append(np.isfinite(needed.budget) and not needed.flat)
    holds, shown = np.array(holds), np.array(shown)
    return holds.mean(), holds[shown].mean(), shown.mean(), np.mean(marked)


def check(count, strategies, noises=tuple(NOISES)):
    """Print the shares of each setting and hold them to the promise.

    ``of numbers``: intervals that hold the truth among the cells that show a number. On a rising curve
    they nearly keep the promise too: 92.4 % at least. On a plateau they are the few where the test
    erred or the curve rose by chance, so they hold the truth less often.
    """
    print(f"\n{count} tables each, {strategies} strategies of 3 seeds, 95 % intervals of annotation saved")
    header = ("covered", "numbers", "of numbers", "marked")
    print(f"{'curve':8} {'noise':13} control seeds {' '.join(f'{name:>10}' for name in header)}")
    for (curve, truth), name, seeds in product(TRUTHS.items(), noises, CONTROL_SEEDS):
        covered, of_shown, shown, marked = simulate(truth, NOISES[name], seeds, strategies, count)
        shares = f"{covered:10.1%} {shown:10.0%} {of_shown:10.1%} {marked:10.1%}"
        print(f"{curve:8} {name:13} {seeds:13} {shares}", flush=True)
        slack = 2 * np.sqrt(0.05 * 0.95 / (count * strategies))  # as if a strategy's rows were one
        # On a plateau a set of budgets is its first to its last, so it holds the truth more often.
        assert 0.93 - slack <= covered <= (0.97 if curve == "rising" else 0.99) + slack, (curve, name, seeds)
        assert marked <= most_marked(count, 0.05 if name in EQUAL else MARKED_UNEQUAL), (curve, name, seeds)
        if curve == "plateau":
            assert shown < 0.15
        else:
            assert shown > (0.7 if name in EQUAL else 0.4)  # strong noise makes a curve too flat to tell
            assert of_shown >= 0.92 - slack, (name, seeds)


def most_marked(count, share=0.05):
    """Two standard errors above a share of the tables."""
    return share + 2 * np.sqrt(share * (1 - share) / count)


def test_intervals_cover_and_marks_are_rare():
    check(60, 3, ("apart", "by both"))


@pytest.mark.slow
@pytest.mark.parametrize(("strategies", "count"), [(1, 2000), (3, 400), (14, 500)])
def test_intervals_cover_and_marks_are_rare_at_length(strategies, count):
    check(count, strategies)


def compared(noise, control_seeds, strategies, count, seed=0):
    """Shares of tables marked, and of intervals of a difference that hold its truth, by budget."""
    generator = np.random.default_rng(seed)
    used = np.tile(USED, strategies)
    rows = np.arange(len(BUDGETS), len(BUDGETS) + len(used))
    marked, holds = [], []
    for scores in null_tables(TRUTHS["rising"], noise, control_seeds, strategies, count, generator):
        values = scores.mean(axis=2)
        means, seen = np.nanmean(values, axis=1), measure_noise(values, items_from_scores(scores))
        names = np.r_[np.zeros(len(BUDGETS), int), np.repeat(np.arange(strategies) + 1, len(USED))]
        found, _ = compare(means, seen, np.r_[BUDGETS, BUDGETS[used]], names, rows, used)
        marked.append((found.adjusted <= 0.05).any())
        holds.append(np.abs(found.value) <= found.half_width)
    by_budget = np.mean(holds, axis=0).reshape(strategies, len(USED)).mean(axis=0)
    return np.mean(marked), by_budget


@pytest.mark.slow
@pytest.mark.parametrize("name", UNEQUAL)
def test_marks_are_rare_among_many_strategies_of_unequal_noise(name):
    """A prior of the whole table marked 9 to 14 % of such tables, and covered 88 % at the noisier budget."""
    marked, by_budget = compared(UNEQUAL[name], 6, 14, 600)
    print(f"{name:13} marked {marked:.1%}, differences covered by budget {by_budget.round(3)}")
    assert marked <= most_marked(600)
    assert (by_budget >= 0.92).all()
    assert (by_budget <= 0.98).all()


def test_a_flat_curve_gives_no_number():
    flat = np.full(len(BUDGETS), 0.5)
    covered, _, shown, marked = simulate(flat, NOISES["apart"], 6, 3, 150)
    assert shown < 0.05
    assert covered > 0.9
    assert marked < 0.15


def test_a_strategy_that_saves_is_found():
    """Half the prompts for the same score: the intervals hold the saving, and most are clear of zero."""
    generator = np.random.default_rng(3)
    inside, clear, at = [], [], np.tile(BUDGETS[USED], 3)
    for scores in null_tables(TRUTHS["rising"], NOISES["nested"], 6, 3, 100, generator):
        scores[len(BUDGETS) :] += 0.06  # a doubling of the budget
        values = scores.mean(axis=2)
        means, seen = np.nanmean(values, axis=1), measure_noise(values, items_from_scores(scores))
        rows = np.arange(len(BUDGETS), len(means))
        names = np.r_[np.zeros(len(BUDGETS), int), np.repeat([1, 2, 3], len(USED))]
        _, prior = compare(means, seen, np.r_[BUDGETS, at], names, rows, np.tile(USED, 3))
        found = needed_budgets(means, seen, prior, rows, at, np.arange(len(BUDGETS)), BUDGETS)
        for needed, budget in zip(found, at, strict=True):
            inside.append(needed.low <= 2 * budget <= needed.high)
            clear.append(needed.low > budget)
    assert 0.91 <= np.mean(inside) <= 0.99
    # A difference of 0.06 has a standard error of 0.028: 2.1 times it, so fewer than half are clear.
    assert 0.33 < np.mean(clear) < 0.5
