"""The report of a study from simulated scores: figures checked by lines of their own."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from edsel_assets.stages.evaluation.judged import JUDGED
from edsel_assets.stages.summary import Scores, summarise
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.report.recomputed import monotone_cubic
from edsel_assets_tests.report.simulated import rising, simulate


@pytest.fixture(scope="module")
def results():
    """The demo study with simulated scores by item: k_center as good as twice the random prompts."""
    study = Study.load("demo")
    truth = {"random": rising([50, 100, 200, 400, 800]), "k_center": rising([100, 200], shift=2.0)}
    _, items = simulate(truth, {"random": 6, "k_center": 3}, tasks=2, items=200)
    names = {f"task_{i}": task.name for i, task in enumerate(study.evaluation.tasks)}
    items["task"] = items["task"].map(names)
    trials = {}
    for (budget, strategy, seed), rows in items.groupby(["budget", "strategy", "seed"]):
        values = {task: part.sort_values("item")["value"].to_numpy() for task, part in rows.groupby("task")}
        trials[budget, strategy, seed] = one(values)
    base = trials.pop((0, "random", 0), None) or one({name: np.full(200, 0.2) for name in names.values()})
    keyed = {f"{budget:05}|{strategy}.s{seed}": s for (budget, strategy, seed), s in trials.items()}
    wins = {f"00100|k_center.s{seed}": judged("win_rate", value) for seed, value in enumerate((0.6, 0.7))}
    return study, base, keyed, wins


def judged(metric: str, value: float) -> pa.Table:
    """What a judge said of one trial."""
    row = {"metric": metric, "value": value, "stderr": 0.1, "n": 9, "invalid": 1, "failed": 1, "cost": 0.5}
    return pa.Table.from_pylist([row | {"reference": "00800|random.s0"}], schema=JUDGED)


def one(values: dict[str, np.ndarray]) -> Scores:
    """Scores of one model whose tasks have these values by item."""
    rows = [
        {"task": t, "metric": "acc", "value": float(v.mean()), "stderr": None, "n": len(v)}
        for t, v in values.items()
    ]
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("stderr", pa.float64()),
            ("n", pa.int64()),
        ]
    )
    return Scores(
        pa.Table.from_pylist(rows, schema=schema), {f"{t}/acc": numbered(v) for t, v in values.items()}
    )


def numbered(values: np.ndarray) -> pd.Series:
    """Values by items named 0, 1, 2, ..."""
    return pd.Series(values, index=[str(i) for i in range(len(values))])


def test_the_report_of_a_study(results):
    study, base, trials, wins = results
    sections = {
        "spend": [{"order": "order-0001", "paid": 12.5}],
        "staleness": [{"asset": "win_rates", "cells": 2, "why": "selection.gamma 0.5 -> 0.2"}],
        "missing": [{"asset": f"asset_{i}", "cells": 3} for i in range(42)],
    }
    report = summarise(study, base, trials, wins, **sections)
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in report.table.to_pylist()}
    cell = rows["average", "k_center", 100]
    assert cell["win_rate"] == pytest.approx(0.65)
    mine = [s for key, s in trials.items() if key.startswith("00100|k_center.")]
    by_seed = [np.mean([float(v) for v in s.table["value"].to_pylist()]) for s in mine]
    assert cell["mean"] == pytest.approx(np.mean(by_seed))
    assert cell["se"] == pytest.approx(np.std(by_seed, ddof=1) / np.sqrt(len(by_seed)))
    assert cell["status"] == "reached"
    assert cell["saved_low"] < 100 < cell["saved_high"]
    assert set(report.texts) == {".txt", ".md", ".tex", ".csv", ".html"}
    assert "Annotation saved against random: average" in report.texts[".txt"]
    for text in ("Win rate", "Spend", "order-0001", "selection.gamma 0.5", "Missing results"):
        assert text in report.texts[".html"]
    for suffix, more in ((".html", 2), (".md", 2), (".txt", 32)):
        text = report.texts[suffix]
        assert f"{more} more rows" in text
        assert "2 of win" in text, "that some scores are stale is said"
        assert text.index("2 of win") < text.index("Annotation saved against"), "above the tables"
    for text in ("order-0001", "selection.gamma 0.5", "Missing results", "asset_9"):
        assert text in report.texts[".txt"]
    assert "asset_10" not in report.texts[".txt"]
    assert "http" not in report.texts[".html"].replace("http-equiv", "")


def test_ratings_and_win_rates_have_sheets_of_their_own(results):
    study, base, trials, wins = results
    ratings = {f"00100|k_center.s{seed}": judged("rating", value) for seed, value in enumerate((6.0, 7.0))}
    with_wins, with_ratings = (summarise(study, base, trials, found) for found in (wins, ratings))
    assert "Win rate against the reference trial" in with_wins.texts[".txt"]
    assert "65.0%" in with_wins.texts[".md"]
    assert "rating of the judge" not in with_wins.texts[".txt"]
    assert "Mean rating of the judge" in with_ratings.texts[".txt"]
    assert "6.50" in with_ratings.texts[".md"]
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in with_ratings.table.to_pylist()}
    assert rows["average", "k_center", 100]["rating"] == pytest.approx(6.5)


def test_fresh_scores_have_no_notice(results):
    study, base, trials, wins = results
    rows = [{"asset": "rankings", "cells": 2, "why": "selection.gamma 0.5 -> 0.2"}]
    report = summarise(study, base, trials, wins, staleness=rows)
    assert "Stale results" in report.texts[".txt"]
    assert "made from what is stale" not in report.texts[".txt"]


def with_task(scores: Scores, task: str, value: float = 0.5) -> Scores:
    """The same model scored on one more task."""
    row = {"task": task, "metric": "acc" if task != "held_out" else "token_mean", "value": value, "n": 9}
    more = pa.Table.from_pylist([row], schema=scores.table.schema)
    return Scores(pa.concat_tables([scores.table, more]), scores.items)


@pytest.mark.parametrize("task", ["task_new", "held_out"])
def test_a_task_that_no_trial_has_yet_waits_for_its_trials(results, task):
    study, base, trials, wins = results
    more = [*study.evaluation.tasks, study.evaluation.tasks[0].model_copy(update={"name": "task_new"})]
    evaluation = study.evaluation.model_copy(update={"tasks": more})
    grown = study.model_copy(update={"evaluation": evaluation})
    before = summarise(study, base, trials, wins)
    after = summarise(grown, with_task(base, task), trials, wins)
    assert after.table == before.table


def test_where_trials_have_different_tasks_each_is_shown_by_itself(results):
    study, base, trials, _ = results
    one_of_two = study.evaluation.tasks[0].name
    other = study.evaluation.tasks[1].name
    parts = {}
    for key, scores in trials.items():
        task = one_of_two if "random" in key else other
        kept = scores.table.filter(pa.compute.equal(scores.table["task"], task))
        parts[key] = Scores(kept, {name: v for name, v in scores.items.items() if name.startswith(task)})
    report = summarise(study, base, parts, {})
    rows = {(r["task"], r["strategy"], r["budget"]) for r in report.table.to_pylist()}
    assert (one_of_two, "random", 100) in rows
    assert (other, "k_center", 100) in rows
    assert not [row for row in rows if row[0] == "average" and row[1] != "base"]


def test_the_reference_trial_is_no_seed_of_its_own_cell(results):
    study, base, trials, _ = results
    wins = {
        "00800|random.s0": judged("win_rate", 0.5),  # a draw with itself
        "00800|random.s1": judged("win_rate", 0.7),
        "00100|random.s0": judged("win_rate", 0.2),
        "00100|random.s1": judged("win_rate", 0.4),
    }
    rows = summarise(study, base, trials, wins).table.to_pylist()
    cells = {r["budget"]: r for r in rows if (r["task"], r["strategy"]) == ("average", "random")}
    assert cells[800]["win_rate"] == pytest.approx(0.7)
    assert cells[800]["win_rate_se"] is None or np.isnan(cells[800]["win_rate_se"]), "of one trial, none"
    assert cells[100]["win_rate_se"] == pytest.approx(0.1), "of two, over them"
    assert cells[800]["win_rate_prompts_se"] == pytest.approx(0.1)


def test_win_rates_are_drawn_with_and_without_a_control(results):
    study, base, trials, wins = results
    alone = study.model_copy(update={"report": study.report.model_copy(update={"control": None})})
    for each in (study, alone):
        report = summarise(each, base, trials, wins)
        assert report.plots["win_rates"].startswith(b"\x89PNG")
        text = report.texts[".txt"]
        assert "error over trials" in text
        assert "error over prompts" in text


def test_prompts_of_another_draw_are_not_paired(results):
    """Items of the same count and other names: then their noise is taken from standard errors."""
    study, base, trials, _ = results

    def with_ids(scores: Scores, name: str) -> Scores:
        values = {task: v.set_axis([f"{name}{i}" for i in v.index]) for task, v in scores.items.items()}
        errors = [float(v.std() / len(v) ** 0.5) for v in scores.items.values()]
        table = scores.table.set_column(3, "stderr", pa.array(errors))
        return Scores(table, values)

    alike = {key: with_ids(scores, "old") for key, scores in trials.items()}
    mixed = {key: with_ids(s, "new" if "k_center" in key else "old") for key, s in trials.items()}
    another_base = with_ids(base, "other")  # not compared, so its items do not matter
    said = "from standard errors alone"
    assert said not in summarise(study, another_base, alike, {}).texts[".md"]
    assert said in summarise(study, another_base, mixed, {}).texts[".md"]


def test_savings_are_read_off_the_controls_curve(results):
    study, base, trials, wins = results
    report = summarise(study, base, trials, wins)
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in report.table.to_pylist()}
    budgets = np.array([50, 100, 200, 400, 800])
    curve = np.array([rows["average", "random", b]["mean"] for b in budgets])
    assert (np.diff(curve) > 0).all(), "no smoothing is needed here"
    for budget in (100, 200):
        cell = rows["average", "k_center", budget]
        fine = np.linspace(np.log(50), np.log(800), 400_001)
        needed = np.exp(np.interp(cell["mean"], monotone_cubic(np.log(budgets), curve, fine), fine))
        assert cell["saved"] == pytest.approx(needed - budget, rel=1e-6)


def test_held_out_losses_are_compared_apart_and_by_token(results):
    study, base, trials, _ = results
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 30, size=50)

    def with_losses(scores: Scores, mean: float) -> Scores:
        nll = tokens * (mean + 0.1 * rng.standard_normal(50))
        row = {
            "task": "held_out",
            "metric": "token_mean",
            "value": -nll.sum() / tokens.sum(),
            "stderr": 0.1,
            "n": 50,
        }
        table = pa.concat_tables([scores.table, pa.Table.from_pylist([row], schema=scores.table.schema)])
        return Scores(
            table, {**scores.items, "held_out/nll": numbered(nll), "held_out/tokens": numbered(tokens)}
        )

    found = {key: with_losses(s, 3 - 0.1 * np.log(int(key[:5]))) for key, s in trials.items()}
    report = summarise(study, with_losses(base, 3.5), found, {})
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in report.table.to_pylist()}
    mine = [s for key, s in found.items() if key.startswith("00100|k_center.")]
    values = [-s.items["held_out/nll"].sum() / s.items["held_out/tokens"].sum() for s in mine]
    assert rows["held_out", "k_center", 100]["mean"] == pytest.approx(np.mean(values))
    assert ("average", "k_center", 100) in rows
    assert len(rows) == report.table.num_rows, "each cell has one row a task"
    assert "Annotation saved against random: held_out" in report.texts[".txt"]


def test_answers_to_held_out_prompts_are_compared_apart_by_item(results):
    study, base, trials, _ = results
    ease = np.random.default_rng(1).normal(0, 1, size=60)  # of an item, for all trials

    def with_answers(scores: Scores, seed: int, level: float) -> Scores:
        noise = np.random.default_rng(seed).normal(0, 0.1, size=60)
        values = 1 / (1 + np.exp(-(ease + level + noise)))
        row = {
            "task": "held_out",
            "metric": "rouge_l",
            "value": values.mean(),
            "stderr": values.std(ddof=1) / np.sqrt(60),
            "n": 60,
        }
        table = pa.concat_tables([scores.table, pa.Table.from_pylist([row], schema=scores.table.schema)])
        return Scores(table, {**scores.items, "held_out/rouge_l": numbered(values)})

    found = {
        key: with_answers(s, number, 0.3 * np.log(int(key[:5])) - 2)
        for number, (key, s) in enumerate(sorted(trials.items()))
    }
    report = summarise(study, with_answers(base, 99, -2), found, {})
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in report.table.to_pylist()}
    mine = [
        s.items["held_out/rouge_l"].mean() for key, s in found.items() if key.startswith("00100|k_center.")
    ]
    cell = rows["held_out_rouge_l", "k_center", 100]
    assert cell["mean"] == pytest.approx(np.mean(mine))
    assert not [key for key in rows if key[0] in ("held_out", "held_out_exact_match")]
    assert "Annotation saved against random: held_out_rouge_l" in report.texts[".txt"]
    assert "score_by_budget_held_out_rouge_l" in report.plots

    apart = {key: Scores(s.table, {}) for key, s in found.items()}
    unpaired = summarise(study, Scores(with_answers(base, 99, -2).table, {}), apart, {})
    other = {(r["task"], r["strategy"], r["budget"]): r for r in unpaired.table.to_pylist()}
    width = other["held_out_rouge_l", "k_center", 100]["difference_se"]
    assert cell["difference_se"] < 0.5 * width, "items are paired, so their ease falls out"


@pytest.mark.parametrize("strategies", [["k_center"], ["random", "k_center"]])
def test_without_a_control_the_scores_are_shown_and_nothing_is_compared(strategies):
    study = tiny_study(selection={"strategies": strategies})
    values = {"edsel_demo_choice": np.array([0.0, 1.0, 1.0, 0.0])}
    report = summarise(study, one(values), {"00006|k_center.s0": one({"edsel_demo_choice": np.ones(4)})}, {})
    assert "nothing is compared" in report.texts[".txt"]
    rows = {(r["strategy"], r["budget"]): r["score"] for r in report.table.to_pylist()}
    assert rows == {("base model", 0): 0.5, ("k_center", 6): 1.0}


def test_a_metric_after_its_only_filter_is_found(results):
    study, _, trials, _ = results
    task = study.evaluation.tasks[0].name
    named = study.model_copy(
        update={
            "evaluation": study.evaluation.model_copy(
                update={"tasks": [study.evaluation.tasks[0].model_copy(update={"metric": "exact_match"})]}
            )
        }
    )

    def filtered(scores: Scores) -> Scores:
        table = scores.table.filter(pa.compute.equal(scores.table["task"], task))
        metric = pa.array(["exact_match,get-answer"] * table.num_rows)
        return Scores(table.set_column(1, "metric", metric), {})

    found = {key: filtered(s) for key, s in trials.items()}
    report = summarise(named, next(iter(found.values())), found, {})
    assert "get-answer" in report.texts[".txt"]
