"""A report as one object, computed once; ``formats`` and ``page`` only write it down."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from edsel_assets.report import plots as single_plots
from edsel_assets.report import score_plots
from edsel_assets.report.heat_map import heat_map
from edsel_assets.report.sheets import (
    Rows,
    Sheet,
    difference_sheet,
    digits,
    interval_text,
    of_task,
    plain_text,
    rows_sheet,
    saved_cost_sheet,
    saved_sheet,
    score_sheet,
    score_text,
    strategy_order,
)
from edsel_assets.report.tables import LabelEfficiency

STALE = "Stale results"
#: The kind of the sheets of targets.
TARGET = "target"
_CELL = ["task", "strategy", "budget"]


@dataclass(frozen=True)
class Evidence:
    """Everything that a report shows.

    Attributes:
        title: its heading.
        sheets: the tables in the order of the report, those of the mean over tasks first.
        plots: PNG files by name.
        captions: by name of a plot.
        unseen: sentences on the variance that the trials cannot show.
        table: one row per task, strategy and budget: the columns of ``LabelEfficiency.scores`` and ``saved``,
            where costs are known those of ``saved_cost`` after ``cost_``, and in the main task's rows
            ``win_rate`` and ``rating`` with both of their errors
            (``mean_of_trials``).
        notice: a sentence that a reader needs before any table; may be empty.
    """

    title: str
    sheets: tuple[Sheet, ...]
    plots: dict[str, bytes]
    captions: dict[str, str]
    unseen: tuple[str, ...]
    table: pd.DataFrame
    notice: str = ""


def gather(
    efficiency: LabelEfficiency,
    *,
    title: str = "Label efficiency",
    win_rates: pd.DataFrame | None = None,
    ratings: pd.DataFrame | None = None,
    by_task: bool = True,
) -> Evidence:
    """The report of a comparison.

    Args:
        win_rates: one row per trial: ``strategy, budget, win_rate`` in [0, 1], and where known ``stderr``
            over instructions and ``lost``, the replies that gave no value.
        ratings: the same with ``rating``, 1 to 10.
        by_task: also show each task by itself where there are several.
    """
    judged = mean_of_trials(win_rates, "win_rate"), mean_of_trials(ratings, "rating")
    tasks = dict.fromkeys([efficiency.main_task, *(sorted(efficiency.metrics) if by_task else [])])
    scored = [task for task in tasks if (efficiency.scores["task"] == task).any()]
    sheets = [sheet for task in scored for sheet in _task_sheets(efficiency, task)]
    sheets += judged_sheets(win_rates, ratings)
    plots, captions = _plots(efficiency, scored[0])
    judged_pngs, judged_captions = judged_plots(*judged)
    plots, captions = plots | judged_pngs, captions | judged_captions
    return Evidence(
        title, tuple(sheets), plots, captions, efficiency.unseen, whole_table(efficiency, *judged)
    )


def section_sheets(spend: Rows, staleness: Rows, missing: Rows, shown: int = 40) -> list[Sheet]:
    """What belongs to the study and not to a comparison: rows of plain data; what is empty is left out.

    Args:
        shown: rows shown of each; the caption says how many more there are.
    """
    named = {"Spend": spend, STALE: staleness, "Missing results": missing}
    return [
        rows_sheet(name, rows[:shown], f"{len(rows) - shown:,} more rows." if len(rows) > shown else "")
        for name, rows in named.items()
        if len(rows)
    ]


def whole_table(efficiency: LabelEfficiency, *judged: pd.DataFrame) -> pd.DataFrame:
    """Scores, savings and a judge's words on every cell side by side."""
    joined = efficiency.scores.merge(
        efficiency.saved.drop(columns=["score", "own"]), on=_CELL, how="left", validate="one_to_one"
    )
    if len(efficiency.saved_cost):
        named = efficiency.saved_cost.drop(columns="score").set_index(_CELL).add_prefix("cost_")
        costs = named.rename(columns={"cost_own": "cost"}).reset_index()
        joined = joined.merge(costs, on=_CELL, how="left", validate="one_to_one")
    for means in judged:
        averaged = means.drop(columns=["n", "lost"]).assign(task=efficiency.main_task)
        joined = joined.merge(averaged, on=_CELL, how="left", validate="one_to_one")
    return joined


def mean_of_trials(frame: pd.DataFrame | None, name: str) -> pd.DataFrame:
    """Means over the n trials of each cell: ``strategy, budget, NAME, NAME_se, NAME_prompts_se, n, lost``.

    ``NAME_se`` is the standard error over trials, NaN of one; ``NAME_prompts_se`` that over instructions: the
    mean of the trials' own, as all trials answer the same ones.
    """
    columns = ["strategy", "budget", name]
    numbers = {name: float, "budget": int, "stderr": float, "lost": float}
    given = pd.DataFrame(columns=columns) if frame is None else frame
    cells = given.reindex(columns=["strategy", *numbers]).astype(numbers).groupby(columns[:2])
    means = cells[name].agg(["mean", "sem", "count"]).assign(lost=cells["lost"].sum())
    means[f"{name}_prompts_se"] = cells["stderr"].mean()
    named = {"mean": name, "sem": f"{name}_se", "count": "n"}
    return means.reset_index().rename(columns=named)


def judged_sheets(win_rates: pd.DataFrame | None, ratings: pd.DataFrame | None) -> list[Sheet]:
    """The judge's tables; none where there is no judge."""
    found = []
    for frame, name, title, text in (
        (win_rates, "win_rate", "Win rate against the reference trial", "{:.1%}"),
        (ratings, "rating", "Mean rating of the judge, 1 to 10", "{:.2f}"),
    ):
        means = mean_of_trials(frame, name)
        if len(means):
            found.append(_judged_sheet(means, name, title, text))
    return found


