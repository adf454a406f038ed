"""Plots of how embeddings lie, and of selections against random draws, each a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from edsel_assets.report.style import CONTROL, GREY, LOSS, PALETTE, figure, plain, png

_NEAREST_BINS = 60


def cosines(pairs: Mapping[str, np.ndarray], nearest: Mapping[str, np.ndarray]) -> bytes:
    """Left: cosines of any two prompts. Right: of each prompt and its nearest other. A line for each stage.

    Args:
        pairs: name of a stage to counts in equal bins from -1 to 1.
        nearest: name of a stage to (n,) cosines.
    """
    made = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = (plain(axes) for axes in made.subplots(1, 2))
    for i, (name, counts) in enumerate(pairs.items()):
        edges = np.linspace(-1, 1, len(counts) + 1)
        left.stairs(counts / counts.sum(), edges, label=name, color=PALETTE[i], linewidth=1.8)
    for i, (name, values) in enumerate(nearest.items()):
        heights, edges = np.histogram(values, bins=_NEAREST_BINS, range=(-1, 1))
        right.stairs(heights / heights.sum(), edges, label=name, color=PALETTE[i], linewidth=1.8)
    left.set_title("Any two prompts", loc="left", fontsize=11)
    right.set_title("A prompt and its nearest", loc="left", fontsize=11)
    for axes in (left, right):
        axes.set_xlabel("cosine")
        axes.set_ylabel("share")
    left.legend(frameon=False, fontsize=9)
    return png(made)


def against_random(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Coverage of each selection beside the random draws of equal size: their mean, and two deviations of it.

    Args:
        rows: of ``stages.vectors.against_random``'s table.
    """
    made, axes = figure(8.0, 1.2 + 0.32 * len(rows))
    places = np.arange(len(rows))[::-1]
    means = np.array([row["random_coverage"] for row in rows])
    spreads = 2 * np.array([row["random_coverage_sd"] for row in rows])
    axes.barh(places, 2 * spreads, left=means - spreads, height=0.7, color="#DDDDDD", label="random ± 2 sd")
    axes.plot(means, places, "|", color=GREY, markersize=12, label="random, mean")
    for below, colour, name in ((False, CONTROL, "selection"), (True, LOSS, "below random")):
        chosen = [i for i, row in enumerate(rows) if bool(row["problem"]) == below]
        values = [rows[i]["coverage"] for i in chosen]
        if chosen:
            axes.plot(values, places[chosen], "o", color=colour, label=name)
    axes.use_sticky_edges = False  # the bars end inside the frame
    axes.set_yticks(places, [row["strategy"] for row in rows], fontsize=9)
    axes.set_xlabel("coverage: mean cosine to the nearest pick")
    made.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(made)
