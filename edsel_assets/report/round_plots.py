"""Plots of iterative selection: how the clusters' weights moved over the rounds."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from edsel_assets.report.style import GREY, PALETTE, plain, png

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
