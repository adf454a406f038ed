"""What a control's curve is not good for, in words: where it falls, where its budgets are too far apart."""

from __future__ import annotations

import numpy as np

from edsel_assets.report.statistics.board import Board
from edsel_assets.report.statistics.curve import budget_between, gap_errors, read_curve, wide_gaps
from edsel_assets.report.statistics.inference import LEVEL, holm, standard_errors, told_apart
from edsel_assets.report.statistics.moderation import Prior


def control_remarks(task: str, board: Board, prior: Prior, control: str) -> list[str]:
    """A sentence for each significant fall of the control's means, and each gap that is too wide."""
    own = board.rows(control)
    return [*_falls(task, board, prior, own, control), *_gaps(task, board, prior, own, control)]


def _falls(task: str, board: Board, prior: Prior, own: np.ndarray, control: str) -> list[str]:
    """The largest fall, of those that Holm's correction over all pairs of budgets bears out."""
    before, after = np.triu_indices(len(own), 1)
    p = holm(told_apart(board.means, board.noise, prior, own)[before, after])
    drop = board.means[own][before] - board.means[own][after]
    if not ((p <= 1 - LEVEL) & (drop > 0)).any():
        return []
    worst = int(np.argmax(np.where(p <= 1 - LEVEL, drop, -np.inf)))
    low, high = (int(board.at[own[place[worst]]]) for place in (before, after))
    return [
        f"{control} falls from {low:,} to {high:,} prompts ({task}): more answers made it worse, so several "
        "of its budgets have one score, and intervals of what is saved hold them all."
    ]


def _gaps(task: str, board: Board, prior: Prior, own: np.ndarray, control: str) -> list[str]:
    """Gaps over which the interpolation may err by more than the noise of the curve."""
    budgets, means = board.at[own], board.means[own]
    if len(own) < 3:
        return [wide_gap(control, *gap, f"{task}; how it bends is not known") for gap in wide_gaps(budgets)]
    errors = gap_errors(budgets, means)
    read = read_curve(budgets, means)
    contrasts = np.zeros((len(read.where), len(board.means)))
    contrasts[:, own] = read.weights
    noise = standard_errors(contrasts, board.noise, prior).half_width()
    steps = (len(read.where) - 1) // len(errors)
    return [
        wide_gap(control, budgets[i], budgets[i + 1], f"{task}; error up to {error:.2g}")
        for i, error in enumerate(errors)
        if error > noise[i * steps + steps // 2]
    ]


def wide_gap(control: str, low: float, high: float, why: str = "") -> str:
    """That savings between two budgets rest on the interpolation, and the budget that would mend it."""
    because = f" ({why})" if why else ""
    return (
        f"{control}'s budgets {low:,.0f} and {high:,.0f} are too far apart{because}: a saving "
        f"read between them rests on the shape of the curve. Add {budget_between(low, high):,} to "
        f"selection.budgets_of.{control}."
    )
