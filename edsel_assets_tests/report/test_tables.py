import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from edsel_assets.report.tables import (
    AVERAGE,
    BASE,
    FLAT,
    NOT_REACHED,
    REACHED,
    UNDER,
    label_efficiency,
)
from edsel_assets_tests.report.paper import cell, mmlu
from edsel_assets_tests.report.simulated import rising, simulate


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
    *simple("random", 100, 0.39, 0.41),
    *simple("random", 200, 0.59, 0.61),
]  # the curve: 0.4 at 100, 0.6 at 200; the base model, 0.2, is a point of its own


def test_means_standard_errors_and_differences_by_hand():
    rows = [*simple("base", 0, 0.2), *simple("random", 100, 0.3, 0.4, 0.8), *simple("s", 100, 0.4, 0.5, 0.6)]
    found = label_efficiency(trials(*rows)).scores
    s = row(found, task="t", strategy="s")
    assert s["mean"] == pytest.approx(0.5)
    assert s["se"] == pytest.approx(0.1 / math.sqrt(3))  # sample deviation 0.1
    assert s["n"] == 3
    # Paired by seed: 0.1, 0.1, -0.2 with mean 0 and deviation sqrt(0.06 / 2).
    assert s["difference"] == pytest.approx(0.0)
    assert s["difference_se"] == pytest.approx(math.sqrt(0.03 / 3))
    half = stats.t.ppf(0.975, 2) * math.sqrt(0.03 / 3)
    assert (s["difference_low"], s["difference_high"]) == pytest.approx((-half, half))
    assert (s["p"], s["p_holm"], s["mark"]) == (pytest.approx(1.0), pytest.approx(1.0), 0)
    base = row(found, task="t", strategy=BASE)
    assert (base["budget"], base["mean"], base["n"]) == (0, 0.2, 1)
    assert math.isnan(base["se"])
    assert math.isnan(row(found, task="t", strategy="random")["difference"])


@pytest.mark.parametrize(
    ("score", "status", "needed"),
    [
        (0.5, REACHED, 100 * math.sqrt(2)),  # half-way in the logarithm of the budget
        (0.6, REACHED, 200),
        (0.4, REACHED, 100),
        (0.3, UNDER, math.nan),  # between the base model and random's smallest budget: no number
        (0.1, UNDER, math.nan),  # worse than without finetuning
        (0.7, NOT_REACHED, math.nan),
    ],
)
def test_annotation_saved_by_hand(score, status, needed):
    rows = [*RANDOM, *simple("s", 100, score - 0.01, score + 0.01)]
    found = row(label_efficiency(trials(*rows)).saved, task="t")
    assert found["status"] == status
    assert found["needed"] == pytest.approx(needed, nan_ok=True)
    assert found["saved"] == pytest.approx(needed - 100, nan_ok=True)
    assert found["share"] == pytest.approx((needed - 100) / needed, nan_ok=True)
    assert found["needed_low"] <= found["needed_high"]


def test_ends_at_a_measured_budget_are_written_as_it():
    rows = [*RANDOM, *simple("under", 100, 0.09, 0.11), *simple("over", 200, 0.98, 0.99)]
    saved = label_efficiency(trials(*rows)).saved
    under, over = (row(saved, task="t", strategy=strategy) for strategy in ("under", "over"))
    assert (under["needed_low"], under["needed_high"], under["saved_high"]) == (-math.inf, 100, 0)
    assert (over["needed_low"], over["saved_low"], over["needed_high"]) == (200, 0, math.inf)


def test_a_curve_that_falls_is_pooled_by_seeds():
    rows = [
        *simple("random", 100, 0.1, 0.1),
        *simple("random", 200, 0.6, 0.6, 0.6, 0.6),
        *simple("random", 400, 0.3, 0.3),  # pooled with the four at 200: (4 * 0.6 + 2 * 0.3) / 6
        *simple("random", 800, 0.8, 0.8),
    ]
    found = label_efficiency(trials(*rows, *simple("s", 100, 0.65, 0.65)))
    curve = found.curves[found.curves["task"] == "t"]
    assert curve["mean"].tolist() == pytest.approx([0.1, 0.5, 0.5, 0.8])
    # From 400 to 800 the cubic is 0.5 + 0.45 t^2 - 0.15 t^3: flat at first, at the end 1.5 times the line.
    assert row(found.saved, task="t")["needed"] == pytest.approx(400 * 2**0.6527036, rel=1e-6)


def test_a_curve_too_flat_to_tell_gives_no_number():
    noisy = [0.3, 0.5, 0.7]
    rows = [*simple("random", 100, *noisy), *simple("random", 200, *noisy[::-1]), *simple("s", 100, *noisy)]
    found = row(label_efficiency(trials(*rows)).saved, task="t")
    assert found["status"] == FLAT
    assert math.isnan(found["saved"])


