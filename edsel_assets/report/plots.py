"""Plots of diagnostics and of single runs, each a PNG."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from edsel_assets.report.score_plots import annotation_saved, differences, score_by_budget
from edsel_assets.report.style import CONTROL, GREY, PALETTE, count_ticks, figure, line_style, plain, png

__all__ = [
    "annotation_saved",
    "cluster_counts",
    "differences",
    "embedding_map",
    "gain_curves",
    "histogram",
    "judged",
    "loss_curve",
    "low_quality_share",
    "principal_components",
    "score_by_budget",
    "silhouettes",
]

_MAP_ROWS = 20_000

#: What each error bar is, for captions.
ERRORS = "thick bars: standard error over trials; thin: over prompts, the mean of the trials' own"


def gain_curves(
    gains: Mapping[float, np.ndarray],
    *,
    budget: int | None = None,
    usable: Collection[float] | None = None,
    chosen: float | None = None,
) -> bytes:
    """Marginal gain of each greedy pick against the number picked, a line per kernel width.

    Bhatt et al. 2024, Figure 3. Both axes are logarithmic; gains of zero are not drawn.

    Args:
        gains: kernel width to (k,) gains in the order of the picks.
        budget: marked by a vertical line.
        usable: widths drawn solid, the others dashed; all solid where None.
        chosen: width drawn thick.
    """
    made, axes = figure()
    for i, gamma in enumerate(sorted(gains)):
        values = np.asarray(gains[gamma], dtype=float)
        # Points at equal steps of the logarithm: the curve looks the same, the file is small.
        picks = (
            np.unique(np.geomspace(1, max(len(values), 1), 400).astype(int))
            if len(values)
            else np.empty(0, int)
        )
        drawn = np.where(values[picks - 1] > 0, values[picks - 1], np.nan)
        name = f"{gamma:g}" + (" (chosen)" if gamma == chosen else "")
        axes.plot(
            picks, drawn, label=name, color=_ramp(i, len(gains)), linewidth=3.0 if gamma == chosen else 1.6,
            linestyle="-" if usable is None or gamma in usable else "--",
        )  # fmt: skip
    if budget:
        axes.axvline(budget, color=GREY, linestyle=":")
        axes.annotate(
            f"budget {budget:,}", (budget, 1.0), xycoords=("data", "axes fraction"), xytext=(-4, -4),
            textcoords="offset points", ha="right", va="top", rotation=90, fontsize=8, color=GREY,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("prompts chosen")
    axes.set_ylabel("marginal gain of the next prompt")
    note = "" if usable is None else " (dashed: saturates before the budget)"
    axes.set_title(f"Gain by kernel width γ{note}", loc="left", fontsize=11)
    made.legend(loc="outside right upper", frameon=False, fontsize=9, title="γ")
    return png(made)


def _ramp(i: int, count: int) -> Any:
    """The i-th of ``count`` colours in an order that the eye sees: dark to light."""
    return matplotlib.colormaps["cividis"](0.9 * i / max(1, count - 1))


def cluster_counts(
    counts: Sequence[int],
    silhouettes: Sequence[float],
    inertias: Sequence[float],
    *,
    chosen: int | None = None,
) -> bytes:
    """Silhouette (higher is better) and inertia (lower; look for its elbow) by number of clusters.

    Yu et al. 2024, Figure 3. The best silhouette is marked, and ``chosen`` by a vertical line.
    """
    made = Figure(figsize=(7.5, 5.2), layout="constrained")
    upper, lower = made.subplots(2, 1, sharex=True)
    order = np.argsort(counts)
    x, above, below = (np.asarray(v, dtype=float)[order] for v in (counts, silhouettes, inertias))
    for axes, values, colour, label in (
        (upper, above, PALETTE[0], "silhouette"),
        (lower, below, PALETTE[1], "inertia"),
    ):
        plain(axes).plot(x, values, color=colour, marker="o")
        axes.set_ylabel(label)
        if chosen is not None:
            axes.axvline(chosen, color=GREY, linestyle=":")
    notes = [] if chosen is None else [f"dotted: {chosen:,} in use"]
    if np.isfinite(above).any():
        best = int(np.nanargmax(above))
        upper.plot(x[best], above[best], marker="o", markersize=13, fillstyle="none", color=CONTROL)
        notes.insert(0, f"ring: best silhouette, at {x[best]:,.0f}")
    lower.set_xscale("log", base=2)
    count_ticks(lower, x.tolist())
    lower.set_xlabel("clusters")
    title = "Number of clusters" + (f" ({'; '.join(notes)})" if notes else "")
    upper.set_title(title, loc="left", fontsize=11)
    return png(made)


def silhouettes(curves: pd.DataFrame) -> bytes:
    """Silhouette by number of clusters, a line for each of the embeddings (Yu et al. 2024, Figure 5).

    Args:
        curves: ``embeddings, clusters, silhouette, silhouette_stderr``.
    """
    made, axes = figure(7.5, 4.2)
    for number, (name, rows) in enumerate(curves.groupby("embeddings", sort=False)):
        rows = rows.sort_values("clusters")
        axes.errorbar(
            rows["clusters"], rows["silhouette"], rows["silhouette_stderr"].fillna(0), label=str(name),
            **line_style(number),
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    count_ticks(axes, sorted(set(curves["clusters"])))
    axes.set_xlabel("clusters")
    axes.set_ylabel("silhouette")
    axes.set_title("Silhouette by embeddings (bars: standard error of the sample)", loc="left", fontsize=11)
    made.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(made)


def low_quality_share(counts: Sequence[int], shares: Sequence[float], *, threshold: float = 0.3) -> bytes:
    """Share of clusters, in [0, 1], whose mean quality is below ``threshold``, by number of clusters.

    Yu et al. 2024, Figure 4.
    """
    made, axes = figure(7.5, 4.0)
    order = np.argsort(counts)
    x, y = np.asarray(counts, dtype=float)[order], np.asarray(shares, dtype=float)[order]
    axes.plot(x, y, color=PALETTE[1], marker="o")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, max(0.05, float(np.nanmax(y)) * 1.2))
    count_ticks(axes, x.tolist())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for count, share in zip(x, y, strict=True):
        axes.annotate(
            f"{share:.1%}", (count, share), xytext=(-3, 6), textcoords="offset points", ha="right", fontsize=8
        )
    axes.set_xlabel("clusters")
    axes.set_ylabel(f"clusters of mean quality < {threshold:g}")
    axes.set_title("Share of low-quality clusters", loc="left", fontsize=11)
    return png(made)


def histogram(values: np.ndarray, *, label: str, title: str = "", bins: int = 60) -> bytes:
    """How ``values`` (any shape; NaN left out and counted in the title) are spread, median marked."""
    made, axes = figure(7.0, 3.6)
    flat = np.asarray(values, dtype=float).ravel()
    finite = flat[np.isfinite(flat)]
    if not len(finite):
        raise ValueError(f"There is no finite {label} to plot among {len(flat)} values.")
    axes.hist(finite, bins=bins, color=PALETTE[0])
    median = float(np.median(finite))
    axes.axvline(median, color=CONTROL, linestyle="--", linewidth=1.2)
    left_out = f", {len(flat) - len(finite):,} not finite" if len(finite) < len(flat) else ""
    axes.set_title(f"{title or label} (dashed: median {median:.4g}{left_out})", loc="left", fontsize=11)
    axes.set_xlabel(label)
    axes.set_ylabel("count")
    return png(made)


def loss_curve(
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str = "Training loss"
) -> bytes:
    """Loss against optimiser step: a line for each name, from (steps, losses)."""
    made, axes = figure(7.0, 3.8)
    for i, (name, (steps, values)) in enumerate(losses.items()):
        style = {**line_style(i), "marker": "o" if len(steps) < 2 else ""}
        axes.plot(np.asarray(steps, float), np.asarray(values, float), label=name, linewidth=1.4, **style)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss per response token")
    axes.set_title(title, loc="left", fontsize=11)
    if len(losses) > 1:
        made.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(made)


def embedding_map(
    embeddings: np.ndarray, selected: Sequence[int] | np.ndarray, *, title: str = "", seed: int = 0
) -> bytes:
    """The pool on its two principal components, as density, and the selected prompts as points.

    Args:
        embeddings: (N, d), of which 20,000 random rows decide the components.
        selected: rows chosen; at most 3,000, drawn at random, are shown.
    """
    made, axes = figure(7.2, 5.6)
    chosen = np.asarray(selected, dtype=np.int64)
    generator = np.random.default_rng(seed)
    flat = principal_components(embeddings, generator)
    cells = axes.hexbin(
        flat[:, 0], flat[:, 1], gridsize=60, bins="log", cmap="Greys", mincnt=1, linewidths=0.1
    )
    made.colorbar(cells, ax=axes, label="prompts of the pool", shrink=0.8)
    shown = chosen if len(chosen) <= 3000 else np.sort(generator.choice(chosen, 3000, replace=False))
    axes.scatter(flat[shown, 0], flat[shown, 1], s=9, color=PALETTE[1], alpha=0.8, linewidths=0)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.set_title(
        f"{title or 'Selection'}: {len(chosen):,} of {len(embeddings):,} prompts", loc="left", fontsize=11
    )
    return png(made)


def overlap_matrix(table: Any) -> bytes:
    """Share of the prompts of each strategy (rows) that each other one (columns) picked as well.

    Args:
        table: a ``pyarrow.Table`` of ``strategy, other, share`` with a row for each pair.
    """
    names = list(dict.fromkeys(table["strategy"].to_pylist()))
    shares = np.array(table["share"].to_pylist(), float).reshape(len(names), len(names))
    size = max(3.2, 0.36 * len(names))
    made, axes = figure(size + 2.6, size + 1.6)
    image = axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{100 * shares[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(False)
    axes.set_title("Prompts picked by both, % of the row's", loc="left", fontsize=11)
    made.colorbar(image, ax=axes, shrink=0.7)
    return png(made)


def principal_components(embeddings: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(N, 2) projection on the first two components, each turned so that its largest weight is positive.

    Time O(20,000 d^2 + d^3 + N d); reads the embeddings in blocks, whatever their dtype.
    """
    rows = len(embeddings)
    fitted = (
        np.sort(generator.choice(rows, _MAP_ROWS, replace=False)) if rows > _MAP_ROWS else np.arange(rows)
    )
    sample = np.asarray(embeddings[fitted], dtype=np.float32)
    centre = sample.mean(axis=0)
    sample -= centre
    _, vectors = np.linalg.eigh(sample.T @ sample)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    blocks = [np.asarray(embeddings[i : i + 8192], np.float32) - centre for i in range(0, rows, 8192)]
    return np.concatenate([block @ axes for block in blocks])


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
