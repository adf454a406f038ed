"""One picture of a whole study: strategies down, budgets across, the score as a colour."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from edsel_assets.report.sheets import MARKS, mark_text, strategy_order
from edsel_assets.report.style import png
from edsel_assets.report.tables import LabelEfficiency

_LEVELS = "▁▂▃▄▅▆▇█"


def heat_map(efficiency: LabelEfficiency, task: str) -> bytes:
    """Mean score by strategy (rows, the control first) and budget (columns); yellow is higher.

    Each cell says its score, and ▲ or ▼ where it differs from the control's by the table's corrected test;
    hollow of a strategy that has one subset, whatever the seed.
    """
    cells = efficiency.scores[(efficiency.scores["task"] == task) & (efficiency.scores["budget"] > 0)]
    order = strategy_order(efficiency, task)
    budgets = sorted(set(cells["budget"]))
    means = _grid(cells, "mean", order, budgets)
    marks = _grid(cells, "mark", order, budgets)
    made = Figure(figsize=(2.6 + 1.05 * len(budgets), 1.1 + 0.34 * len(order)), layout="constrained")
    axes = made.add_subplot()
    axes.imshow(means, aspect="auto", cmap="viridis")
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for row, column in zip(*np.nonzero(np.isfinite(means)), strict=True):
        value = means[row, column]
        mark = mark_text(np.nan_to_num(marks[row, column]), order[row] in efficiency.one_subset)
        colour = "black" if value > middle else "white"
        axes.text(column, row, f"{value:.3f}{mark}", ha="center", va="center", color=colour, fontsize=8.5)
    axes.set_xticks(range(len(budgets)), [f"{budget:,}" for budget in budgets])
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel("prompts annotated")
    axes.set_title(f"{task} score", loc="left", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return png(made)


def _grid(cells: pd.DataFrame, column: str, order: list[str], budgets: list[int]) -> np.ndarray:
    """(strategies, budgets) float64; NaN where no trial is scored."""
    table = cells.pivot(index="strategy", columns="budget", values=column)
    return table.reindex(index=order, columns=budgets).to_numpy(float)


def shaded(rows: list[tuple[str, ...]], first: int) -> list[tuple[str, ...]]:
    """Scores with their mark, from column ``first`` on, each behind a bar of its height: a heat map of text.

    The heights go from the lowest number of the table to the highest. Standard errors are left out, as a
    narrow page has no room for them.
    """
    numbers = [_number(text) for row in rows for text in row[first:]]
    known = [number for number in numbers if number is not None]
    if not known:
        return rows
    low, high = min(known), max(known)

    def bar(text: str) -> str:
        number = _number(text)
        if number is None:
            return text
        place = (number - low) / (high - low) if high > low else 1.0
        mark = text.strip()[-1] if text.strip()[-1] in MARKS else ""
        return f"{_LEVELS[round(place * (len(_LEVELS) - 1))]} {text.split()[0]} {mark}".strip()

    return [(*row[:first], *(bar(text) for text in row[first:])) for row in rows]


def _number(text: str) -> float | None:
    head = text.split()[0] if text.split() else ""
    try:
        return float(head)
    except ValueError:
        return None
