"""What each strategy scores, and how much annotation it saves against random sampling.

``label_efficiency`` follows Bhatt et al. 2024, section 4.2, where a strategy that scores at 45K
prompts what random sampling scores at 90K "saves 50 % of the annotation cost": here that is
read off random's monotone curve, with an interval (``inference``) of seeds' and items' noise (``noise``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from edsel_assets.report.statistics.board import Board, make_board
from edsel_assets.report.statistics.control import control_remarks
from edsel_assets.report.statistics.curve import isotonic
from edsel_assets.report.statistics.inference import (
    LEVEL,
    Needed,
    benjamini_hochberg,
    compare,
    needed_budgets,
)
from edsel_assets.report.statistics.moderation import Prior
from edsel_assets.report.statistics.trials import (
    AVERAGE,
    BASE,
    check_items,
    check_trials,
    finite_trials,
    primary_metrics,
    trial_values,
)
from edsel_assets.report.statistics.unseen import unseen_variance

__all__ = [
    "AVERAGE",
    "BASE",
    "FLAT",
    "NOT_REACHED",
    "REACHED",
    "UNDER",
    "LabelEfficiency",
    "label_efficiency",
]

#: ``status`` of a saving. Only REACHED has numbers.
REACHED, NOT_REACHED, UNDER, FLAT = "reached", "not reached", "under", "flat"
_ORDER = ["task", "strategy", "budget"]
_DIFFERENCE = ("difference", "difference_se", "difference_low", "difference_high", "p", "p_holm")
_SAVED = {
    **dict.fromkeys(("task", "strategy"), "str"),
    "budget": "int64",
    "score": "float64",
    "status": "str",
    **dict.fromkeys(
        ("needed", "needed_low", "needed_high", "saved", "saved_low", "saved_high", "share", "p_fdr"),
        "float64",
    ),
}


@dataclass(frozen=True)
class LabelEfficiency:
    """Scores by strategy and budget, and the annotation that each saves.

    Attributes:
        scores: one row per task, strategy and budget: ``task`` (AVERAGE, the mean over tasks, where there
            are several), ``strategy``, ``budget`` (prompts annotated), ``mean`` and ``se`` (standard error)
            over ``n`` seeds; ``difference`` to the control at the same budget, ``difference_se``,
            its 95 % interval ``difference_low`` to ``difference_high``, ``p`` of no difference (a
            little more careful than the interval, see ``inference.Errors``) and
            ``p_holm``, corrected for the cells of the task's table; ``mark``: 1 better than the
            control, -1 worse, 0 not shown, by p_holm <= 0.05. The base model is a row of
            strategy BASE and budget 0. ``se`` is NaN with one seed; a difference is NaN where
            the control has no score at that budget.
        saved: one row per task, strategy but the control, and budget: ``score``, ``status`` and, of
            REACHED alone, ``needed`` (random annotations that reach the score), ``saved`` = needed -
            budget (negative: random is cheaper) and ``share`` = saved / needed. NOT_REACHED:
            random's largest budget scores less. UNDER: random's smallest budget scores more. FLAT:
            random's curve is too flat there to tell (``inference`` says when). The ends of 95 %
            intervals are given for each status: infinite where they leave random's measured
            budgets, NaN without an estimate of noise. They err once in 20 of all rows, those
            without a number included. ``p_fdr``: p of no saving and no loss, corrected for the false
            discovery rate over the rows of the task (Benjamini and Hochberg).
        curves: the control's monotone curve: ``task, budget, mean``.
        control: the strategy that the others are measured against.
        one_subset: strategies that choose the same prompts whatever the seed.
        metrics: the metric read, by task.
        incomplete: trials left out of AVERAGE, as they lack the score of a task.
        unseen: sentences that name the variance which these trials cannot show.
    """

    scores: pd.DataFrame
    saved: pd.DataFrame
    curves: pd.DataFrame
    control: str
    one_subset: frozenset[str]
    metrics: dict[str, str]
    incomplete: int
    unseen: tuple[str, ...]

    @property
    def main_task(self) -> str:
        """What a report shows first: AVERAGE, or the first task where no trial has a score on each."""
        trained = set(self.scores.loc[self.scores["budget"] > 0, "task"])
        return AVERAGE if AVERAGE in trained else min(trained)


def label_efficiency(
    scores: pd.DataFrame,
    *,
    items: pd.DataFrame | None = None,
    primary: Mapping[str, str] | None = None,
    average: Collection[str] = (),
    control: str = "random",
    one_subset: Collection[str] = (),
) -> LabelEfficiency:
    """Compare strategies by what a trial scores and by the annotation that saves.

    Args:
        scores: one row per trial, task and metric: ``strategy``, ``budget`` (0: the base
            model, of whatever strategy), ``seed``, ``task``, ``metric``, ``value`` (higher is better), and
            optionally ``stderr`` and ``n``, of the value over the task's items. Trials of one
            seed share their training seed, whatever their strategy. Budgets may differ by strategy.
        items: the primary metric by item: ``strategy, budget, seed, task, item, value``, of a task
            for all of its trials or for none. Of a ratio, such as the loss per token, give
            each item's linear part: mean + (numerator - mean * denominator) / mean denominator.
        primary: metric by task; PREFERRED_METRICS decides for others.
        average: the tasks that AVERAGE is the mean of; all by default.
        control: strategy to compare with.
        one_subset: strategies that choose the same prompts whatever the seed.

    **Annotation saved.** Random's mean scores are made monotone (isotonic regression, weighted
    by seeds) and joined by a monotone cubic in log(budget) (``curve``). ``needed`` is the smallest budget on
    them with the strategy's mean score, and ``saved`` is that less the strategy's own budget. It is
    given only between random's smallest and largest trained budget. The base model has no place on
    a logarithmic axis; it is a point of its own at the left end that is drawn, is no part
    of the monotone fit, and off which no number is read: a score below that of random's smallest budget
    is UNDER. Intervals are sets of budgets that a test does not reject (``inference``).

    **Without items** their noise is taken as normal and apart for every cell, from ``stderr``: too
    wide, as cells share items. Without that it is left out, and ``unseen`` says so.

    Raises:
        ValueError: on missing columns, no finite score, a trial or item scored twice, or a task of
            which no metric can be told. Scores that are not finite are left out, and ``unseen`` names them.
    """
    check_trials(scores)
    scores, lost = finite_trials(scores)
    if items is not None:
        check_items(items)
    metrics = primary_metrics(scores, primary or {})
    members = list(average or metrics)
    trials, incomplete = trial_values(scores, metrics, members)
    if len(members) == 1:
        trials = trials[trials["task"] != AVERAGE]
    parts, boards, remarks = [], {}, []
    for task in [*sorted(metrics), AVERAGE]:
        read = trials[trials["task"].isin([*members, AVERAGE])] if task == AVERAGE else trials
        board = make_board(read, task, items)
        if board is not None:
            boards[task] = board
            tables, prior = _task_tables(task, board, control)
            parts.append(tables)
            remarks += control_remarks(task, board, prior, control)
    differences, saved, curves = (
        pd.concat([part[i] for part in parts], ignore_index=True) if parts else empty
        for i, empty in enumerate((_differences_frame([]), _saved_frame([]), _curve_frame([])))
    )
    summary = _summary(trials).merge(differences, on=_ORDER, how="left", validate="one_to_one")
    summary["mark"] = summary["mark"].fillna(0).astype(int)
    unseen = (*remarks, *unseen_variance(boards, control, one_subset, incomplete, lost))
    fixed = frozenset(one_subset)
    return LabelEfficiency(summary, saved, curves, control, fixed, metrics, incomplete, unseen)


def _summary(trials: pd.DataFrame) -> pd.DataFrame:
    summary = trials.groupby(_ORDER, sort=True)["value"].agg(["mean", "sem", "count"]).reset_index()
    return summary.rename(columns={"sem": "se", "count": "n"})


def _task_tables(
    task: str, board: Board, control: str
) -> tuple[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], Prior]:
    """Differences, savings and the control's curve of one task, and its prior of variances."""
    cells, controls = board.matches(control)
    found, prior = compare(board.means, board.noise, board.at, board.of, cells, controls)
    clear = np.where(found.adjusted <= 1 - LEVEL, np.sign(found.value), 0)
    columns = (
        found.value, found.se, found.value - found.half_width, found.value + found.half_width,
        found.p, found.adjusted, clear,
    )  # fmt: skip
    rows = [(task, *_name(board, c), *values) for c, *values in zip(cells, *columns, strict=True)]
    own = board.rows(control)
    if not len(own):
        return (_differences_frame(rows), _saved_frame([]), _curve_frame([])), prior
    weights = board.noise.present[own].sum(axis=1).astype(float)
    fitted = isotonic(board.means[own], weights)
    curve = [(task, int(b), float(m)) for b, m in zip(board.at[own], fitted, strict=True)]
    savings = _savings(task, board, prior, own, control)
    return (_differences_frame(rows), _saved_frame(savings), _curve_frame(curve)), prior


