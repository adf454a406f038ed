"""Nearest to the queries, in turns (RDS+: Ivison et al. 2025, arXiv 2503.01807; in turns: 2602.14696)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets.selection.core.ranking import Ranking
from edsel_assets.selection.facility.similarity import UNIT

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Rows

_ROWS = 8192  # of the pool multiplied at a time


def nearest(
    embeddings: Matrix,
    queries: Matrix,
    budget: int,
    *,
    selected: Rows = (),
    tie_break: Keys | None = None,
    device: str | torch.device = "auto",
) -> Ranking:
    """Queries take turns, each its most similar prompt by cosine that is not taken yet.

    It throws a part of the budget away on look-alikes, as nothing pushes picks of one query apart.

    Args:
        embeddings: (N, d) array or tensor of the pool.
        queries: (m, d) array or tensor by the same embedding, in the order of their turns.
        budget: prompts to choose, at most N less the selected.
        selected: rows chosen already; never returned. They use up no turn.
        tie_break: (N,) unique keys; similarities equal to 2^-20 go by the lower key. Row order without it.
        device: "auto", "cpu", "cuda" or another torch device.

    Returns:
        A nested ranking whose gains are the similarities of each pick to the query whose turn it was.

    Raises:
        ValueError: on bad embeddings, another dimension of the queries, budget, rows or keys.

    Time O(N m d + m N log N), memory O(N m): 4 bytes a pair.
    """
    import torch

    pool = as_embeddings(embeddings, device=device)
    asked = as_embeddings(queries, device=pool.device, name="queries")
    if asked.dim != pool.dim:
        raise ValueError(f"queries must have the pool's {pool.dim} dimensions; got {asked.dim}.")
    chosen = checks.selected_rows(selected, pool.size)
    budget = checks.budget_within(budget, pool.size, len(chosen))
    priority = checks.tie_order(tie_break, pool.size)
    order = np.argsort(priority, kind="stable")
    points = asked.matrix().T
    similarity = np.empty((asked.size, pool.size), dtype=np.float32)
    for start in range(0, pool.size, _ROWS):
        # In priority order, so that rounding does not depend on the order of rows.
        rows = order[start : start + _ROWS]
        similarity[:, rows] = torch.mm(pool.rows(rows), points).T.cpu().numpy()
    # What float32 products cannot tell apart is equal.
    similarity = np.rint(similarity * np.float32(UNIT)) / np.float32(UNIT)
    orders = [iter(np.lexsort((priority, -row)).tolist()) for row in similarity]
    taken = np.zeros(pool.size, dtype=bool)
    taken[chosen] = True
    indices, gains = np.empty(budget, dtype=np.int64), np.empty(budget)
    for turn in range(budget):
        query = turn % asked.size
        row = next(row for row in orders[query] if not taken[row])
        taken[row] = True
        indices[turn], gains[turn] = row, similarity[query, row]
    return Ranking(indices, gains, details={"queries": asked.size})
