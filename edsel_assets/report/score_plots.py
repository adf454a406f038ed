"""Plots of results: scores and savings by strategy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
from edsel_assets.report.tables import AVERAGE, BASE, LabelEfficiency
from edsel_assets.report.text import RELATIONS, score_text, strategy_order


def score_by_budget(efficiency: LabelEfficiency, task: str = AVERAGE) -> bytes:
    """Mean score with its standard error against the budget (logarithmic).

    Up to seven strategies share one plot, set apart sideways so that their error bars can be
    told apart. More get a panel each, best at the largest budget first, with the control in
    every one. The control is black with a grey band.
    """
    cells = efficiency.scores[efficiency.scores["task"] == task]
    others = [s for s in strategy_order(efficiency, task) if s != efficiency.control]
    draw = _score_lines if len(others) <= len(PALETTE) else _score_panels
    return png(draw(cells, others, efficiency.control, task))


def _score_lines(cells: pd.DataFrame, others: list[str], control: str, task: str) -> Figure:
    made, axes = figure(8.5, 4.8)
    _control_line(axes, cells, control)
    budgets = _budgets(cells)
    step = min(np.diff(np.log(budgets)), default=1.0)
    names = sorted(others)  # a strategy keeps its colour when another overtakes it
    for i, strategy in enumerate(others):
        shift = np.exp(step * 0.12 * (2 * i / max(1, len(others) - 1) - 1)) if len(others) > 1 else 1.0
        _score_line(axes, cells, strategy, line_style(names.index(strategy)), shift)
    _budget_axis(axes, budgets)
    axes.set_xlabel("prompts annotated")
    axes.set_ylabel(f"{task} score")
    _base_line(axes, cells)
    axes.set_title("Score by annotation budget (bars: standard error over seeds)", loc="left", fontsize=11)
    made.legend(loc="outside right upper", frameon=False, fontsize=9)
    return made


def _score_panels(cells: pd.DataFrame, others: list[str], control: str, task: str) -> Figure:
    columns = 4  # as wide as the dialog that Dagster shows it in
    rows = math.ceil(len(others) / columns)
    made = Figure(figsize=(2.15 * columns, 1.9 * rows + 0.9), layout="constrained")
    grid = made.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, strategy in zip(grid, others, strict=False):
        plain(axes)
        _control_line(axes, cells, control)
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
    made.supxlabel("prompts annotated", fontsize=9)
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
        x * shift, mean, np.nan_to_num(se), label=strategy, capsize=2, markersize=5, linewidth=1.4,
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


def annotation_saved(efficiency: LabelEfficiency, task: str = AVERAGE, *, panels: int = 3) -> bytes:
    """Annotation saved against the control by strategy, a panel for each of the largest budgets.

    Blue saves, orange costs. Text beside a bar is the share of the control's annotation; ≥ marks
    a lower bound. The line is the 95 % interval, an arrow where it goes beyond the control.
    """
    saved = efficiency.saved[efficiency.saved["task"] == task]
    if saved.empty:
        raise ValueError(
            f"There is no saving to plot: {efficiency.control} or every other strategy has no score."
        )
    budgets = sorted(set(saved["budget"]))[-panels:]
    order = [s for s in strategy_order(efficiency, task) if s != efficiency.control][::-1]
    made = Figure(figsize=(2.2 + 3.0 * len(budgets), max(2.6, 0.32 * len(order) + 1.5)), layout="constrained")
    grid = made.subplots(1, len(budgets), sharey=True, squeeze=False)[0]
    for axes, budget in zip(grid, budgets, strict=True):
        plain(axes)
        axes.grid(False, axis="y")
        rows = saved[saved["budget"] == budget].set_index("strategy")
        _saved_bars(axes, [(i, rows.loc[s]) for i, s in enumerate(order) if s in rows.index])
        axes.set_title(f"at {budget:,} prompts", loc="left", fontsize=10)
        axes.set_yticks(range(len(order)), order)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    made.suptitle(f"Annotation saved against {efficiency.control} ({task})", x=0.01, ha="left", fontsize=11)
    made.supxlabel("annotations saved at the same score (negative: costs more)", fontsize=9)
    return png(made)


def _saved_bars(axes: Axes, bars: list[tuple[int, Any]]) -> None:
    finite = [
        v for _, row in bars for v in (row["saved"], row["saved_low"], row["saved_high"]) if np.isfinite(v)
    ]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    span = (high - low) or 1.0
    axes.set_xlim(low - 0.12 * span, high + 0.42 * span)  # room for the text
    axes.axvline(0, color=CONTROL, linewidth=0.8)
    for i, row in bars:
        axes.barh(i, row["saved"], color=GAIN if row["saved"] >= 0 else LOSS, height=0.62)
        end = max(0.0, row["saved"])
        if not math.isnan(row["saved_low"]):
            start, stop = max(row["saved_low"], low), min(row["saved_high"], high + 0.06 * span)
            axes.plot([start, stop], [i, i], color="#333333", linewidth=1.0)
            if math.isinf(row["saved_high"]):
                axes.plot(stop, i, marker=">", color="#333333", markersize=4)
            end = max(end, stop)
        share = "0 needed" if math.isnan(row["share"]) else f"{row['share']:.0%}"
        axes.annotate(
            f"{RELATIONS[row['relation']]}{share}", (end, i), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
