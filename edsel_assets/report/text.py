"""The report as tables for a console."""

from __future__ import annotations

import io
import math
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from edsel_assets.report.tables import AVERAGE, BASE, LabelEfficiency

RELATIONS = {"=": "", ">=": "≥ ", "<=": "≤ "}


def score_table(efficiency: LabelEfficiency, task: str = AVERAGE) -> Table:
    """Mean ± standard error by strategy (rows) and budget (columns); the control comes first.

    A score that differs from the control's by more than two standard errors of the difference
    carries an arrow: ▲ higher, ▼ lower.
    """
    cells = _of_task(efficiency.scores, task)
    budgets = sorted(set(cells["budget"]) - {0})
    base = cells[cells["budget"] == 0]
    metric = efficiency.metrics.get(task, ", ".join(sorted(set(efficiency.metrics.values()))))
    table = Table(title=f"Score by strategy and budget: {task} ({metric})", title_justify="left")
    table.add_column("strategy")
    table.add_column("seeds", justify="right")
    for budget in budgets:
        table.add_column(f"{budget:,}", justify="right")
    for row in base.itertuples():
        table.add_row(
            "base model, no finetuning", str(row.n), *[score_text(row.mean, row.se)] * bool(budgets)
        )
    trained = cells[cells["budget"] > 0]
    for strategy in strategy_order(efficiency, task):
        rows = trained[trained["strategy"] == strategy].set_index("budget")
        counts = sorted(set(rows["n"]))
        seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
        texts = [_score_cell(rows.loc[b]) if b in rows.index else "" for b in budgets]
        table.add_row(strategy, seeds, *texts, style="bold" if strategy == efficiency.control else "")
    note = "".join(
        f"; base model, no finetuning: {score_text(row.mean, row.se)}" for row in base.itertuples()
    )
    table.caption = (
        f"mean ± standard error over seeds; ▲ ▼ beyond two standard errors of {efficiency.control}{note}"
    )
    return table


def saved_table(efficiency: LabelEfficiency, task: str = AVERAGE) -> Table:
    """Annotation that each strategy saves against the control, by budget, largest saving first."""
    table = Table(title=f"Annotation saved against {efficiency.control}: {task}", title_justify="left")
    for name in ("strategy", "budget", f"{efficiency.control} needs", "saved", "share", "95 % interval"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    rows = _of_task(efficiency.saved, task) if len(efficiency.saved) else efficiency.saved
    ordered = rows.sort_values(["budget", "saved", "strategy"], ascending=[True, False, True])
    for row in ordered.itertuples():
        mark = RELATIONS[row.relation]
        share = "" if math.isnan(row.share) else f"{mark}{row.share:.0%}"
        table.add_row(
            row.strategy,
            f"{row.budget:,}",
            f"{mark}{row.needed:,.0f}",
            f"{mark}{row.saved:+,.0f}",
            share,
            _interval_text(row),
        )
    table.caption = (
        f"≥: no {efficiency.control} score is as high, so at least this many; negative: {efficiency.control} "
        "reaches the same score with fewer"
    )
    return table


def render(*tables: Table, width: int = 120) -> str:
    """The tables as plain text, without colours: for a log, a file or metadata."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    for table in tables:
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def strategy_order(efficiency: LabelEfficiency, task: str) -> list[str]:
    """The strategies of a task: the control, then from the highest mean at the largest budget down."""
    cells = _of_task(efficiency.scores, task)
    cells = cells[cells["strategy"] != BASE]
    last = cells.sort_values("budget").groupby("strategy").last()
    ranked = sorted(
        last.index, key=lambda s: (s != efficiency.control, -last.loc[s, "budget"], -last.loc[s, "mean"], s)
    )
    return [str(s) for s in ranked]


def score_text(mean: float, se: float) -> str:
    """``0.4763 ± 0.0024``: two decimals from 10 on, else four; no error from one seed."""
    digits = 2 if abs(mean) >= 10 else 4
    return f"{mean:.{digits}f}" + ("" if math.isnan(se) else f" ± {se:.{digits}f}")


def _score_cell(row: Any) -> str:
    text = score_text(row["mean"], row["se"])
    if row["difference_se"] > 0 and abs(row["difference"]) > 2 * row["difference_se"]:
        return f"{text} {'▲' if row['difference'] > 0 else '▼'}"
    return f"{text}  "


def _interval_text(row: Any) -> str:
    if math.isnan(row.saved_low):
        return "one seed"
    low, high = ("beyond" if math.isinf(v) else f"{v:+,.0f}" for v in (row.saved_low, row.saved_high))
    return f"{low} to {high}"


def _of_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    found = table[table["task"] == task]
    if found.empty:
        raise ValueError(f"task must be one of {', '.join(sorted(set(table['task'])))}; got {task!r}.")
    return found
