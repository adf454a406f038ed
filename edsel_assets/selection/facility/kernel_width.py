"""How the gain falls for several kernel widths, before annotation (Bhatt et al. 2024, Section 4.4, Figure 3).

A reading to look at. What a ranking takes by itself is ``core.scale.auto_gamma``.

Symbols: N prompts, k budget.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.facility.greedy import NarrowKernel, facility_location

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Rows

EARLY_SHARE = 0.1  # of the budget: where the gain that the last one is held against is read
LEAST_KEPT = 0.5  # of that gain, still to be had at the budget

Progress = Callable[[int, int], None]


def gain_curves(
    embeddings: Matrix,
    gammas: Sequence[float],
    budget: int,
    *,
    selected: Rows = (),
    tie_break: Keys | None = None,
    normalise: bool = True,
    engine: str = "auto",
    memory_limit: int | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> dict[float, np.ndarray]:
    """Gain against set size of greedy facility location, one run to ``budget`` per gamma.

    A curve that has fallen to little before the budget says that the choice has saturated: what is
    picked from there on represents nobody new.

    Args:
        gammas: distinct kernel widths over 0.
        progress: called with (done, total) over all gammas.
        embeddings, budget and the others: as in :func:`facility_location`.

    Returns:
        gamma to (k,) float64 gains, non-increasing; gammas rising.

    Raises:
        ValueError: on bad gammas or arguments.

    Time one facility-location run per gamma, memory that of one.
    """
    widths = sorted(_widths(gammas))
    curves: dict[float, np.ndarray] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NarrowKernel)  # which is what the curves are to show
        for number, gamma in enumerate(widths):
            ranking = facility_location(
                embeddings,
                budget,
                kernel="rbf",
                gamma=gamma,
                selected=selected,
                tie_break=tie_break,
                normalise=normalise,
                engine=engine,
                memory_limit=memory_limit,
                device=device,
                progress=_part(progress, number, len(widths)),
            )
            curves[gamma] = ranking.gains
    return curves


def kept_share(gains: np.ndarray) -> float:
    """Gain of the last pick over that of the pick at a tenth of the budget, in [0, 1]; 0 without picks."""
    early = math.ceil(EARLY_SHARE * len(gains))
    if not early or gains[early - 1] <= 0:
        return 0.0
    return float(gains[-1] / gains[early - 1])


def usable_gamma(curves: Mapping[float, np.ndarray], *, least_kept: float = LEAST_KEPT) -> float | None:
    """The largest gamma whose gains have not saturated at the budget; None where all have.

    The rule looks at two points of a gain curve: the gain of the pick at a tenth of the budget,
    past the steep start that every width has, and the gain of the last pick. A gamma passes
    where the last is at least ``least_kept`` of the early one. It reads Figure 3 as the paper does:
    0.001 to 0.01 stay level up to the budget and pass, 0.1 declines and fails, 1 and 10 have long
    vanished.

    Args:
        curves: gamma to non-increasing gains, as :func:`gain_curves` gives.
        least_kept: share in (0, 1].
    """
    if not 0 < least_kept <= 1:
        raise ValueError(f"least_kept must be a share over 0, at most 1; got {least_kept!r}.")
    return max((gamma for gamma, gains in curves.items() if kept_share(gains) >= least_kept), default=None)


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """``progress`` as run ``number`` of ``count`` equal ones reports to it."""
    if progress is None:
        return None
    whole = progress
    return lambda done, total: whole(number * total + done, count * total)


def _widths(gammas: Sequence[float]) -> tuple[float, ...]:
    widths = tuple(float(gamma) for gamma in gammas)
    if not widths or not all(math.isfinite(width) and width > 0 for width in widths):
        raise ValueError(f"gammas must be kernel widths over 0, at least one; got {list(gammas)}.")
    if len(set(widths)) < len(widths):
        raise ValueError(f"gammas must be distinct; got {list(gammas)}.")
    return widths
