"""Scores as they come from evaluation: checked, and cut to one metric for each task."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

AVERAGE = "average"
BASE = "base"
COLUMNS = ("strategy", "budget", "seed", "task", "metric", "value")
ITEM_COLUMNS = ("strategy", "budget", "seed", "task", "item", "value")
#: Of a task with several metrics the first of these that it has, unless ``primary`` names one.
PREFERRED_METRICS = ("acc_norm", "exact_match", "acc", "weighted_win_rate", "pass@1", "f1", "bleu")


def check_trials(scores: pd.DataFrame) -> None:
    """Raises ValueError where ``scores`` lacks a column or a finite score, or holds a value twice."""
    absent = [c for c in COLUMNS if c not in scores.columns]
    if absent:
        raise ValueError(f"scores needs the columns {', '.join(COLUMNS)}; {', '.join(absent)} missing.")
    if scores.empty:
        raise ValueError("scores is empty; score at least one trial.")
    negative = scores[scores["budget"] < 0]
    if len(negative):
        raise ValueError(f"budget must be at least 0; {_row_name(negative.iloc[0])} is not.")
    twice = scores[scores.duplicated(list(COLUMNS[:-1]))]
    if len(twice):
        raise ValueError(
            f"A trial must be scored once per task and metric; {_row_name(twice.iloc[0])} is twice."
        )


def finite_trials(scores: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The scores that are finite, and the names of those that are not.

    Raises:
        ValueError: no trained model has a finite one.
    """
    finite = np.isfinite(scores["value"].astype(float))
    lost = [_row_name(row) for row in scores[~finite].itertuples()]
    if not (finite & (scores["budget"] > 0)).any():
        named = f"; {lost[0]} is not" if lost else ""
        raise ValueError(f"At least one trial needs a finite score{named}. Score a trial, or train it anew.")
    return scores[finite], lost


def _row_name(row: Any) -> str:
    return f"{row.strategy} at {row.budget}, seed {row.seed}, {row.task}/{row.metric} = {row.value}"


def primary_metrics(scores: pd.DataFrame, primary: Mapping[str, str]) -> dict[str, str]:
    """The metric read of each task: that of ``primary``, else the first of PREFERRED_METRICS it has."""
    return {
        str(task): primary_metric(str(task), set(rows["metric"]), primary.get(str(task)))
        for task, rows in scores.groupby("task", sort=True)
    }


def primary_metric(
    task: str,
    metrics: Collection[str],
    wanted: str | None,
    remedy: str = "name its primary one with primary",
) -> str:
    """The metric read of a task that has ``metrics``: the wanted one, with or without its only filter.

    Args:
        remedy: what the error tells to do where none is wanted.

    Raises:
        ValueError: it has no such metric, or none is wanted and none of its metrics is preferred.
    """
    present = sorted(metrics)
    preferred = [metric for metric in PREFERRED_METRICS if metric in present]
    chosen = wanted or (present[0] if len(present) == 1 else next(iter(preferred), None))
    filtered = [metric for metric in present if metric.partition(",")[0] == chosen]
    if chosen not in present and len(filtered) == 1:
        chosen = filtered[0]
    if chosen is None or chosen not in present:
        raise ValueError(
            f"Task {task} has the metrics {', '.join(present)}; "
            + (f"{chosen} is not one." if chosen else f"{remedy}.")
        )
    return chosen


def trial_values(
    scores: pd.DataFrame, metrics: dict[str, str], members: Collection[str]
) -> tuple[pd.DataFrame, int]:
    """Trials by their primary metrics, with AVERAGE as one more task, and how many lack a score of it.

    Args:
        members: the tasks of the average.

    Returns:
        ``task, strategy, budget, seed, value, stderr, n``, where stderr and n are NaN in
        AVERAGE and where they are not given.
    """
    kept = scores[scores["metric"] == scores["task"].map(metrics)].copy()
    for column in ("stderr", "n"):
        kept[column] = kept[column].astype(float) if column in kept else np.nan
    kept.loc[kept["budget"] == 0, "strategy"] = BASE
    trial = ["strategy", "budget", "seed"]
    averaged = kept["value"].where(kept["task"].isin(members))
    grouped = averaged.groupby([kept[name] for name in trial], sort=True).agg(["mean", "count"]).reset_index()
    whole = grouped["count"] == len(members)
    average = grouped[whole].rename(columns={"mean": "value"}).assign(task=AVERAGE)
    columns = ["task", *trial, "value", "stderr", "n"]
    joined = pd.concat([kept[columns], average.reindex(columns=columns)], ignore_index=True)
    return joined, int((~whole).sum())


def check_items(items: pd.DataFrame) -> None:
    """Raises ValueError where ``items`` lacks a column, or scores an item of a trial twice."""
    absent = [c for c in ITEM_COLUMNS if c not in items.columns]
    if absent:
        raise ValueError(f"items needs the columns {', '.join(ITEM_COLUMNS)}; {', '.join(absent)} missing.")
    twice = items[items.duplicated(list(ITEM_COLUMNS[:-1]))]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(
            f"An item must be scored once in a trial; {row['item']} of {row['task']} is twice in "
            f"{row['strategy']} at {row['budget']}, seed {row['seed']}. Keep one metric per item."
        )
