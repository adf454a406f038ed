"""A report's figures by independent lines, from the scores by item alone."""

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.isotonic import IsotonicRegression

HELD_OUT = "held_out"


def items_of(store: Path) -> pd.DataFrame:
    """``strategy, budget, seed, task, metric, item, value`` of every trial in a study's store."""
    frames = []
    for file in sorted(store.glob("benchmark_scores/*/items/*.parquet")):
        strategy, _, seed = file.stem.rpartition(".s")
        frame = pq.read_table(file).to_pandas()
        frame = frame[frame["sample"].isna()][["task", "metric", "item", "value"]]
        frames.append(frame.assign(strategy=strategy, budget=int(file.parts[-3]), seed=int(seed)))
    return pd.concat(frames, ignore_index=True)


def score(rows: pd.DataFrame, task: str) -> float:
    """A trial's score on a task: the mean over its items; of held-out prompts minus the loss per token."""
    if task != HELD_OUT:
        normed = rows[rows["metric"] == "acc_norm"]  # what is read of a task that has both
        return fmean((normed if len(normed) else rows)["value"])
    by_metric = rows.groupby("metric")["value"].sum()
    return -by_metric["nll"] / by_metric["tokens"]


def trial_scores(items: pd.DataFrame) -> dict[tuple[str, str, int], dict[int, float]]:
    """Scores by (task, strategy, budget) and seed; ``average`` is over the tasks, if there are any."""
    found: dict[tuple[str, str, int], dict[int, float]] = {}
    for (strategy, budget, seed), trial in items.groupby(["strategy", "budget", "seed"]):
        scores = {str(task): score(rows, str(task)) for task, rows in trial.groupby("task")}
        tasks = [value for task, value in scores.items() if task != HELD_OUT]
        scores["average"] = fmean(tasks or scores.values())
        for task, value in scores.items():
            found.setdefault((task, strategy, int(budget)), {})[int(seed)] = value
    return found


def holm(p: list[float]) -> list[float]:
    """Holm 1979, step by step."""
    adjusted, worst = [1.0] * len(p), 0.0
    for step, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        worst = max(worst, min(1.0, (len(p) - step) * p[place]))
        adjusted[place] = worst
    return adjusted


def needed(scores: dict[tuple[str, str, int], dict[int, float]], task: str, control: str, goal: float):
    """The control's budget that has the score ``goal`` on its monotone curve; None outside of it."""
    budgets = sorted(b for t, s, b in scores if (t, s) == (task, control))
    cells = [[*scores[task, control, b].values()] for b in budgets]
    weights = [len(cell) for cell in cells]
    curve = IsotonicRegression().fit_transform(budgets, [fmean(c) for c in cells], sample_weight=weights)
    if not curve[0] <= goal <= curve[-1]:
        return None
    fine = np.linspace(np.log(budgets[0]), np.log(budgets[-1]), 400_001)
    return float(np.exp(fine[int(np.argmax(monotone_cubic(np.log(budgets), curve, fine) >= goal))]))


