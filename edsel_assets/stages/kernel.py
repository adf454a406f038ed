"""The kernel-width diagnostic (Bhatt et al. 2024, Section 4.4 and Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from edsel_assets.selection import gain_curves, usable_gamma
from edsel_assets.stages.inputs import embedding_matrix
from edsel_assets.study import Study

_POINTS = 200


def widths(
    study: Study, pool: pa.Table, embeddings: pa.Table
) -> tuple[dict[float, np.ndarray], list[float], float | None]:
    """Gain curves of the study's widths, those not saturated at the budget, and the one "auto" takes."""
    ids, chosen = pool["prompt_id"], study.selection
    limit = chosen.memory_limit_gib
    curves = gain_curves(
        embedding_matrix(embeddings, ids),
        chosen.gammas,
        max(chosen.budgets),
        normalise=chosen.normalise,
        tie_break=ids.to_numpy().astype(str),
        engine=chosen.engine,
        memory_limit=None if limit is None else int(limit * 2**30),
        device=study.model.device,
    )
    usable = [gamma for gamma, gains in curves.items() if usable_gamma({gamma: gains}) is not None]
    return curves, usable, usable_gamma(curves)


def gain_table(curves: Mapping[float, np.ndarray]) -> pa.Table:
    """``gamma, rank, gain`` at up to 200 ranks per width, evenly spaced, first and last among them."""
    rows = []
    for gamma, gains in curves.items():
        for rank in np.unique(np.linspace(0, len(gains) - 1, _POINTS).astype(int)):
            rows.append({"gamma": gamma, "rank": int(rank), "gain": float(gains[rank])})
    return pa.Table.from_pylist(rows)
