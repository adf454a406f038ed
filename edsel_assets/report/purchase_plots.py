"""Plots of what was bought, each a PNG of less than 100 KB as base64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edsel_assets.report.style import GREY, figure, line_style, plain, png

_KINDS = ("asked", "answered", "rejected", "paid")


def purchases_by_day(days: Sequence[Mapping[str, Any]]) -> bytes:
    """Prompts asked, answered, rejected and paid so far, by day.

    Args:
        days: ``day`` and the number of events of each kind on it, in order.
    """
    made, axes = figure()
    places = np.arange(len(days))
    for i, kind in enumerate(_KINDS):
        total = np.cumsum([day[kind] for day in days])
        axes.step(places, total, where="mid", label=kind, **line_style(i))
    axes.set_xticks(places, [day["day"] for day in days], rotation=45, ha="right")
    axes.set_ylabel("prompts so far")
    plain(axes).legend(frameon=False)
    return png(made)


def score_by_spend(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Each score against the money spent, with 1.96 standard errors; the base model at 0.

    Args:
        rows: ``spent, task, metric, value, stderr``.
    """
    made, axes = figure()
    for i, name in enumerate(sorted({(row["task"], row["metric"]) for row in rows})):
        part = sorted(
            (row for row in rows if (row["task"], row["metric"]) == name), key=lambda row: row["spent"]
        )
        spent, value = ([row[key] for row in part] for key in ("spent", "value"))
        error = [0.0 if row["stderr"] is None else 1.96 * row["stderr"] for row in part]
        axes.errorbar(spent, value, yerr=error, label=" ".join(name), capsize=3, **line_style(i))
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("money spent")
    axes.set_ylabel("score, higher is better")
    plain(axes).legend(frameon=False)
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
