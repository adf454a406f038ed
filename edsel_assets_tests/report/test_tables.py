import math

import numpy as np
import pandas as pd
import pytest

from edsel_assets.report.tables import AVERAGE, BASE, _needed, label_efficiency
from edsel_assets_tests.report.paper import cell, mmlu


def trials(*rows: tuple) -> pd.DataFrame:
    names = ["strategy", "budget", "seed", "task", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def row(table: pd.DataFrame, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def simple(strategy: str, budget: int, *values: float) -> list[tuple]:
    return [(strategy, budget, seed, "t", "acc", value) for seed, value in enumerate(values)]


RANDOM = [
    *simple("base", 0, 0.2),
    *simple("random", 100, 0.3, 0.5),
    *simple("random", 200, 0.5, 0.7),
]  # the curve: 0.2 at 0, 0.4 at 100, 0.6 at 200


def test_means_standard_errors_and_differences_by_hand():
    found = label_efficiency(trials(*RANDOM, *simple("s", 100, 0.4, 0.5, 0.6))).scores
    s = row(found, task="t", strategy="s")
    assert s["mean"] == pytest.approx(0.5)
    assert s["se"] == pytest.approx(0.1 / math.sqrt(3))  # sample deviation 0.1
    assert s["n"] == 3
    assert s["difference"] == pytest.approx(0.1)
    # Random's deviation is 0.2 / sqrt(2), so its standard error is 0.1.
    assert s["difference_se"] == pytest.approx(math.sqrt(0.01 / 3 + 0.01))
    base = row(found, task="t", strategy=BASE)
    assert (base["budget"], base["mean"], base["n"]) == (0, 0.2, 1)
    assert math.isnan(base["se"])
    assert math.isnan(row(found, task="t", strategy="random", budget=100)["difference"])


@pytest.mark.parametrize(
    ("score", "needed", "relation", "saved", "share"),
    [
        (0.5, 150, "=", 50, 1 / 3),  # half-way from 0.4 to 0.6
        (0.6, 200, "=", 100, 1 / 2),  # what random reaches with twice as many
        (0.4, 100, "=", 0, 0),
        (0.3, 50, "=", -50, -1),  # half-way from the base model: random needs half
        (0.2, 0, "=", -100, math.nan),  # as without finetuning
        (0.1, 0, "=", -100, math.nan),  # worse than without
        (0.7, 200, ">=", 100, 1 / 2),  # better than any random score
    ],
)
def test_annotation_saved_by_hand(score, needed, relation, saved, share):
    found = row(label_efficiency(trials(*RANDOM, *simple("s", 100, score, score))).saved, task="t")
    assert found["needed"] == pytest.approx(needed)
    assert found["relation"] == relation
    assert found["saved"] == pytest.approx(saved)
    assert found["share"] == pytest.approx(share, nan_ok=True)


def test_without_a_base_score_a_low_score_gives_an_upper_bound():
    found = row(label_efficiency(trials(*RANDOM[1:], *simple("s", 100, 0.3))).saved, task="t")
    assert (found["needed"], found["relation"], found["saved"]) == (100, "<=", 0)


def test_the_first_crossing_of_a_curve_that_falls_counts():
    rows = [
        *simple("base", 0, 0.0),
        *simple("random", 100, 0.6),
        *simple("random", 200, 0.4),
        *simple("random", 300, 0.8),
    ]
    saved = label_efficiency(trials(*rows, *simple("s", 100, 0.3), *simple("s", 300, 0.7))).saved
    assert row(saved, task="t", budget=100)["needed"] == pytest.approx(50)
    assert row(saved, task="t", budget=300)["needed"] == pytest.approx(275)  # 0.4 + 0.75 * 0.4


def test_the_papers_saving_is_about_half():
    # Facility location at 45K scores 47.63; random goes from 45.99 (45K) to 47.76 (90K).
    found = label_efficiency(mmlu())
    fl = row(found.saved, task="mmlu", strategy="fl_rbf", budget=45_000)
    assert fl["needed"] == pytest.approx(45_000 + 45_000 * (47.63 - 45.99) / (47.76 - 45.99))
    assert fl["share"] == pytest.approx(0.481, abs=0.001)
    assert fl["saved_low"] < fl["saved"] < fl["saved_high"] == math.inf
    worse = row(found.saved, task="mmlu", strategy="min_margin", budget=45_000)
    assert worse["saved"] == pytest.approx(30_000 + 15_000 * (45.31 - 44.91) / (45.99 - 44.91) - 45_000)
    assert worse["saved"] < 0


def test_the_interval_is_the_known_one_where_the_curve_is_straight_and_exact():
    # Random is exact (equal seeds) on the line score = budget / 1000, so that needed = 1000 x score.
    rows = [*simple("base", 0, 0.0), *simple("random", 500, 0.5, 0.5), *simple("random", 1000, 1.0, 1.0)]
    scores = trials(*rows, *simple("s", 300, 0.58, 0.60, 0.62))
    found = row(label_efficiency(scores).saved, task="t")
    half_width = 1.96 * 1000 * 0.02 / math.sqrt(3)
    assert found["saved_low"] == pytest.approx(300 - half_width, abs=1.0)
    assert found["saved_high"] == pytest.approx(300 + half_width, abs=1.0)
    again = row(label_efficiency(scores).saved, task="t")
    assert again["saved_low"] == found["saved_low"]
    assert row(label_efficiency(scores, seed=1).saved, task="t")["saved_low"] != found["saved_low"]


def test_one_seed_gives_no_interval():
    rows = [*simple("base", 0, 0.2), *simple("random", 100, 0.4), *simple("s", 100, 0.3, 0.5)]
    found = row(label_efficiency(trials(*rows)).saved, task="t")
    assert math.isnan(found["saved_low"])
    assert math.isnan(found["saved_high"])


def test_needed_agrees_with_a_search_along_the_curve():
    generator = np.random.default_rng(0)
    budgets = np.array([0.0, 10.0, 30.0, 40.0])
    curves, targets = generator.random((200, 4)), generator.random(200)
    needed, relation = _needed(budgets, curves, targets)
    fine = np.linspace(0, 40, 40_001)
    for i in range(200):
        reached = fine[np.interp(fine, budgets, curves[i]) >= targets[i]]
        assert relation[i] == (0 if len(reached) else 1)
        assert needed[i] == pytest.approx(reached[0] if len(reached) else 40.0, abs=0.0011)


def test_the_average_is_over_tasks_of_whole_trials():
    rows = [
        ("random", 10, 0, "a", "acc", 0.2),
        ("random", 10, 0, "b", "acc", 0.6),
        ("random", 10, 1, "a", "acc", 0.4),
        ("random", 10, 1, "b", "acc", 0.8),
        ("s", 10, 0, "a", "acc", 0.9),
        ("base", 0, 0, "a", "acc", 0.1),
        ("base", 0, 0, "b", "acc", 0.3),
    ]
    found = label_efficiency(trials(*rows))
    average = found.scores[found.scores["task"] == AVERAGE].set_index("strategy")
    assert average["mean"].to_dict() == pytest.approx({"base": 0.2, "random": 0.5})
    assert average.loc["random", "se"] == pytest.approx(0.1)
    assert found.incomplete == 1
    assert found.tasks == ["a", "b", AVERAGE]


def test_metrics_are_chosen_by_name_then_by_preference():
    rows = [
        ("random", 10, 0, "a", "acc", 0.2),
        ("random", 10, 0, "a", "acc_norm", 0.3),
        ("random", 10, 0, "b", "odd", 0.4),
    ]
    assert label_efficiency(trials(*rows)).metrics == {"a": "acc_norm", "b": "odd"}
    assert label_efficiency(trials(*rows), primary={"a": "acc"}).metrics["a"] == "acc"
    with pytest.raises(ValueError, match="Task a has the metrics acc, acc_norm; em is not one"):
        label_efficiency(trials(*rows), primary={"a": "em"})
    with pytest.raises(ValueError, match="Task b has the metrics odd, other; name its primary one"):
        label_efficiency(trials(*rows, ("random", 10, 0, "b", "other", 0.4)))


def test_where_lower_is_better_the_saving_turns():
    rows = [
        *simple("base", 0, 8.0),
        *simple("random", 100, 6.0),
        *simple("random", 200, 4.0),
        *simple("s", 100, 5.0),
    ]
    found = label_efficiency(trials(*rows), lower_is_better=["acc"])
    assert row(found.saved, task="t")["needed"] == pytest.approx(150)
    mixed = trials(*rows, *[("s", 100, 0, "u", "f1", 0.5)])
    with pytest.raises(ValueError, match=r"lower is better \(t\) cannot be averaged"):
        label_efficiency(mixed, lower_is_better=["acc"])


def test_without_the_control_there_are_scores_but_no_savings():
    found = label_efficiency(trials(*simple("s", 100, 0.3, 0.5)))
    assert found.saved.empty
    assert len(found.scores.merge(found.saved, on=["task", "strategy", "budget"], how="left")) == 2
    assert math.isnan(row(found.scores, task="t")["difference"])


def test_rows_in_another_order_give_the_same():
    scores = mmlu()
    shuffled = scores.sample(frac=1.0, random_state=0)
    one, two = label_efficiency(scores), label_efficiency(shuffled)
    pd.testing.assert_frame_equal(one.scores, two.scores)
    pd.testing.assert_frame_equal(one.saved, two.saved)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "scores is empty"),
        ([("s", 1, 0, "t", "acc", math.nan)], r"must be finite; s at 1, seed 0, t/acc = nan"),
        ([("s", -1, 0, "t", "acc", 0.1)], "budget must be at least 0"),
        ([("s", 1, 0, "t", "acc", 0.1)] * 2, "scored once per task and metric"),
    ],
)
def test_bad_scores_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        label_efficiency(trials(*rows))
    with pytest.raises(ValueError, match="seed, value missing"):
        label_efficiency(mmlu().drop(columns=["seed", "value"]))


def test_the_fixture_has_the_papers_standard_errors():
    values = [r["value"] for r in cell("s", 1, 6, 44.33, 0.32)]
    assert np.mean(values) == pytest.approx(44.33)
    assert np.std(values, ddof=1) / math.sqrt(6) == pytest.approx(0.32)
