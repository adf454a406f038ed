"""One task's trials as arrays: cells by seeds, and what the benchmark's items add to their noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from edsel_assets.report.statistics.noise import (
    ItemNoise,
    Noise,
    average_items,
    items_from_scores,
    items_from_stderr,
    measure_noise,
)
from edsel_assets.report.statistics.trials import AVERAGE, BASE

_CELL, _TRIAL = ["strategy", "budget"], ["strategy", "budget", "seed"]
#: How the draw of a task's items is known.
SCORED, NORMAL, UNKNOWN = "from each item's score", "from standard errors", "not known"


@dataclass(frozen=True)
class Board:
    """The trained cells of one task.

    Attributes:
        cells: (C,) rows of ``strategy`` and ``budget``, sorted by both.
        values: (C, J) score of each trial; NaN where the cell has no trial of the seed.
        means: (C,) over seeds.
        noise: of the means.
        items: by task read, how the draw of its items is known.
    """

    cells: pd.DataFrame
    values: np.ndarray
    means: np.ndarray
    noise: Noise
    items: dict[str, str]

    @property
    def at(self) -> np.ndarray:
        """(C,) float64 budgets."""
        return self.cells["budget"].to_numpy(float)

    @property
    def of(self) -> np.ndarray:
        """(C,) names of strategies."""
        return self.cells["strategy"].to_numpy(str)

    def rows(self, strategy: str) -> np.ndarray:
        """Rows of a strategy by ascending budget."""
        return np.flatnonzero((self.cells["strategy"] == strategy).to_numpy())

    def matches(self, control: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the other strategies at a budget of the control's, and the control's row there."""
        budgets = self.cells["budget"].to_numpy()
        own = {int(budgets[row]): int(row) for row in self.rows(control)}
        others = self.others(control)
        kept = [int(row) for row in others if int(budgets[row]) in own]
        return np.array(kept, int), np.array([own[int(budgets[row])] for row in kept], int)

    def name(self, row: int) -> tuple[str, int]:
        """Strategy and budget of a row."""
        return str(self.cells["strategy"].iloc[row]), int(self.cells["budget"].iloc[row])

    def others(self, control: str) -> np.ndarray:
        return np.flatnonzero((self.cells["strategy"] != control).to_numpy())


def make_board(trials: pd.DataFrame, task: str, items: pd.DataFrame | None) -> Board | None:
    """The cells of ``task`` (AVERAGE: the mean over tasks); None where no trial has a score.

    Args:
        trials: as ``trial_values`` gives them.
        items: scores by item, or None.
    """
    trained = trials[trials["strategy"] != BASE]
    values = trained[trained["task"] == task].pivot(index=_CELL, columns="seed", values="value").sort_index()
    if values.empty:
        return None
    array = values.to_numpy(float)
    tasks = sorted(set(trained["task"]) - {AVERAGE}) if task == AVERAGE else [task]
    found = {t: _item_noise(trained[trained["task"] == t], t, values, items) for t in tasks}
    parts = [noise for noise, _ in found.values() if noise is not None]
    joined = average_items(parts, len(tasks)) if parts else None
    known = {t: how for t, (_, how) in found.items()}
    cells = values.index.to_frame(index=False)
    return Board(cells, array, np.nanmean(array, axis=1), measure_noise(array, joined), known)


def _item_noise(
    rows: pd.DataFrame, task: str, values: pd.DataFrame, items: pd.DataFrame | None
) -> tuple[ItemNoise | None, str]:
    scored = _item_scores(task, values, items)
    if scored is not None:
        return items_from_scores(scored), SCORED
    grouped = rows[np.isfinite(rows["stderr"]) & (rows["n"] > 1)].groupby(_CELL)
    stderr = grouped["stderr"].mean().reindex(values.index)
    if stderr.isna().any():
        return None, UNKNOWN
    return items_from_stderr(stderr.to_numpy(float), int(grouped["n"].min().min())), NORMAL


def _item_scores(task: str, values: pd.DataFrame, items: pd.DataFrame | None) -> np.ndarray | None:
    """(C, J, I) scores by item; None unless every trial of the table has the same items, two at least."""
    if items is None:
        return None
    wide = items[items["task"] == task].pivot(index=_TRIAL, columns="item", values="value")
    present = np.isfinite(values.to_numpy(float))
    places = pd.MultiIndex.from_tuples(
        [(*cell, seed) for cell in values.index for seed in values.columns], names=_TRIAL
    )
    scores = wide.reindex(places).to_numpy(float, copy=True).reshape(*values.shape, -1)
    if scores.shape[2] < 2 or not np.isfinite(scores[present]).all():
        return None
    scores[~present] = np.nan
    return scores
