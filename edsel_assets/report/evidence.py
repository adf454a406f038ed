"""A report as one object, computed once; ``formats`` and ``page`` only write it down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from edsel_assets.report import score_plots
from edsel_assets.report.heat_map import heat_map
from edsel_assets.report.sheets import (
    Rows,
    Sheet,
    difference_sheet,
    plain_text,
    rows_sheet,
    saved_sheet,
    score_sheet,
)
from edsel_assets.report.tables import AVERAGE, LabelEfficiency

_CELL = ["task", "strategy", "budget"]


@dataclass(frozen=True)
class Evidence:
    """Everything that a report shows.

    Attributes:
        title: its heading.
        sheets: the tables in the order of the report, those of the mean over tasks first.
        plots: PNG files under 100 KB by name.
        captions: by name of a plot.
        unseen: sentences on the variance that the trials cannot show.
        table: one row per task, strategy and budget: the columns of ``LabelEfficiency.scores``
            and ``saved``, and ``win_rate`` and ``win_rate_se`` in AVERAGE's rows.
    """

    title: str
    sheets: tuple[Sheet, ...]
    plots: dict[str, bytes]
    captions: dict[str, str]
    unseen: tuple[str, ...]
    table: pd.DataFrame


def gather(
    efficiency: LabelEfficiency,
    *,
    title: str = "Label efficiency",
    win_rates: pd.DataFrame | None = None,
    spend: Rows = (),
    staleness: Rows = (),
    missing: Rows = (),
    by_task: bool = True,
) -> Evidence:
    """The report of a comparison.

    Args:
        win_rates: one row per trial: ``strategy, budget, win_rate`` in [0, 1].
        spend, staleness, missing: rows of plain data, each a section that is left out when empty.
        by_task: also show each task by itself where there are several.
    """
    rates = mean_win_rates(win_rates)
    tasks = dict.fromkeys([efficiency.main_task, *(sorted(efficiency.metrics) if by_task else [])])
    scored = [task for task in tasks if (efficiency.scores["task"] == task).any()]
    sheets = [sheet for task in scored for sheet in _task_sheets(efficiency, task)]
    if len(rates):
        sheets.append(_win_rate_sheet(rates))
    named = {"Spend": spend, "Stale results": staleness, "Missing results": missing}
    sheets += [rows_sheet(name, rows) for name, rows in named.items() if len(rows)]
    plots, captions = _plots(efficiency, scored[0])
    return Evidence(title, tuple(sheets), plots, captions, efficiency.unseen, whole_table(efficiency, rates))


def whole_table(efficiency: LabelEfficiency, rates: pd.DataFrame) -> pd.DataFrame:
    """Scores, savings and win rates of every cell side by side."""
    saved = efficiency.saved.drop(columns="score")
    joined = efficiency.scores.merge(saved, on=_CELL, how="left", validate="one_to_one")
    averaged = rates.drop(columns="n").assign(task=AVERAGE)
    return joined.merge(averaged, on=_CELL, how="left", validate="one_to_one")


def mean_win_rates(win_rates: pd.DataFrame | None) -> pd.DataFrame:
    """``strategy, budget, win_rate, win_rate_se, n`` over the trials of each cell."""
    columns = ["strategy", "budget", "win_rate"]
    frame = pd.DataFrame(columns=columns) if win_rates is None else win_rates[columns]
    means = frame.astype({"win_rate": float, "budget": int}).groupby(columns[:2])["win_rate"]
    found = means.agg(["mean", "sem", "count"]).reset_index()
    return found.rename(columns={"mean": "win_rate", "sem": "win_rate_se", "count": "n"})


def _task_sheets(efficiency: LabelEfficiency, task: str) -> list[Sheet]:
    sheets = [
        saved_sheet(efficiency, task),
        score_sheet(efficiency, task),
        difference_sheet(efficiency, task),
    ]
    return [sheet for sheet in sheets if sheet.rows]


def _win_rate_sheet(rates: pd.DataFrame) -> Sheet:
    ordered = rates.sort_values(["budget", "win_rate", "strategy"], ascending=[True, False, True])
    rows = tuple(
        (
            row.strategy,
            f"{row.budget:,}",
            f"{row.win_rate:.1%}",
            "" if np.isnan(row.win_rate_se) else f"{row.win_rate_se:.1%}",
            plain_text(int(row.n)),
        )
        for row in ordered.itertuples()
    )
    header = ("strategy", "budget", "win rate", "standard error", "seeds")
    return Sheet("Win rate against the reference trial", header, rows)


def _plots(efficiency: LabelEfficiency, task: str) -> tuple[dict[str, bytes], dict[str, str]]:
    plots = {
        "heat_map": heat_map(efficiency, task),
        "score_by_budget": score_plots.score_by_budget(efficiency, task),
    }
    captions = {
        "heat_map": f"Score by strategy and budget ({task})",
        "score_by_budget": f"Score by annotation budget ({task})",
    }
    if (efficiency.saved["task"] == task).any():
        plots["annotation_saved"] = score_plots.annotation_saved(efficiency, task)
        captions["annotation_saved"] = f"Annotation saved against {efficiency.control} ({task})"
    if efficiency.scores["difference"].notna().any():
        plots["differences"] = score_plots.differences(efficiency, task)
        captions["differences"] = f"Difference to {efficiency.control} with 95 % intervals ({task})"
    return plots, captions