def test_the_papers_saving_is_about_half():
    # Facility location at 45K scores 47.63; random goes from 45.99 (45K) to 47.76 (90K).
    found = row(label_efficiency(mmlu()).saved, task="mmlu", strategy="fl_rbf", budget=45_000)
    assert found["needed"] == pytest.approx(45_000 * 2 ** ((47.63 - 45.99) / (47.76 - 45.99)), rel=0.005)
    assert found["share"] == pytest.approx(0.474, abs=0.001)
    assert 0 < found["saved_low"] < found["saved"] < found["saved_high"] == math.inf
    worse = row(label_efficiency(mmlu()).saved, task="mmlu", strategy="min_margin", budget=45_000)
    assert worse["saved"] < 0


def test_one_seed_gives_no_interval_and_no_mark():
    rows = [*simple("random", 100, 0.4), *simple("random", 200, 0.6), *simple("s", 100, 0.5)]
    found = label_efficiency(trials(*rows))
    assert math.isnan(row(found.saved, task="t")["saved_low"])
    s = row(found.scores, task="t", strategy="s")
    assert math.isnan(s["p"])
    assert s["mark"] == 0
    assert any("No spread over seeds is seen" in sentence for sentence in found.unseen)


def test_one_seed_beside_others_takes_their_spread():
    rows = [*RANDOM, *simple("s", 100, 0.45, 0.48), *simple("u", 100, 0.5)]
    found = label_efficiency(trials(*rows))
    u = row(found.scores, task="t", strategy="u")
    assert u["difference_se"] > 0
    assert any("One seed only: u at 100. Their spread" in sentence for sentence in found.unseen)


def test_items_that_are_shared_sharpen_the_intervals():
    budgets = [100, 200, 400, 800]
    truth = {"random": rising(budgets), "s": rising(budgets[:3], shift=2.0)}
    scores, items = simulate(truth, {"random": 6, "s": 3}, tasks=2)
    with_items = label_efficiency(scores, items=items)
    normal = label_efficiency(scores)
    unknown = label_efficiency(scores.drop(columns=["stderr", "n"]))
    widths = [
        found.scores["difference_high"].sub(found.scores["difference_low"]).median()
        for found in (with_items, normal)
    ]
    assert widths[0] < 0.7 * widths[1]
    assert not any("Draw of the items" in sentence for sentence in with_items.unseen)
    assert any("task_0, task_1: from standard errors alone" in sentence for sentence in normal.unseen)
    assert any("task_0, task_1: not known" in sentence for sentence in unknown.unseen)
    shuffled = label_efficiency(scores, items=items.sample(frac=1.0, random_state=0))
    pd.testing.assert_frame_equal(with_items.saved, shuffled.saved)
    with pytest.raises(ValueError, match="An item must be scored once in a trial; 0 of task_0 is twice"):
        label_efficiency(scores, items=pd.concat([items, items.head(1)]))
    with pytest.raises(ValueError, match=r"items needs the columns .*; item missing"):
        label_efficiency(scores, items=items.drop(columns="item"))


def test_items_of_some_trials_are_not_taken_for_all():
    truth = {"random": rising([100, 200]), "s": rising([100])}
    scores, items = simulate(truth, {"random": 3, "s": 3}, tasks=2)
    part = items[~((items["strategy"] == "s") & (items["seed"] == 1) & (items["task"] == "task_1"))]
    found = label_efficiency(scores, items=part)
    assert any("Draw of the items of task_1: from standard errors" in sentence for sentence in found.unseen)


def test_budgets_may_differ_by_strategy():
    truth = {"random": rising([100, 200, 400, 800]), "s": rising([150, 400]), "u": rising([200], shift=1.5)}
    scores, items = simulate(truth, {"random": 6, "s": 3, "u": 2})
    found = label_efficiency(scores, items=items)
    s = found.scores[found.scores["strategy"] == "s"].set_index("budget")
    assert math.isnan(s.loc[150, "p"])  # random has no score there
    assert s.loc[400, "p"] > 0
    assert row(found.saved, strategy="s", budget=150)["status"] == REACHED


def test_what_cannot_be_seen_is_named():
    truth = {"random": rising([100, 200]), "k_center": rising([100])}
    scores, _ = simulate(truth, {"random": 3, "k_center": 3}, tasks=2)
    lacking = scores.drop(scores.index[0])
    found = label_efficiency(lacking, one_subset=["k_center", "deita"])
    assert any(sentence.startswith("One subset, whatever the seed: k_center.") for sentence in found.unseen)
    assert any("1 trials lack the score of a task" in sentence for sentence in found.unseen)
    assert any("One pool, one base model" in sentence for sentence in found.unseen)


def test_a_table_of_fifteen_strategies_takes_seconds():
    import time

    budgets = [100, 200, 400, 800, 1600]
    truth = {f"s{i}": rising(budgets[1:4]) for i in range(14)} | {"random": rising(budgets)}
    scores, items = simulate(truth, dict.fromkeys(truth, 3) | {"random": 6}, tasks=5, items=200)
    begun = time.perf_counter()
    found = label_efficiency(scores, items=items)
    taken = time.perf_counter() - begun
    print(f"15 strategies, 3 budgets, 5 tasks: {taken:.1f} s")
    assert len(found.saved) == 14 * 3 * 6
    assert taken < 20  # about 3 s alone; the machine may be busy


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
    assert found.main_task == AVERAGE


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


