"""Quotas of tasks (Arabelly, Nemade, Nowak and Zhang 2025, arXiv 2507.21482).

Symbols: N prompts, T tasks, b budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.inputs import read_vector
from edsel_assets.selection.core.ranking import Ranking

if TYPE_CHECKING:
    from edsel_assets.selection.core.inputs import Keys, Numbers, Rows


def task_diversity(
    tasks: Sequence[object] | np.ndarray,
    budget: int,
    *,
    confidence: Numbers | None = None,
    seed: int,
    selected: Rows = (),
    tie_break: Keys | None = None,
) -> Ranking:
    """The same number of prompts of every task, or more of those that the base model is unsure of.

    A task's quota is b / T, or b (1 / c_t) / sum of 1 / c_s over the tasks, by largest remainder, c_t the
    mean confidence of its prompts. A task that is too small gives all it has; what is over is dealt in
    turns. Inside a task draws are uniform, keyed by (seed, the prompt's key).

    Args:
        tasks: (N,) task of each prompt, or the cluster that stands for it.
        budget: prompts to choose, at most N less the selected.
        confidence: (N,) in (0, 1], such as the mean probability of the tokens of the greedy answer; the
            paper's exact c_t could not be read, so this one is ours. None: equal quotas.
        seed: of the draws.
        selected: rows chosen already: never returned, and they use up their task.
        tie_break: (N,) unique keys; row numbers without it.

    Returns:
        A ranking, task by task in turn; with equal quotas it is nested. Gains are zero.
        ``details["quotas"]`` are the tasks' quotas, by task in sorted order.

    Raises:
        ValueError: on bad tasks, confidences, budget, rows or keys.

    Time O(N log N), memory O(N).
    """
    names, labels, sizes = np.unique(
        np.array([str(task) for task in read_vector("tasks", tasks)]), return_inverse=True, return_counts=True
    )
    size = len(labels)
    chosen = checks.selected_rows(selected, size)
    budget = checks.budget_within(budget, size, len(chosen))
    shares = np.ones(len(names))
    if confidence is not None:
        shares = sizes / checks.exact_sums(labels, _probabilities(confidence, size), len(names))
    free = np.setdiff1d(np.arange(size), chosen)
    room = np.bincount(labels[free], minlength=len(names))
    quotas = _quotas(budget, shares, room)
    drawn = draws.keyed_uniforms(seed, draws.keys_of(tie_break, size), "quotas")
    order = free[np.lexsort((checks.tie_order(tie_break, size)[free], drawn[free], labels[free]))]
    ends = np.cumsum(room)
    turn = np.arange(len(order)) - np.repeat(ends - room, room)
    kept = turn < quotas[labels[order]]
    indices = order[kept][np.argsort(turn[kept], kind="stable")].astype(np.int64)
    details = {"quotas": dict(zip(names.tolist(), quotas.tolist(), strict=True))}
    return Ranking(indices, np.zeros(len(indices)), details=dict(details))


def _quotas(budget: int, shares: np.ndarray, room: np.ndarray) -> np.ndarray:
    """(T,) int64: shares of ``budget`` by largest remainder, at most ``room``; the rest in turns."""
    exact = budget * shares / max(shares.sum(), np.finfo(float).tiny)
    quotas = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(-np.round(exact - quotas, 9), kind="stable")
    quotas[by_remainder[: budget - int(quotas.sum())]] += 1
    quotas = np.minimum(quotas, room)
    while (over := budget - int(quotas.sum())) > 0:
        open_tasks = np.flatnonzero(quotas < room)
        quotas[open_tasks[:over]] += 1
    return quotas


def _probabilities(values: Numbers, size: int) -> np.ndarray:
    confidence = checks.finite_vector("confidence", values, size)
    if ((confidence <= 0) | (confidence > 1)).any():
        worst = np.flatnonzero((confidence <= 0) | (confidence > 1))[:5].tolist()
        raise ValueError(f"confidence must be probabilities over 0, at most 1; rows {worst} are not.")
    return confidence
