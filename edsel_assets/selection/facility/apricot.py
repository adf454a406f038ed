"""The reference engine: apricot's naive optimizer over a float64 similarity matrix."""

from __future__ import annotations

import numpy as np
import torch

from edsel_assets.selection.facility.dense import State, chunks
from edsel_assets.selection.facility.similarity import UNIT, Kernel


def run_apricot(kernel: Kernel, state: State, selected: np.ndarray, budget: int) -> None:
    """Let apricot choose ``budget`` prompts, into ``state``. Time O(N^2 budget), 16 N^2 bytes.

    Its lazy optimizer is not used: it departs from greedy on real data.
    """
    from apricot import FacilityLocationSelection

    device = kernel.points.device
    similarity = np.empty((kernel.size, kernel.size))
    for part in chunks(torch.arange(kernel.size, device=device), kernel.size):
        similarity[part.cpu().numpy()] = kernel.weights(part).cpu().numpy() / UNIT
    chooser = FacilityLocationSelection(
        budget,
        metric="precomputed",
        optimizer="naive",
        initial_subset=selected if selected.size else None,
    )
    chooser.fit(similarity)
    state.picks.extend(int(row) for row in chooser.ranking)
    state.pick_gains.extend(int(gain) for gain in np.rint(np.asarray(chooser.gains) * UNIT))
    state.taken[state.picks] = True
    everyone = np.concatenate([selected, state.picks]).astype(np.int64)
    best = similarity[everyone].argmax(axis=0)
    maxima = similarity[everyone[best], np.arange(kernel.size)]
    state.maxima = torch.from_numpy(np.rint(maxima * UNIT).astype(np.int32)).to(device)
    state.owners = torch.from_numpy(np.where(maxima > 0, everyone[best], -1).astype(np.int32)).to(device)
    gains = np.maximum(similarity - maxima, 0).sum(axis=1)
    state.gains = torch.from_numpy(np.rint(gains * UNIT).astype(np.int64)).to(device)
