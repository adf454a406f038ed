"""Which savings a design can see: before paying, from the spread of pilot scores or from a stated one.

Symbols: n seeds of a strategy and m of the control, of which the strategy's are the first; sigma^2 the
variance of a trial's score over seeds, omega^2 what the benchmark's items add to a difference of two
means, g what doubling the control's prompts adds to its score.

A saving is seen where the interval of the difference to the control leaves out 0, as ``inference`` makes it.
With probability 0.8 that is so for a true difference of the interval's half width plus 0.84 standard
deviations of the difference less that width. In prompts, a difference of d is worth d / g doublings, so that
a share of 1 - 2^(-d / g) is saved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from edsel_assets.report.statistics.inference import Errors
from edsel_assets.report.statistics.moderation import MOST
from edsel_assets.report.statistics.noise import measure_noise

#: How often a true saving is to be seen.
POWER = 0.8
_MOST_SEEDS = 200


@dataclass(frozen=True)
class Spread:
    """The noise at one budget, and what it is held against.

    Attributes:
        seeds: sigma, the standard deviation of a trial over seeds.
        items: omega, what the benchmark's items add to a difference; seeds do not reduce it.
        doubling: g, above 0.
    """

    seeds: float
    items: float
    doubling: float


def smallest_saving(spread: Spread, seeds: int, control_seeds: int) -> float:
    """The smallest saved share that is seen in ``POWER`` of studies; NaN with one seed of each."""
    seen = np.where(np.arange(max(seeds, control_seeds)) < np.array([[seeds], [control_seeds]]), 0.0, np.nan)
    contrast = np.array([1.0, -1.0])
    _, df = measure_noise(seen).design(contrast)
    by_seed = spread.seeds**2 * (1 / seeds + 1 / control_seeds)
    se = np.hypot(np.sqrt(by_seed), spread.items)
    if not df or not se:
        return np.nan if not df else 0.0
    # As among strategies that are alike: half of the trust, and of what may be borrowed a quarter.
    df = (df + min(df, seeds - 1)) / 2 + MOST / 4
    share = by_seed / se**2
    width = float(Errors(np.array(se), np.array(df), np.array(share), np.inf).half_width())
    # The interval's own width varies with the estimated variance: by width / sqrt(2 df) of its seeds' part.
    varies = np.sqrt(se**2 + (share * width) ** 2 / (2 * df))
    difference = width + special.ndtri(POWER) * varies
    return float(1 - 2.0 ** (-difference / spread.doubling))


def seeds_for(spread: Spread, share: float, ratio: float) -> int | None:
    """The fewest seeds that see a saved share, with ``ratio`` times as many of the control; None: none do."""
    for seeds in range(2, _MOST_SEEDS + 1):
        if smallest_saving(spread, seeds, max(2, round(ratio * seeds))) <= share:
            return seeds
    return None


def spread_at(table: pd.DataFrame, control: str, budget: int) -> Spread | None:
    """The noise at a budget of a report's table of one task; None where it cannot be told.

    Sigma is pooled over the strategies there. What differences vary more than two such means is of the items.
    g is what the control gains from this budget to its next one; at its last, from the one before.
    """
    at = table[table["budget"] == budget]
    spreads = at[at["se"].notna() & (at["n"] > 1)]
    own = table[(table["strategy"] == control) & (table["budget"] > 0)].sort_values("budget")
    gains = np.diff(own["mean"]) / np.diff(np.log2(own["budget"].astype(float)))
    place = int(np.searchsorted(own["budget"], budget, side="right")) - 1
    if spreads.empty or not len(gains) or place < 0:
        return None
    doubling = float(gains[min(place, len(gains) - 1)])
    freedom = spreads["n"] - 1
    variance = float((spreads["se"] ** 2 * spreads["n"] * freedom).sum() / freedom.sum())
    others = at[at["difference_se"].notna()]
    base = at.loc[at["strategy"] == control, "n"]
    by_seed = variance * (1 / others["n"] + 1 / float(base.iloc[0])) if len(base) else pd.Series(dtype=float)
    rest = float((others["difference_se"] ** 2 - by_seed).mean()) if len(base) and len(others) else 0.0
    return Spread(variance**0.5, max(rest, 0.0) ** 0.5, doubling) if doubling > 0 else None
