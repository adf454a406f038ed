"""Plots of results and diagnostics, each a PNG of less than 100 KB as base64."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

_MAP_ROWS = 20_000


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
    columns = 4 if len(others) <= 8 else 5
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
        axes.xaxis.set_major_locator(_few_ticks())
        axes.xaxis.set_major_formatter("{x:,.0f}")
    made.suptitle(f"Annotation saved against {efficiency.control} ({task})", x=0.01, ha="left", fontsize=11)
    made.supxlabel("annotations saved at the same score (negative: costs more)", fontsize=9)
    return png(made)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


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
    import matplotlib

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
