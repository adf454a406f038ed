"""Scores on a target and on the rest, against sums written out, and a report that shows them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from edsel_assets.stages.evaluation.by_target import part_scores, parts_of
from edsel_assets.stages.summary import Scores, summarise
from edsel_assets_tests.defs.conftest import tiny_study

IDS = [f"p{i:02}" for i in range(60)]
WEIGHTS = np.r_[np.full(20, 3.0), np.full(40, 0.25)]
TABLE = pa.table({"prompt_id": IDS, "weight": WEIGHTS})


def losses(seed: int, own: float, rest: float) -> dict[str, pd.Series]:
    """Items of one model: loss per token near ``own`` on the target's twenty prompts, else near ``rest``."""
    rng = np.random.default_rng(seed)
    tokens = np.random.default_rng(0).integers(2, 30, size=60)
    level = np.where(WEIGHTS > 1, own, rest) + np.random.default_rng(1).normal(0, 0.3, 60)
    nll = tokens * (level + 0.05 * rng.standard_normal(60))
    index = [f"held_out/{each}" for each in IDS]
    return {"held_out/nll": pd.Series(nll, index), "held_out/tokens": pd.Series(tokens, index)}


def test_a_weighted_loss_is_self_normalised_with_the_error_of_a_ratio() -> None:
    own, rest = parts_of("support", TABLE, by_tasks=False)
    values = losses(3, 2.0, 4.0)
    nll, tokens = (values[f"held_out/{name}"].to_numpy() for name in ("nll", "tokens"))
    for part, weights in ((own, WEIGHTS), (rest, 1 - WEIGHTS / 3.0)):
        frame, items = part_scores(part, {(100, "random", 0): values}, "token_mean")
        row = frame.iloc[0]
        assert row["value"] == pytest.approx(-(weights * nll).sum() / (weights * tokens).sum())
        leave_one_out = [
            -np.delete(weights * nll, i).sum() / np.delete(weights * tokens, i).sum() for i in range(60)
        ]
        jackknife = np.sqrt(59 / 60 * np.square(np.array(leave_one_out) - np.mean(leave_one_out)).sum())
        assert row["stderr"] == pytest.approx(jackknife, rel=0.05)
        assert items["value"].mean() == pytest.approx(row["value"])
    assert own.effective_size == pytest.approx(WEIGHTS.sum() ** 2 / (WEIGHTS**2).sum())


def test_answers_are_weighed_alike_and_other_prompts_are_left_out() -> None:
    own, _ = parts_of("support", TABLE, by_tasks=False)
    values = pd.Series(np.linspace(0, 1, 60), [f"held_out/{each}" for each in IDS])
    strangers = values.set_axis([f"held_out/q{i}" for i in range(60)])
    models = {
        (100, "random", 0): {"held_out/rouge_l": values},
        (100, "random", 1): {"held_out/rouge_l": strangers},
        (100, "random", 2): {},
    }
    frame, _ = part_scores(own, models, "rouge_l")
    assert frame["seed"].tolist() == [0]
    assert frame["value"].iloc[0] == pytest.approx(np.average(values, weights=WEIGHTS))


def test_the_rest_of_named_tasks_is_the_prompts_of_the_others() -> None:
    weights = np.where(WEIGHTS > 1, WEIGHTS, 0.0)
    table = TABLE.set_column(1, "weight", pa.array(weights))
    _, rest = parts_of("support", table, by_tasks=True)
    assert rest.weights.tolist() == [0.0] * 20 + [1.0] * 40
    _, spread = parts_of("even", TABLE, by_tasks=True)
    assert spread.weights.tolist() == pytest.approx([0.0] * 20 + [1 - 0.25 / 3] * 40)


def scores(items: dict[str, pd.Series]) -> Scores:
    nll, tokens = items["held_out/nll"], items["held_out/tokens"]
    row = {"task": "held_out", "metric": "token_mean", "value": -nll.sum() / tokens.sum(), "n": 60}
    return Scores(pa.Table.from_pylist([row | {"stderr": 0.1}]), items)


def test_the_report_has_target_and_rest_side_by_side() -> None:
    """Aimed at 50, the target is as well off as by 200 random answers, and the rest is worse off."""
    study = tiny_study(
        targets={"support": {"tasks": "equal"}},
        selection={
            "strategies": ["random", "fl_rbf"],
            "variants": {"aimed": {"strategy": "fl_rbf", "target": "support"}},
            "budgets": [50],
        },
    )
    trials = {
        f"{budget:05}|random.s{seed}": scores(
            losses(10 * budget + seed, 5 - np.log(budget) / 3, 5 - np.log(budget) / 3)
        )
        for budget in (25, 50, 100, 200, 400)
        for seed in range(4)
    }
    trials |= {
        f"00050|aimed.s{seed}": scores(losses(7000 + seed, 5 - np.log(200) / 3, 5 - np.log(30) / 3))
        for seed in range(4)
    }
    base = scores(losses(9, 5, 5))
    report = summarise(study, base, trials, {}, weights={"support": TABLE})
    first = report.sheets[0]
    assert first.title == "Target support: token_mean"
    cells = {row[:2]: dict(zip(first.header, row, strict=True)) for row in first.rows}
    assert float(cells["aimed", "50"]["random needs"]) == pytest.approx(200, rel=0.35)
    assert cells["aimed", "50"]["reading"] == "saves, this subset"
    assert float(cells["aimed", "50"]["rest, to random"]) == pytest.approx(-np.log(50 / 30) / 3, abs=0.05)
    assert cells["random", "50"]["saved"] == ""
    assert report.texts[".txt"].index("Target support") < report.texts[".txt"].index("Score by strategy")
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in report.table.to_pylist()}
    nll, tokens = (
        [t.items[f"held_out/{n}"] for k, t in trials.items() if "aimed" in k] for n in ("nll", "tokens")
    )
    means = [-(WEIGHTS * a).sum() / (WEIGHTS * b).sum() for a, b in zip(nll, tokens, strict=True)]
    assert rows["held_out_support", "aimed", 50]["mean"] == pytest.approx(np.mean(means))
    assert "score_by_budget_held_out_support" in report.plots
