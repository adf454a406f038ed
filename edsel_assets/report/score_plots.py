"""Plots of results: scores and savings by strategy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edsel_assets.report.sheets import COSTS, SAVES, reading, score_text, strategy_order, with_marks
from edsel_assets.report.statistics.curve import Curve, read_curve
from edsel_assets.report.style import (
    CONTROL,
    GAIN,
    GREY,
    LOSS,
    PALETTE,
    count_ticks,
    figure,
    line_style,
    plain,
    png,
)
from edsel_assets.report.tables import BASE, FLAT, NOT_REACHED, REACHED, LabelEfficiency

_PANELS = 3  # more have no room beside each other


def score_by_budget(efficiency: LabelEfficiency, task: str) -> bytes:
    """Mean score with its standard error against the budget (logarithmic).

    Up to seven strategies share one plot, set apart sideways so that their error bars can be
    told apart. More get a panel each, best at the largest budget first, with the control in
    every one. The control is black with a grey band; dotted, its monotone curve, which savings are read
    off. The base model, at budget 0, has no place on the axis and is a horizontal line or a note.
    """
    cells = efficiency.scores[efficiency.scores["task"] == task]
    others = [s for s in strategy_order(efficiency, task) if s != efficiency.control]
    draw = _score_lines if len(others) <= len(PALETTE) else _score_panels
    points = efficiency.curves[efficiency.curves["task"] == task]
    curve = read_curve(points["budget"].to_numpy(), points["mean"].to_numpy())
    return png(draw(cells, curve, others, efficiency.control, task))


def _score_lines(cells: pd.DataFrame, curve: Curve, others: list[str], control: str, task: str) -> Figure:
    made, axes = figure(8.5, 4.8)
    _control_line(axes, cells, control)
    axes.plot(
        curve.where,
        curve.values,
        color=CONTROL,
        linestyle=":",
        linewidth=1.4,
        label=f"{control}, monotone",
    )
    budgets = _budgets(cells)
    step = min(np.diff(np.log(budgets)), default=1.0)
    names = sorted(others)  # a strategy keeps its colour when another overtakes it
    for i, strategy in enumerate(others):
        shift = np.exp(step * 0.12 * (2 * i / max(1, len(others) - 1) - 1)) if len(others) > 1 else 1.0
        _score_line(axes, cells, strategy, line_style(names.index(strategy)), shift)
    _budget_axis(axes, budgets)
    axes.set_xlabel("annotation budget")
    axes.set_ylabel(f"{task} score")
    _base_line(axes, cells)
    axes.set_title("Score by annotation budget (bars: standard error over seeds)", loc="left", fontsize=11)
    made.legend(loc="outside right upper", frameon=False, fontsize=9)
    return made


def _score_panels(cells: pd.DataFrame, curve: Curve, others: list[str], control: str, task: str) -> Figure:
    columns = 4  # as wide as the dialog that Dagster shows it in
    rows = math.ceil(len(others) / columns)
    made = Figure(figsize=(2.15 * columns, 1.9 * rows + 0.9), layout="constrained")
    grid = made.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, strategy in zip(grid, others, strict=False):
        plain(axes)
        _control_line(axes, cells, control)
        axes.plot(curve.where, curve.values, color=CONTROL, linestyle=":", linewidth=1.2)
        _score_line(axes, cells, strategy, {"color": PALETTE[0], "marker": "o"}, 1.0)
        axes.set_title(strategy, loc="left", fontsize=9)
        axes.tick_params(labelsize=7.5)
    for axes in grid[len(others) :]:
        axes.set_visible(False)
    for axes in grid[: len(others)]:
        _budget_axis(axes, _budgets(cells), rotation=60)
    base = cells[cells["strategy"] == BASE]
    note = "".join(f"; base model, no finetuning: {score_text(m, math.nan)}" for m in base["mean"])
    made.suptitle(
        f"{task} score by annotation budget: blue against {control} in black\n"
        f"(bars, band: standard error over seeds{note})",
        x=0.01, ha="left", fontsize=10,
    )  # fmt: skip
    made.supxlabel("annotation budget", fontsize=9)
    return made


def _budgets(cells: pd.DataFrame) -> list[int]:
    return sorted(set(cells["budget"]) - {0})


def _budget_axis(axes: Axes, budgets: list[int], rotation: float = 0) -> None:
    axes.set_xscale("log")
    if len(budgets) == 1:
        axes.set_xlim(budgets[0] / 2, budgets[0] * 2)
    count_ticks(axes, budgets, rotation)


def _control_line(axes: Axes, cells: pd.DataFrame, control: str) -> None:
    rows = cells[cells["strategy"] == control].sort_values("budget")
    x, mean, se = (rows[c].to_numpy(float) for c in ("budget", "mean", "se"))
    axes.fill_between(x, mean - se, mean + se, color=GREY, alpha=0.3, linewidth=0)
    axes.plot(x, mean, color=CONTROL, marker="o", markersize=4, linewidth=1.8, label=control)


def _score_line(axes: Axes, cells: pd.DataFrame, strategy: str, style: dict[str, Any], shift: float) -> None:
    rows = cells[cells["strategy"] == strategy].sort_values("budget")
    x, mean, se = (rows[c].to_numpy(float) for c in ("budget", "mean", "se"))
    axes.errorbar(
        x * shift, mean, se, label=strategy, capsize=2, markersize=5, linewidth=1.4,
        elinewidth=1.0, **style,
    )  # fmt: skip


def _base_line(axes: Axes, cells: pd.DataFrame) -> None:
    """The base model as a line where it does not squeeze the rest, else as a note."""
    for row in cells[cells["strategy"] == BASE].itertuples():
        low, high = axes.get_ylim()
        text = f"base model, no finetuning: {score_text(row.mean, math.nan)}"
        if low - (high - low) / 2 <= row.mean <= high + (high - low) / 2:
            axes.axhline(row.mean, color=GREY, linestyle=(0, (1, 2)), label="base model")
        else:
            where = "below" if row.mean < low else "above"
            axes.annotate(
                f"{text} ({where} the axis)",
                (0.99, 0.01),
                xycoords="axes fraction",
                ha="right",
                fontsize=8,
                color=GREY,
            )


def annotation_saved(efficiency: LabelEfficiency, task: str) -> bytes:
    """Annotation saved against the control by strategy, a panel for each of the most used budgets.

    A point with its 95 % interval, blue where it saves and orange where it costs more, filled where that
    holds for the whole table, grey where neither is clear; an arrow where an end is open. Words stand
    where there is no number.
    """
    saved = with_marks(efficiency, task)
    if saved.empty:
        raise ValueError(
            f"There is no saving to plot: {efficiency.control} or every other strategy has no score."
        )
    budgets = _most_used(saved)
    shown = set(saved[saved["budget"].isin(budgets)]["strategy"])
    order = [s for s in strategy_order(efficiency, task) if s in shown][::-1]
    made, grid = _forest(order, budgets)
    for axes, budget in zip(grid, budgets, strict=True):
        rows = saved[saved["budget"] == budget].set_index("strategy")
        ends = _ends(rows[["saved", "saved_low", "saved_high"]].to_numpy())
        for i, strategy in enumerate(order):
            if strategy in rows.index:
                _saved_line(axes, i, rows.loc[strategy], ends)
    title = f"Annotation saved against {efficiency.control} ({task}){panel_note(saved)}"
    made.suptitle(title, x=0.01, ha="left", fontsize=11)
    made.supxlabel("annotations saved at the same score (negative: costs more)", fontsize=9)
    return png(made)


def differences(efficiency: LabelEfficiency, task: str) -> bytes:
    """Score less the control's at the same budget with its 95 % interval, by strategy.

    Filled points are marked better (blue) or worse (orange) after Holm's correction.
    """
    cells = efficiency.scores[(efficiency.scores["task"] == task) & efficiency.scores["difference"].notna()]
    if cells.empty:
        raise ValueError(
            f"There is no difference to plot: no strategy shares a budget with {efficiency.control}."
        )
    budgets = _most_used(cells)
    shown = set(cells[cells["budget"].isin(budgets)]["strategy"])
    order = [s for s in strategy_order(efficiency, task) if s in shown][::-1]
    made, grid = _forest(order, budgets)
    for axes, budget in zip(grid, budgets, strict=True):
        rows = cells[cells["budget"] == budget].set_index("strategy")
        for i, strategy in enumerate(order):
            if strategy in rows.index:
                row = rows.loc[strategy]
                _interval_line(
                    axes, i, row["difference"], row["difference_low"], row["difference_high"],
                    {1: GAIN, -1: LOSS}.get(int(row["mark"]), GREY), filled=bool(row["mark"]),
                )  # fmt: skip
    title = f"Score less {efficiency.control}'s ({task}; bars: 95 %){panel_note(cells)}"
    made.suptitle(title, x=0.01, ha="left", fontsize=11)
    made.supxlabel("difference in score at the same budget", fontsize=9)
    return png(made)


def _forest(order: list[str], budgets: list[int]) -> tuple[Figure, list[Axes]]:
    """A panel for each budget with a row for each strategy and a line at zero."""
    made = Figure(figsize=(2.2 + 3.0 * len(budgets), max(2.6, 0.32 * len(order) + 1.5)), layout="constrained")
    grid = list(made.subplots(1, len(budgets), sharey=True, squeeze=False)[0])
    for axes, budget in zip(grid, budgets, strict=True):
        plain(axes)
        axes.grid(False, axis="y")
        axes.axvline(0, color=CONTROL, linewidth=0.8)
        axes.set_title(f"at budget {budget:,}", loc="left", fontsize=10)
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:,.6g}")
    return made, grid


def panel_note(cells: pd.DataFrame) -> str:
    """That a picture with a panel for each budget leaves some out; empty where it shows all of ``cells``."""
    count = cells["budget"].nunique()
    if count <= _PANELS:
        return ""
    return f"\n{_PANELS} of {count} budgets, those of most strategies; the tables have all"


def _most_used(cells: pd.DataFrame) -> list[int]:
    """The budgets with most rows, at most _PANELS, the larger of equals, in ascending order."""
    counts = cells.groupby("budget").size()
    ranked = sorted(counts.index, key=lambda budget: (counts[budget], budget), reverse=True)
    return sorted(int(budget) for budget in ranked[:_PANELS])


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Where open intervals end in the drawing: a little beyond every finite value and zero."""
    finite = np.r_[values[np.isfinite(values)], 0.0]
    margin = 0.08 * max(finite.max() - finite.min(), 1.0)
    return float(finite.min() - margin), float(finite.max() + margin)


def _saved_line(axes: Axes, place: int, row: Any, ends: tuple[float, float]) -> None:
    if row["status"] != REACHED:
        words = {NOT_REACHED: "not reached", FLAT: "curve too flat"}.get(row["status"], "below the curve")
        axes.annotate(
            words, (0.03, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
        return
    low, high = max(row["saved_low"], ends[0]), min(row["saved_high"], ends[1])
    said = reading(row["saved_low"], row["saved_high"], row["mark"], row["p_fdr"])
    colour = GAIN if said.endswith(SAVES) else LOSS if said.endswith(COSTS) else GREY
    _interval_line(axes, place, row["saved"], low, high, colour, filled=said in (SAVES, COSTS))
    for end, marker in ((row["saved_low"], "<"), (row["saved_high"], ">")):
        if np.isinf(end):
            axes.plot(low if end < 0 else high, place, marker=marker, color=colour, markersize=5)


def _interval_line(
    axes: Axes, place: int, value: float, low: float, high: float, colour: str, filled: bool = True
) -> None:
    if not math.isnan(low):
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
    face = colour if filled else "white"
    axes.plot(value, place, marker="o", color=colour, markerfacecolor=face, markersize=5.5)
