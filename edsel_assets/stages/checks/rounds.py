"""The check of the weights that a round leads to: whether a few clusters get all."""

from __future__ import annotations

from dataclasses import asdict

from edsel_assets.stages.checks import Finding
from edsel_assets.stages.rounds import Spread


def weights_spread(spread: Spread, collapse: float) -> Finding:
    """A problem where the entropy of weights is under ``collapse`` of that of equal weights."""
    figures: dict[str, int | float | str] = {**asdict(spread), "rounds.collapse": collapse}
    if spread.evenness >= collapse:
        return Finding(figures=figures)
    return Finding(
        f"The weights' entropy is {spread.evenness:.2f} of that of equal weights, as of "
        f"{spread.effective:.1f} clusters, and rounds.collapse is {collapse:g}. Raise rounds.temperature of "
        "its scorer.",
        figures,
    )
