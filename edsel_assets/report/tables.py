"""What each strategy scores, and how much annotation it saves against random sampling.

``label_efficiency`` follows Bhatt et al. 2024, section 4.2, where a strategy that scores at 45K
prompts what random sampling scores at 90K "saves 50 % of the annotation cost": here that is
read off random's monotone curve, with an interval (``inference``) of seeds' and items' noise (``noise``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from edsel_assets.report.statistics.board import Board, make_board
from edsel_assets.report.statistics.control import control_remarks
from edsel_assets.report.statistics.curve import isotonic
from edsel_assets.report.statistics.inference import LEVEL, compare
from edsel_assets.report.statistics.moderation import Prior
from edsel_assets.report.statistics.savings import FLAT, NOT_REACHED, REACHED, UNDER, savings
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

_ORDER = ["task", "strategy", "budget"]
_CELL = ["strategy", "budget"]
_DIFFERENCE = ("difference", "difference_se", "difference_low", "difference_high", "p", "p_holm")


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
        saved_cost: the same with costs in place of budgets: what the answers of a cell cost (``own``, its
            mean over seeds), and what the control's cost that reach its score. Empty without costs.
        unit: what a cost is counted in.
        curves: the control's monotone curve: ``task, budget, mean``.
        control: the strategy that the others are measured against.
        one_subset: strategies that choose the same prompts whatever the seed.
        metrics: the metric read, by task.
        incomplete: trials left out of AVERAGE, as they lack the score of a task.
        unseen: sentences that name the variance which these trials cannot show.
    """

    scores: pd.DataFrame
    saved: pd.DataFrame
    saved_cost: pd.DataFrame
    unit: str
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
    costs: pd.DataFrame | None = None,
    unit: str = "money",
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
        costs: ``strategy, budget, cost`` of the answers of a trial, a row for each trial; of every trained
            cell. Their control is ``control`` at equal cost: its scores are read against what they cost.
        unit: what a cost is counted in.

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
            tables, prior = _task_tables(task, board, control, costs)
            parts.append(tables)
            remarks += control_remarks(task, board, prior, control)
    differences, saved, saved_cost, curves = (
        pd.concat([part[i] for part in parts], ignore_index=True) for i in range(4)
    )
    summary = _summary(trials).merge(differences, on=_ORDER, how="left", validate="one_to_one")
    summary["mark"] = summary["mark"].fillna(0).astype(int)
    if costs is not None and saved_cost.empty and len(saved):
        remarks.append(
            f"Savings in {unit} are not shown: the answers of some trial have no known cost above 0, or "
            f"those of {control} do not cost more at larger budgets."
        )
    unseen = (*remarks, *unseen_variance(boards, control, one_subset, incomplete, lost))
    fixed = frozenset(one_subset)
    return LabelEfficiency(
        summary, saved, saved_cost, unit, curves, control, fixed, metrics, incomplete, unseen
    )


def _summary(trials: pd.DataFrame) -> pd.DataFrame:
    summary = trials.groupby(_ORDER, sort=True)["value"].agg(["mean", "sem", "count"]).reset_index()
    return summary.rename(columns={"sem": "se", "count": "n"})


def _task_tables(
    task: str, board: Board, control: str, costs: pd.DataFrame | None
) -> tuple[tuple[pd.DataFrame, ...], Prior]:
    """Differences, savings in prompts and in cost and the control's curve, and the prior of variances."""
    cells, controls = board.matches(control)
    found, prior = compare(board.means, board.noise, board.at, board.of, cells, controls)
    clear = np.where(found.adjusted <= 1 - LEVEL, np.sign(found.value), 0)
    columns = (
        found.value, found.se, found.value - found.half_width, found.value + found.half_width,
        found.p, found.adjusted, clear,
    )  # fmt: skip
    rows = [(task, *board.name(c), *values) for c, *values in zip(cells, *columns, strict=True)]
    own = board.rows(control)
    weights = board.noise.present[own].sum(axis=1).astype(float)
    fitted = isotonic(board.means[own], weights)
    curve = [(task, int(b), float(m)) for b, m in zip(board.at[own], fitted, strict=True)]
    taken = (board.at, _spent(board, own, costs))
    saved = [savings(task, board, prior, control, at) for at in taken]
    return (_differences_frame(rows), *saved, _curve_frame(curve)), prior


def _spent(board: Board, own: np.ndarray, costs: pd.DataFrame | None) -> np.ndarray | None:
    """(C,) mean cost of the cells; None where one is not known, or the control's do not rise."""
    if costs is None:
        return None
    means = costs.groupby(_CELL)["cost"].mean()
    spent = means.reindex(pd.MultiIndex.from_frame(board.cells[_CELL])).to_numpy(float)
    return spent if (spent > 0).all() and (np.diff(spent[own]) > 0).all() else None


def _differences_frame(rows: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[*_ORDER, *_DIFFERENCE, "mark"])
    numbers = dict.fromkeys((*_DIFFERENCE, "mark"), "float64")
    return frame.astype({"task": "str", "strategy": "str", "budget": "int64", **numbers})


def _curve_frame(rows: list[tuple[str, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["task", "budget", "mean"]).astype(
        {"task": "str", "budget": "int64", "mean": "float64"}
    )