def test_one_task_has_no_average():
    found = label_efficiency(trials(*RANDOM, *simple("s", 100, 0.5)))
    assert found.main_task == "t"
    for table in (found.scores, found.saved, found.curves):
        assert set(table["task"]) == {"t"}


def test_where_no_trial_has_every_task_the_first_that_was_trained_on_stands_for_all():
    rows = [
        ("base", 0, 0, "a", "acc", 0.1),
        ("base", 0, 0, "b", "acc", 0.3),
        ("base", 0, 0, "c", "acc", 0.3),
        ("random", 10, 0, "b", "acc", 0.2),
        ("s", 10, 0, "c", "acc", 0.4),
    ]
    assert label_efficiency(trials(*rows)).main_task == "b"


def test_without_the_control_there_are_scores_but_no_savings():
    found = label_efficiency(trials(*simple("s", 100, 0.3, 0.5)))
    assert found.saved.empty
    assert len(found.scores.merge(found.saved, on=["task", "strategy", "budget"], how="left")) == 1
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
        ([("s", 1, 0, "t", "acc", math.nan)], r"needs a finite score; s at 1, seed 0, t/acc = nan is not"),
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


def test_one_score_that_is_not_finite_is_left_out_and_named():
    rows = [*RANDOM, *simple("s", 100, 0.45, math.nan, 0.55)]
    found = label_efficiency(trials(*rows))
    kept = [r for r in rows if not math.isnan(r[-1])]
    expected = label_efficiency(trials(*kept))
    pd.testing.assert_frame_equal(found.saved, expected.saved)
    pd.testing.assert_frame_equal(found.scores, expected.scores)
    (said,) = set(found.unseen) - set(expected.unseen)
    assert said.startswith("Left out, as not finite: s at 100, seed 1, t/acc = nan.")


def test_a_control_that_falls_and_budgets_too_far_apart_are_named():
    noise = np.array([-0.004, 0.0, 0.004])
    steep = {100: 0.2, 400: 0.5, 1600: 0.52, 6400: 0.4}
    rows = [row for b, mean in steep.items() for row in simple("random", b, *(mean + noise))]
    said = label_efficiency(trials(*rows, *simple("s", 400, *(0.5 + noise)))).unseen
    assert any(s.startswith("random falls from 1,600 to 6,400 prompts (t)") for s in said)
    assert any(
        "100 and 400 are too far apart" in s and "Add 200 to selection.budgets_of.random" in s for s in said
    )
    line = {100: 0.3, 200: 0.4, 400: 0.5, 800: 0.6}
    rows = [row for b, mean in line.items() for row in simple("random", b, *(mean + noise))]
    calm = label_efficiency(trials(*rows, *simple("s", 400, *(0.5 + noise)))).unseen
    assert not [s for s in calm if "falls" in s or "too far apart" in s]


def test_savings_in_cost_are_read_off_the_controls_scores_against_cost():
    """A strategy whose answers are twice as long saves half of the prompts and no cost."""
    noise = np.array([-0.002, 0.0, 0.002])
    rows = [row for b in (100, 200, 400) for row in simple("random", b, *(0.1 * math.log2(b / 100) + noise))]
    rows += simple("wordy", 100, *(0.1 + noise))  # as good as 200
    costs = [("random", b, s, 10.0 * b) for b in (100, 200, 400) for s in range(3)]
    costs += [("wordy", 100, s, cost) for s, cost in enumerate((1900.0, 2000.0, 2100.0))]
    frame = pd.DataFrame(costs, columns=["strategy", "budget", "seed", "cost"])
    found = label_efficiency(trials(*rows), costs=frame, unit="characters")
    assert row(found.saved, task="t")["saved"] == pytest.approx(100)
    cost = row(found.saved_cost, task="t")
    assert (cost["own"], cost["needed"]) == pytest.approx((2000, 2000))
    assert cost["saved_low"] <= 0 <= cost["saved_high"]
    prompts = row(found.saved, task="t")
    assert cost["needed_low"] == pytest.approx(10 * prompts["needed_low"])
    assert found.unit == "characters"


@pytest.mark.parametrize("known", ["not of s", "falling"])
def test_without_costs_of_all_cells_none_are_compared_and_that_is_said(known):
    rows = [*RANDOM, *simple("s", 100, 0.5, 0.52)]
    costs = [("random", 100, 0, 10.0), ("random", 200, 0, 5.0 if known == "falling" else 20.0)]
    costs += [("s", 100, 0, 8.0)] if known == "falling" else []
    frame = pd.DataFrame(costs, columns=["strategy", "budget", "seed", "cost"])
    found = label_efficiency(trials(*rows), costs=frame)
    assert found.saved_cost.empty
    assert any(sentence.startswith("Savings in money are not shown") for sentence in found.unseen)
    assert label_efficiency(trials(*rows)).saved_cost.empty