def judged_plots(win_rates: pd.DataFrame, ratings: pd.DataFrame) -> tuple[dict[str, bytes], dict[str, str]]:
    """Plots and captions of what ``mean_of_trials`` gives of a judge; none where there is none."""
    plots, captions = {}, {}
    for means, name, label, draw in (
        (win_rates, "win_rate", "win rate against the reference", 0.5),
        (ratings, "rating", "mean rating", None),
    ):
        if len(means):
            plots[f"{name}s"] = single_plots.judged(means, name, label, draw)
            captions[f"{name}s"] = f"{label[0].upper()}{label[1:]} ({single_plots.ERRORS})"
    return plots, captions


def _task_sheets(efficiency: LabelEfficiency, task: str) -> list[Sheet]:
    sheets = [
        saved_sheet(efficiency, task),
        saved_cost_sheet(efficiency, task),
        score_sheet(efficiency, task),
        difference_sheet(efficiency, task),
    ]
    return [sheet for sheet in sheets if sheet.rows]


def _judged_sheet(means: pd.DataFrame, name: str, title: str, text: str) -> Sheet:
    ordered = means.sort_values(["budget", name, "strategy"], ascending=[True, False, True])
    errors = (f"{name}_se", f"{name}_prompts_se")
    rows = tuple(
        (
            str(row["strategy"]),
            f"{row['budget']:,}",
            text.format(row[name]),
            *("" if np.isnan(row[error]) else text.format(row[error]) for error in errors),
            plain_text(int(row["n"])),
            f"{row['lost']:,.0f}",
        )
        for row in ordered.to_dict("records")
    )
    named = (name.replace("_", " "), "error over trials", "error over prompts")
    header = ("strategy", "budget", *named, "trials", "lost replies")
    caption = "Standard errors; over prompts the mean of the trials' own, as all answer the same prompts."
    if name == "win_rate":
        caption += " The reference trial itself is left out."
    return Sheet(title, header, rows, caption)


def _plots(efficiency: LabelEfficiency, task: str) -> tuple[dict[str, bytes], dict[str, str]]:
    plots = {
        "heat_map": heat_map(efficiency, task),
        "score_by_budget": score_plots.score_by_budget(efficiency, task),
    }
    captions = {
        "heat_map": f"Score by strategy and budget ({task})",
        "score_by_budget": f"Score by annotation budget ({task})",
    }
    saved, scores = (table[table["task"] == task] for table in (efficiency.saved, efficiency.scores))
    if len(saved):
        plots["annotation_saved"] = score_plots.annotation_saved(efficiency, task)
        named = f"Annotation saved against {efficiency.control} ({task})"
        captions["annotation_saved"] = named + score_plots.panel_note(saved)
    compared = scores[scores["difference"].notna()]
    if len(compared):
        plots["differences"] = score_plots.differences(efficiency, task)
        named = f"Difference to {efficiency.control} with 95 % intervals ({task})"
        captions["differences"] = named + score_plots.panel_note(compared)
    return plots, captions


def target_sheet(target: LabelEfficiency, rest: LabelEfficiency, name: str, caption: str) -> Sheet:
    """Each strategy and budget: answers saved on the target, and scores on the target and on the rest.

    Args:
        target, rest: of one task each.
        caption: which held-out prompts they are.
    """
    control, task = target.control, target.main_task
    saved = {row[:2]: row[2:] for row in saved_sheet(target, task).rows}
    scores = {where: _cells(of) for where, of in (("target", target), ("rest", rest))}
    order = {strategy: place for place, strategy in enumerate(strategy_order(target, task))}
    keys = sorted(scores["target"].index, key=lambda key: (key[1], order[key[0]]))
    header = (
        *("strategy", "budget", f"{control} needs", "saved", "95 % interval", "reading"),
        *("target", "rest", f"rest, to {control}", "interval there"),
    )
    rows = []
    for strategy, budget in keys:
        text = f"{budget:,}"
        number, interval, _, needs, reading = saved.get((strategy, text), ("",) * 5)
        own, other = (_at(scores[where], strategy, budget) for where in ("target", "rest"))
        rows.append(
            (strategy, text, needs, number, interval, reading, _score(own), _score(other), *_gap(other))
        )
    texts = (
        f"{caption} Saved: answers of {control} that give the same score on the target, less the budget. "
        f"The last two columns: what is lost (-) or gained on the rest against {control} at the same budget."
    )
    return Sheet(f"Target {name}: {target.metrics[task]}", header, tuple(rows), texts, kind=TARGET, task=task)


def _cells(efficiency: LabelEfficiency) -> pd.DataFrame:
    rows = of_task(efficiency.scores, efficiency.main_task)
    return rows[rows["budget"] > 0].set_index(["strategy", "budget"])


def _at(cells: pd.DataFrame, strategy: str, budget: int) -> pd.Series | None:
    return cells.loc[(strategy, budget)] if (strategy, budget) in cells.index else None


def _score(cell: pd.Series | None) -> str:
    return "" if cell is None else score_text(cell["mean"], math.nan)  # errors stand in the table of scores


def _gap(cell: pd.Series | None) -> tuple[str, str]:
    """The difference to the control and its interval; empty where there is none."""
    if cell is None or pd.isna(cell["difference"]):
        return "", ""
    form = f"{{:+.{digits(cell['mean'])}f}}".format
    ends = interval_text(cell["difference_low"], cell["difference_high"], form)
    return form(cell["difference"]), ends
