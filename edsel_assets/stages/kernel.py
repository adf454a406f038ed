"""The kernel-width diagnostic (Bhatt et al. 2024, Section 4.4 and Figure 3)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from edsel_assets.selection import auto_gamma, gain_curves
from edsel_assets.stages.inputs import embedding_matrix
from edsel_assets.study import Study

_POINTS = 200


def gain_table(study: Study, pool: pa.Table, embeddings: pa.Table) -> tuple[pa.Table, float | None]:
    """``gamma, rank, gain`` along the greedy order for each width, and the width that "auto" takes.

    At most 200 ranks per width, evenly spaced with first and last; None where no width passes.
    """
    ids = pool["prompt_id"]
    matrix = embedding_matrix(embeddings, ids)
    chosen = study.selection
    budget = max(chosen.budgets)
    shared = {
        "normalise": chosen.normalise,
        "tie_break": ids.to_numpy().astype(str),
        "device": study.model.device,
    }
    curves = gain_curves(matrix, chosen.gammas, budget, **shared)
    rows = []
    for gamma, gains in curves.items():
        for rank in np.unique(np.linspace(0, len(gains) - 1, _POINTS).astype(int)):
            rows.append({"gamma": float(gamma), "rank": int(rank), "gain": float(gains[rank])})
    try:
        gamma = auto_gamma(matrix, tuple(chosen.gammas), budget, **shared)
    except ValueError:
        gamma = None
    return pa.Table.from_pylist(rows), gamma
