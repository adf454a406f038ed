"""What each cell of a task saves against the control, in prompts or in what their answers cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from edsel_assets.report.statistics.board import Board
from edsel_assets.report.statistics.inference import Needed, benjamini_hochberg, needed_budgets
from edsel_assets.report.statistics.moderation import Prior

#: ``status`` of a saving. Only REACHED has numbers.
REACHED, NOT_REACHED, UNDER, FLAT = "reached", "not reached", "under", "flat"
_NUMBERS = (
    "own", "needed", "needed_low", "needed_high", "saved", "saved_low", "saved_high", "share", "p_fdr",
)  # fmt: skip
_COLUMNS = {
    **dict.fromkeys(("task", "strategy"), "str"),
    "budget": "int64",
    "score": "float64",
    "status": "str",
    **dict.fromkeys(_NUMBERS, "float64"),
}


def savings(task: str, board: Board, prior: Prior, control: str, at: np.ndarray | None) -> pd.DataFrame:
    """One row per cell of another strategy; none without the control, or where ``at`` is None.

    Args:
        at: (C,) what each cell takes, its budget or a cost; the control's in ascending order.
    """
    own, others = board.rows(control), board.others(control)
    if at is None or not len(own):
        return pd.DataFrame(columns=list(_COLUMNS)).astype(_COLUMNS)
    found = needed_budgets(board.means, board.noise, prior, others, at[others], own, at[own])
    adjusted = benjamini_hochberg(np.array([needed.p for needed in found]))
    rows = [
        {"task": task, **_row(*board.name(cell), float(board.means[cell]), at[cell], needed), "p_fdr": p}
        for cell, needed, p in zip(others, found, adjusted, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _row(strategy: str, budget: int, score: float, own: float, needed: Needed) -> dict[str, Any]:
    number = needed.budget if _status(needed) == REACHED else np.nan
    # The end of an open set is the float next to a budget: written as that budget.
    number, low, high = (round(end, 6) for end in (number, needed.low, needed.high))
    return {
        "strategy": strategy,
        "budget": budget,
        "score": score,
        "status": _status(needed),
        "own": own,
        "needed": number,
        "needed_low": low,
        "needed_high": high,
        "saved": round(number - own, 6),
        "saved_low": round(low - own, 6),
        "saved_high": round(high - own, 6),
        "share": (number - own) / number,
    }


def _status(needed: Needed) -> str:
    if needed.flat:
        return FLAT
    if np.isinf(needed.budget):
        return NOT_REACHED if needed.budget > 0 else UNDER
    return REACHED