def _savings(task: str, board: Board, prior: Prior, own: np.ndarray, control: str) -> list[dict[str, Any]]:
    others, at = board.others(control), board.at
    found = needed_budgets(board.means, board.noise, prior, others, at[others], own, at[own])
    adjusted = benjamini_hochberg(np.array([needed.p for needed in found]))
    return [
        {"task": task, **_saving(*_name(board, row), float(board.means[row]), needed), "p_fdr": p}
        for row, needed, p in zip(others, found, adjusted, strict=True)
    ]


def _saving(strategy: str, budget: int, score: float, needed: Needed) -> dict[str, Any]:
    number = needed.budget if _status(needed) == REACHED else np.nan
    # The end of an open set is the float next to a budget: written as that budget.
    number, low, high = (round(end, 6) for end in (number, needed.low, needed.high))
    return {
        "strategy": strategy,
        "budget": budget,
        "score": score,
        "status": _status(needed),
        "needed": number,
        "needed_low": low,
        "needed_high": high,
        "saved": round(number - budget, 6),
        "saved_low": round(low - budget, 6),
        "saved_high": round(high - budget, 6),
        "share": (number - budget) / number,
    }


def _status(needed: Needed) -> str:
    if needed.flat:
        return FLAT
    if np.isinf(needed.budget):
        return NOT_REACHED if needed.budget > 0 else UNDER
    return REACHED


def _name(board: Board, row: int) -> tuple[str, int]:
    return str(board.cells["strategy"].iloc[row]), int(board.cells["budget"].iloc[row])


def _differences_frame(rows: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[*_ORDER, *_DIFFERENCE, "mark"])
    numbers = dict.fromkeys((*_DIFFERENCE, "mark"), "float64")
    return frame.astype({"task": "str", "strategy": "str", "budget": "int64", **numbers})


def _saved_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(_SAVED)).astype(_SAVED)


def _curve_frame(rows: list[tuple[str, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["task", "budget", "mean"]).astype(
        {"task": "str", "budget": "int64", "mean": "float64"}
    )
