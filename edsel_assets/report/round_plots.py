"""Plots of selection by clusters: weights and scores by round, and scores by number of clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from edsel_assets.report.style import CONTROL, GREY, PALETTE, figure, line_style, plain, png

_NAMED = len(PALETTE)
_DRAWN = 300


def cluster_weights(history: np.ndarray, *, evenness: float, title: str = "") -> bytes:
    """Each cluster's weight by round, and the effective number of clusters, exp(entropy), below it.

    Args:
        history: (R, C) weights, each row summing to 1; row 0 before the first round. The clusters of largest
            last weight are drawn in colour and named; of the others the first 300.
        evenness: share of the entropy of equal weights under which weights count as collapsed; a dotted line.
    """
    rounds, clusters = history.shape
    made = Figure(figsize=(7.5, 5.6), layout="constrained")
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    x = np.arange(rounds)
    order = np.argsort(-history[-1], kind="stable")
    upper, lower = plain(upper), plain(lower)
    shown = np.where(history > 0, history, np.nan)  # a weight of 0 has no place on the scale
    for cluster in order[_NAMED : _NAMED + _DRAWN]:
        upper.plot(x, shown[:, cluster], color=GREY, linewidth=0.6, alpha=0.5)
    for place, cluster in enumerate(order[:_NAMED]):
        upper.plot(
            x, shown[:, cluster], color=PALETTE[place], marker="o", markersize=3,
            label=f"{cluster} ({history[-1, cluster]:.3g})",
        )  # fmt: skip
    upper.set_yscale("log")
    upper.set_ylabel("weight of a cluster")
    upper.set_title(title or "Cluster weights by round", loc="left", fontsize=11)
    terms = np.where(history > 0, history * np.log(np.where(history > 0, history, 1.0)), 0.0)
    lower.plot(x, np.exp(-terms.sum(axis=1)), color=PALETTE[0], marker="o")
    lower.axhline(clusters**evenness, color=GREY, linestyle=":")
    lower.set_ylim(0, clusters * 1.05)
    lower.set_xticks(x, ["start", *(f"round {number}" for number in x[1:])])
    lower.set_ylabel("effective clusters")
    lower.set_title(
        f"of {clusters:,}; dotted: {clusters**evenness:.3g}, collapsed below", loc="left", fontsize=9
    )
    made.legend(loc="outside right upper", frameon=False, fontsize=8, title="cluster (weight)")
    return png(made)


def score_by_round(scores: pd.DataFrame, rounds: int) -> bytes:
    """Score after each round; dotted, the strategies that choose at once (Yu et al. 2024, Figure 2).

    Args:
        scores: ``strategy, budget, round, score, se``; round 0 of those that choose at once. Drawn is
            the largest budget that was chosen in rounds.
    """
    budget = scores.loc[scores["round"] > 0, "budget"].max()
    cells = scores[scores["budget"] == budget]
    made, axes = figure(7.5, 4.4)
    for number, (name, rows) in enumerate(cells[cells["round"] > 0].groupby("strategy")):
        axes.errorbar(
            rows["round"], rows["score"], rows["se"].fillna(0), label=str(name), **line_style(number)
        )
    for number, row in enumerate(cells[cells["round"] == 0].to_dict("records")):
        colour = CONTROL if row["strategy"] == "random" else PALETTE[-1 - number % len(PALETTE)]
        axes.axhline(row["score"], color=colour, linestyle=":", label=row["strategy"])
    axes.set_xticks(range(1, rounds + 1))
    axes.set_xlabel("round")
    axes.set_ylabel("score")
    title = f"Score by round at {budget:,} prompts (bars: standard error over trials)"
    axes.set_title(title, loc="left", fontsize=11)
    made.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(made)


def score_by_clusters(scores: pd.DataFrame, geometry: pd.DataFrame, elbow: int) -> bytes:
    """Score (bars), silhouette and inertia (lines) by number of clusters (Yu et al. 2024, Figure 3).

    A panel for each strategy, at its largest budget.

    Args:
        scores: ``strategy, budget, clusters, score, se``. geometry: ``clusters, silhouette, inertia``.
        elbow: the number of clusters where inertia bends; a dotted line.
    """
    shown = scores[scores["budget"] == scores.groupby("strategy")["budget"].transform("max")]
    panels = list(shown.groupby("strategy"))
    geometry = geometry.sort_values("clusters", ignore_index=True)
    places = {count: place for place, count in enumerate(geometry["clusters"])}
    made = Figure(figsize=(8.0, 3.2 * max(1, len(panels))), layout="constrained")
    for axes, (name, rows) in zip(made.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        plain(axes).bar(
            rows["clusters"].map(places),
            rows["score"],
            yerr=rows["se"].fillna(0),
            color=PALETTE[4],
            width=0.6,
        )
        low, high = rows["score"].min(), rows["score"].max()
        axes.set_ylim(low - 0.5 * (high - low or 1), high + 0.2 * (high - low or 1))
        axes.set_ylabel("score")
        for column, colour, offset in (("silhouette", PALETTE[1], 0), ("inertia", GREY, 55)):
            line = axes.twinx()
            line.plot(range(len(geometry)), geometry[column], color=colour, marker="o")
            line.spines["right"].set_position(("outward", offset))
            line.set_ylabel(column, color=colour)
        axes.axvline(places[elbow], color=CONTROL, linestyle=":")
        axes.set_xticks(range(len(geometry)), [f"{count:,}" for count in geometry["clusters"]])
        axes.set_xlabel("clusters")
        axes.set_title(f"{name} (dotted: the elbow of inertia, at {elbow:,})", loc="left", fontsize=11)
    return png(made)