def monotone_cubic(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fritsch and Carlson's cubic through (x, y), by its formulas: Hermite's basis, harmonic slopes."""
    h, secant = np.diff(x), np.diff(y) / np.diff(x)
    slope = np.zeros(len(x))
    for i in range(1, len(x) - 1):
        if secant[i - 1] * secant[i] > 0:
            one, two = 2 * h[i] + h[i - 1], h[i] + 2 * h[i - 1]
            slope[i] = (one + two) / (one / secant[i - 1] + two / secant[i])
    if len(x) == 2:
        slope[:] = secant[0]
    else:
        slope[0] = _end(h[0], h[1], secant[0], secant[1])
        slope[-1] = _end(h[-1], h[-2], secant[-1], secant[-2])
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(h) - 1)
    t = (at - x[i]) / h[i]
    left = y[i] * (1 + 2 * t) * (1 - t) ** 2 + y[i + 1] * t**2 * (3 - 2 * t)
    return left + h[i] * (slope[i] * t * (1 - t) ** 2 - slope[i + 1] * t**2 * (1 - t))


def _end(h: float, beside: float, secant: float, next_secant: float) -> float:
    """The slope at an end: of the parabola through three points, kept from turning the curve."""
    slope = ((2 * h + beside) * secant - h * next_secant) / (h + beside)
    if slope * secant <= 0:
        return 0.0
    return 3 * secant if secant * next_secant < 0 and abs(slope) > 3 * abs(secant) else slope


def check(items: pd.DataFrame, table: pd.DataFrame, control: str = "random") -> int:
    """Compare a report's table with the scores by item; returns how many figures were compared."""
    scores = trial_scores(items)
    compared = 0
    for row in table[table["strategy"] != "base"].to_dict("records"):
        task, strategy, budget = row["task"], row["strategy"], row["budget"]
        mine = scores[task, strategy, budget]
        assert row["n"] == len(mine)
        np.testing.assert_allclose(row["mean"], fmean(mine.values()), rtol=1e-6)
        if len(mine) > 1:
            error = stdev(mine.values()) / len(mine) ** 0.5
            np.testing.assert_allclose(row["se"], error, rtol=1e-4, atol=1e-9)
        compared += 3
        if strategy == control:
            continue
        theirs = scores.get((task, control, budget))
        if theirs:
            gap = fmean(mine.values()) - fmean(theirs.values())
            np.testing.assert_allclose(row["difference"], gap, rtol=1e-4, atol=1e-7)
            compared += 1
        at = needed(scores, task, control, fmean(mine.values()))
        if row["status"] == "reached":
            assert at is not None
            np.testing.assert_allclose(row["needed"], at, rtol=1e-4)
            np.testing.assert_allclose(row["saved"], at - budget, rtol=1e-4, atol=0.05)
            np.testing.assert_allclose(row["share"], 1 - budget / at, rtol=1e-4, atol=1e-4)
            compared += 3
        elif row["status"] in ("under", "not reached"):
            assert at is None
            assert np.isnan(row["saved"])
    for _, part in table[table["p"].notna()].groupby("task"):
        np.testing.assert_allclose(part["p_holm"], holm(part["p"].tolist()), rtol=1e-9)
        better = np.where(part["p_holm"] <= 0.05, np.sign(part["difference"]), 0)
        assert (part["mark"] == better).all()
        compared += len(part)
    return compared


def bootstrap_errors(items: pd.DataFrame, control: str, draws: int = 400) -> pd.Series:
    """Standard errors of held-out differences by a bootstrap over seeds and prompts.

    Both are drawn for all cells alike. Seeds are drawn with replacement from J, so their variance is
    (J - 1) / J of what it is to be.
    """
    held = items[items["task"] == HELD_OUT]
    wide = held.pivot(index=["strategy", "budget", "seed"], columns=["metric", "item"], values="value")
    generator = np.random.default_rng(0)
    count = wide["nll"].shape[1]
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    loss = (wide["nll"].to_numpy() @ drawn.T) / (wide["tokens"].to_numpy() @ drawn.T)
    cells = pd.DataFrame(loss, index=wide.index)
    seeds = sorted(set(wide.index.get_level_values("seed")))
    inflated = (len(seeds) / (len(seeds) - 1)) ** 0.5
    errors = {}
    for strategy, budget in {key[:2] for key in wide.index}:
        if strategy == control or (control, budget) not in cells.index.droplevel("seed"):
            continue
        mine, theirs = (cells.loc[(name, budget), :].to_numpy() for name in (strategy, control))
        gap = mine - theirs  # (J, D)
        chosen = generator.integers(len(seeds), size=(draws, len(seeds)))
        by_seed = gap[chosen, np.arange(draws)[:, None]].mean(axis=1) - gap.mean(axis=0)
        errors[strategy, budget] = np.hypot(inflated * by_seed.std(), gap.mean(axis=0).std())
    return pd.Series(errors)


def shown_numbers(store: Path) -> None:
    """The CSV holds the table's figures; text, page and LaTeX hold its savings as they are shown."""
    table = pq.read_table(store / "label_efficiency.parquet").to_pandas()
    csv = pd.read_csv(store / "label_efficiency.csv")
    for column in ("task", "strategy", "budget"):
        assert csv[column].tolist() == table[column].tolist()
    for column in ("mean", "se", "difference", "saved", "needed", "p_holm"):
        np.testing.assert_allclose(csv[column], table[column], rtol=1e-12)
    page, text = ((store / f"label_efficiency.{s}").read_text(encoding="utf-8") for s in ("html", "md"))
    for row in table[table["status"] == "reached"].to_dict("records"):
        saved = f"{row['saved']:+,.0f}" if abs(row["saved"]) >= 0.5 else "0"
        assert f"<td>{saved}</td>" in page
        assert saved in text
