"""Plots of what was bought, each a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator

from edsel_assets.report.style import figure, line_style, plain, png

#: Kinds of events, and the events that each counts; what is drawn later lies above.
_KINDS = {
    "asked": ("asked",),
    "answered": ("answered", "late"),
    "paid": ("paid",),
    "rejected": ("rejected",),
}
_WIDTHS = {"answered": 4.5}  # wider than paid, which lies on it where every answer is paid
_TICKS = 8


def purchases_by_day(days: Sequence[Mapping[str, Any]]) -> bytes:
    """Prompts asked, answered, paid and rejected so far, by day, and below them the money paid so far.

    Args:
        days: ``day``, the number of events of each kind on it, and ``spent``, in order.
    """
    made, above = figure(height=6.0)
    above.remove()
    above, below = made.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    times = [date.fromisoformat(day["day"]) for day in days]
    for i, (kind, events) in enumerate(_KINDS.items()):
        total = np.cumsum([sum(day[event] for event in events) for day in days])
        style = line_style(i) | {"linewidth": _WIDTHS.get(kind, 1.6), "markersize": 4}
        above.step(times, total, where="post", label=f"{kind}: {total[-1]:,}", **style)
    spent = np.cumsum([day["spent"] for day in days])
    below.step(times, spent, where="post", **(line_style(2) | {"markersize": 4}))
    above.set_ylabel("prompts so far")
    below.set_ylabel(f"paid so far: {spent[-1]:,.6g}")
    for axes in (above, below):
        plain(axes).set_ylim(bottom=0)
    above.yaxis.set_major_locator(MaxNLocator(integer=True))
    made.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    _days(below, times)
    return png(made)


def _days(axes: Axes, times: Sequence[date]) -> None:
    """The x axis in days; each day that has events has its tick where they are few."""
    axes.set_xlim(times[0] - timedelta(days=1), times[-1] + timedelta(days=1))  # type: ignore[arg-type]
    if len(times) <= _TICKS:
        axes.set_xticks(times, [f"{day:%d %b %Y}" for day in times])  # type: ignore[arg-type]
        axes.tick_params(axis="x", rotation=30 if len(times) > _TICKS // 2 else 0)
    else:
        locator = AutoDateLocator(maxticks=_TICKS)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def score_by_spend(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Each score against the money spent, with 1.96 standard errors; the base model at 0.

    A panel for each score: they are on scales of their own.

    Args:
        rows: ``order, spent, task, metric, value, stderr``.
    """
    names = sorted({(row["task"], row["metric"]) for row in rows})
    made, first = figure(height=1.2 + 2.4 * len(names))
    first.remove()
    panels = made.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for i, (axes, name) in enumerate(zip(panels, names, strict=True)):
        part = sorted(
            (row for row in rows if (row["task"], row["metric"]) == name), key=lambda row: row["spent"]
        )
        spent, value = ([row[key] for row in part] for key in ("spent", "value"))
        error = [0.0 if row["stderr"] is None else 1.96 * row["stderr"] for row in part]
        axes.errorbar(spent, value, yerr=error, capsize=3, **line_style(i))
        plain(axes).set_title(" ".join(name), loc="left", fontsize="medium")
        axes.margins(x=0.08, y=0.15)
        _name_points(axes, part)
    made.supylabel("score, higher is better; bars: 1.96 standard errors", fontsize="medium")
    panels[-1].set_xlabel("money spent on answers")
    return png(made)


def objective_by_spend(curves: Mapping[str, Sequence[Sequence[float]]]) -> bytes:
    """The objective of a selection against the money spent, a line for each rule of picking.

    Args:
        curves: rule to (spent, objective) points, by spent.
    """
    made, axes = figure()
    for i, (name, points) in enumerate(sorted(curves.items())):
        style = {**line_style(i), "marker": ""}
        axes.plot([p[0] for p in points], [p[1] for p in points], label=f"greedy by {name}", **style)
    axes.set_xlabel("money spent")
    axes.set_ylabel("objective, higher is better")
    plain(axes).legend(frameon=False)
    return png(made)


def _name_points(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """The order that each point is after, where they are few."""
    if len(rows) > _TICKS:
        return
    for row in rows:
        right = bool(row["spent"]) and row is rows[-1]  # the last one's name lies left of its point
        axes.annotate(
            row["order"] or "base model",
            (row["spent"], row["value"]),
            xytext=(-6 if right else 6, 6),
            ha="right" if right else "left",
            textcoords="offset points",
            fontsize="small",
        )
