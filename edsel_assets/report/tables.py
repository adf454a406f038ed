"""What each strategy scores, and how much annotation it saves against random sampling.

``label_efficiency`` follows Bhatt et al. 2024, section 4.2, where a strategy that scores at 45K
prompts what random sampling scores at 90K "saves 50 % of the annotation cost": here that is
read off random's curve at any score, with its uncertainty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

AVERAGE = "average"
BASE = "base"
COLUMNS = ("strategy", "budget", "seed", "task", "metric", "value")
#: Of a task with several metrics the first of these that it has, unless ``primary`` names one.
PREFERRED_METRICS = ("acc_norm", "exact_match", "acc", "weighted_win_rate", "pass@1", "f1", "bleu")
_DRAWS = 10_000
_SAVED = {
    "task": "str",
    "strategy": "str",
    "budget": "int64",
    "score": "float64",
    "needed": "float64",
    "relation": "str",
    "saved": "float64",
    "share": "float64",
    "saved_low": "float64",
    "saved_high": "float64",
}


@dataclass(frozen=True)
class LabelEfficiency:
    """Scores by strategy and budget, and the annotation that each saves.

    Attributes:
        scores: one row per task, strategy and budget: ``task`` (AVERAGE is the mean over tasks),
            ``strategy``, ``budget`` (prompts annotated), ``mean`` and ``se`` (standard error) over
            ``n`` seeds, ``difference`` to the control at the same budget and ``difference_se``.
            The base model is a row of strategy BASE and budget 0. ``se`` is NaN with one seed,
            a difference NaN where the control has no score at that budget.
        saved: one row per task, strategy but the control, and budget: ``score``; ``needed``, the
            random annotations that reach it; ``relation``: "=", or ">=" where no random score
            is as high, so that ``needed`` and ``saved`` are lower bounds, or "<=" where
            every random score is higher and there is no base score; ``saved`` = needed - budget
            (negative: random is cheaper); ``share`` = saved / needed (NaN at needed = 0);
            ``saved_low``, ``saved_high``: 95 % interval, NaN without an estimate of noise, at
            infinity where it reaches beyond random's largest score.
        control: the strategy that the others are measured against.
        metrics: the metric read, by task.
        incomplete: trials left out of AVERAGE, as they lack the score of a task.
    """

    scores: pd.DataFrame
    saved: pd.DataFrame
    control: str
    metrics: dict[str, str]
    incomplete: int

    @property
    def tasks(self) -> list[str]:
        """The tasks by name, AVERAGE last."""
        return [*sorted(self.metrics), AVERAGE]


def label_efficiency(
    scores: pd.DataFrame,
    *,
    primary: Mapping[str, str] | None = None,
    control: str = "random",
    lower_is_better: Collection[str] = (),
    seed: int = 0,
) -> LabelEfficiency:
    """Compare strategies by what a trial scores and by the annotation that saves.

    Args:
        scores: one row per trial, task and metric: ``strategy``, ``budget`` (0: the base
            model, of whatever strategy), ``seed``, ``task``, ``metric``, ``value``.
        primary: metric by task; PREFERRED_METRICS decides for others.
        control: strategy to compare with.
        lower_is_better: metrics of which a lower value is better. Where only some of the
            metrics are, AVERAGE is over values of opposite senses and refused.
        seed: of the interval's draws.

    **Annotation saved.** Random's curve joins (0, base score) and (budget, mean score) by
    straight lines. ``needed`` is the smallest number of random annotations at which the curve
    reaches the strategy's mean score, and ``saved`` is that less the strategy's own budget.
    The curve may fall by noise; the first crossing counts, which favours random.

    **Its interval** is the 2.5 % and 97.5 % quantile over 10,000 draws in which every mean
    is replaced by a normal variate of its standard error over seeds, random's curve and
    the strategy's score independently; the base model's score is taken as exact where it
    has been measured once. With three seeds it is rough.

    Raises:
        ValueError: on missing columns, a value that is not finite, a trial scored twice, or a
            task of which no metric can be told.
    """
    _check(scores)
    metrics = _primary_metrics(scores, primary or {})
    lower = {task for task, metric in metrics.items() if metric in lower_is_better}
    if lower and len(lower) < len(metrics):
        raise ValueError(
            f"Tasks with a metric where lower is better ({', '.join(sorted(lower))}) cannot be averaged with "
            "others. Compare them apart, or choose metrics of one sense with primary."
        )
    trials, incomplete = _trials(scores, metrics)
    summary = _summary(trials, control)
    saved = _saved(summary, control, sign=-1.0 if lower else 1.0, generator=np.random.default_rng(seed))
    return LabelEfficiency(summary, saved, control, metrics, incomplete)


def _check(scores: pd.DataFrame) -> None:
    absent = [c for c in COLUMNS if c not in scores.columns]
    if absent:
        raise ValueError(f"scores needs the columns {', '.join(COLUMNS)}; {', '.join(absent)} missing.")
    if scores.empty:
        raise ValueError("scores is empty; score at least one trial.")
    bad = scores[~np.isfinite(scores["value"].astype(float))]
    if len(bad):
        raise ValueError(
            f"Every score must be finite; {_row_name(bad.iloc[0])} is not. Score that trial again."
        )
    negative = scores[scores["budget"] < 0]
    if len(negative):
        raise ValueError(f"budget must be at least 0; {_row_name(negative.iloc[0])} is not.")
    twice = scores[scores.duplicated(list(COLUMNS[:-1]))]
    if len(twice):
        raise ValueError(
            f"A trial must be scored once per task and metric; {_row_name(twice.iloc[0])} is twice."
        )


def _row_name(row: Any) -> str:
    return f"{row.strategy} at {row.budget}, seed {row.seed}, {row.task}/{row.metric} = {row.value}"


def _primary_metrics(scores: pd.DataFrame, primary: Mapping[str, str]) -> dict[str, str]:
    chosen = {}
    for task, rows in scores.groupby("task", sort=True):
        present = sorted(set(rows["metric"]))
        preferred = [m for m in PREFERRED_METRICS if m in present]
        wanted = primary.get(str(task)) or (present[0] if len(present) == 1 else next(iter(preferred), None))
        if wanted not in present:
            raise ValueError(
                f"Task {task} has the metrics {', '.join(present)}; "
                + (f"{wanted} is not one." if wanted else "name its primary one with primary.")
            )
        chosen[str(task)] = str(wanted)
    return chosen


def _trials(scores: pd.DataFrame, metrics: dict[str, str]) -> tuple[pd.DataFrame, int]:
    """task, strategy, budget, seed, value of the primary metrics, AVERAGE appended; trials without one."""
    kept = scores[scores["metric"] == scores["task"].map(metrics)].copy()
    kept.loc[kept["budget"] == 0, "strategy"] = BASE
    trial = ["strategy", "budget", "seed"]
    grouped = kept.groupby(trial, sort=True)["value"].agg(["mean", "count"]).reset_index()
    whole = grouped["count"] == len(metrics)
    average = grouped[whole].rename(columns={"mean": "value"}).assign(task=AVERAGE)
    columns = ["task", *trial, "value"]
    return pd.concat([kept[columns], average[columns]], ignore_index=True), int((~whole).sum())


def _summary(trials: pd.DataFrame, control: str) -> pd.DataFrame:
    cell = ["task", "strategy", "budget"]
    summary = trials.groupby(cell, sort=True)["value"].agg(["mean", "sem", "count"]).reset_index()
    summary = summary.rename(columns={"sem": "se", "count": "n"})
    reference = summary[summary["strategy"] == control].set_index(["task", "budget"])
    places = pd.MultiIndex.from_frame(summary[["task", "budget"]])
    matched = reference.reindex(places)
    summary["difference"] = summary["mean"] - matched["mean"].to_numpy()
    # Seeds of two strategies are independent runs, so their variances add.
    summary["difference_se"] = np.hypot(summary["se"], matched["se"].to_numpy())
    own = summary["strategy"] == control
    summary.loc[own, ["difference", "difference_se"]] = np.nan
    return summary


def _saved(summary: pd.DataFrame, control: str, sign: float, generator: np.random.Generator) -> pd.DataFrame:
    rows = []
    for task, cells in summary.groupby("task", sort=True):
        on_curve = cells["strategy"].isin([control, BASE])
        curve = cells[on_curve].sort_values("budget")
        if not (curve["strategy"] == control).any():
            continue
        for cell in cells[~on_curve].itertuples():
            rows.append({"task": task, **_saving(cell, curve, sign, generator)})
    return pd.DataFrame(rows, columns=list(_SAVED)).astype(_SAVED)  # an empty one merges, too


def _saving(cell: Any, curve: pd.DataFrame, sign: float, generator: np.random.Generator) -> dict[str, Any]:
    budgets = curve["budget"].to_numpy(float)
    needed, relation = _needed(
        budgets, sign * curve["mean"].to_numpy()[None, :], sign * np.array([cell.mean])
    )
    saved = needed[0] - cell.budget
    low, high = _interval(cell, curve, sign, generator)
    return {
        "strategy": cell.strategy,
        "budget": cell.budget,
        "score": cell.mean,
        "needed": needed[0],
        "relation": ("<=", "=", ">=")[relation[0] + 1],
        "saved": saved,
        "share": saved / needed[0] if needed[0] else np.nan,
        "saved_low": low,
        "saved_high": high,
    }


def _needed(budgets: np.ndarray, curves: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest budget at which each curve reaches its target.

    Args:
        budgets: (P,) ascending.
        curves: (D, P) scores, higher is better.
        targets: (D,).

    Returns:
        (D,) budgets and (D,) how they relate to what is needed: 0 equal; 1 a lower bound, as
        the whole curve is below; -1 an upper bound, as it begins above at more than 0.
    """
    reached = curves >= targets[:, None]
    first = reached.argmax(axis=1)
    beyond = ~reached.any(axis=1)
    draws = np.arange(len(targets))
    before = np.maximum(first - 1, 0)
    low, high = curves[draws, before], curves[draws, first]
    rise = np.where(first > 0, high - low, 1.0)
    part = np.where(first > 0, (targets - low) / np.where(rise == 0, 1.0, rise), 0.0)
    needed = budgets[before] + part * (budgets[first] - budgets[before])
    needed = np.where(beyond, budgets[-1], np.where(first == 0, budgets[0], needed))
    above = (first == 0) & ~beyond & (curves[:, 0] > targets) & (budgets[0] > 0)
    return needed, np.where(beyond, 1, np.where(above, -1, 0))


def _interval(
    cell: Any, curve: pd.DataFrame, sign: float, generator: np.random.Generator
) -> tuple[float, float]:
    budgets, means = curve["budget"].to_numpy(float), sign * curve["mean"].to_numpy()
    errors = curve["se"].to_numpy(float).copy()
    errors[(curve["strategy"] == BASE).to_numpy() & (curve["n"] == 1).to_numpy()] = 0.0
    if not (np.isfinite(errors).all() and np.isfinite(cell.se)):
        return np.nan, np.nan
    curves = means + errors * generator.standard_normal((_DRAWS, len(means)))
    targets = sign * cell.mean + cell.se * generator.standard_normal(_DRAWS)
    needed, relation = _needed(budgets, curves, targets)
    saved = np.select([relation > 0, relation < 0], [np.inf, 0.0], needed) - cell.budget
    low, high = np.quantile(saved, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)
