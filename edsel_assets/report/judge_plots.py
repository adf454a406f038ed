"""Plots of what a judge said: a dot for each strategy and budget, with both of its errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from edsel_assets.report.style import CONTROL, GREY, PALETTE, plain, png

#: What each error bar is, for captions.
ERRORS = "thick bars: standard error over trials; thin: over prompts, the mean of the trials' own"


def judged(means: pd.DataFrame, name: str, label: str, draw: float | None = None) -> bytes:
    """Dots by strategy, a panel for each budget, best first.

    Args:
        means: ``strategy, budget, NAME, NAME_se`` (over trials, NaN of one) and ``NAME_prompts_se``.
        draw: the value of a draw, a dotted line.
    """
    budgets = sorted(set(means["budget"]))
    rows = max(means["budget"].value_counts())
    made = Figure(figsize=(2.2 + 2.9 * len(budgets), 1.3 + 0.3 * rows), layout="constrained")
    panels = made.subplots(1, len(budgets), sharex=True, squeeze=False)[0]
    for axes, budget in zip(panels, budgets, strict=True):
        cells = means[means["budget"] == budget].sort_values(name)
        places, values = np.arange(len(cells)), cells[name].to_numpy()
        plain(axes).errorbar(
            values, places, xerr=cells[f"{name}_prompts_se"].fillna(0), fmt="none", ecolor=GREY, capsize=3
        )
        axes.errorbar(
            values, places, xerr=cells[f"{name}_se"].fillna(0), fmt="o", color=PALETTE[0], elinewidth=3
        )
        if draw is not None:
            axes.axvline(draw, color=CONTROL, linestyle=":", linewidth=1)
        axes.set_yticks(places, cells["strategy"])
        axes.set_title(f"{budget:,} prompts", loc="left", fontsize=10)
        axes.set_xlabel(label)
    return png(made)
