"""The weighted win rate of one model against another, from how likely each finds the gold responses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class WinRate(NamedTuple):
    """``value`` in [0, 1]: higher is better for the trial, 0.5 a draw; ``stderr`` of it over ``n`` items."""

    value: float
    stderr: float
    n: int


def win_rate(
    trial: np.ndarray,
    reference: np.ndarray,
    *,
    tokens: np.ndarray | None = None,
) -> WinRate:
    """Mean over items of p_trial / (p_trial + p_reference), p the likelihood of the item's gold response.

    This is the posterior probability, at equal priors, that the trial's model rather than the reference wrote
    the gold response; it takes the place of the continuous preference of a judge in Bhatt et al. 2024,
    Section 4.3, where no judge is at hand. Swapping the two gives 1 - value.

    Args:
        trial, reference: (n,) log p(gold response | prompt) in nats, the same items in the same order.
        tokens: (n,) tokens of each gold response. With them p is the likelihood per token (its geometric
            mean), so that a long response is not decided by its length alone; without, of the whole response.

    ``stderr`` is the sample standard deviation over sqrt(n), NaN for a single item.

    Raises ``ValueError`` for no items, for arrays of unlike length, for values that are not finite, for a log
    probability above 0 and for token counts under 1.
    """
    own, other = _log_probabilities("trial", trial), _log_probabilities("reference", reference)
    if own.shape != other.shape:
        raise ValueError(f"trial and reference must score the same items; got {len(own)} and {len(other)}.")
    margin = own - other
    if tokens is not None:
        counts = np.asarray(tokens)
        if counts.shape != own.shape or (counts < 1).any():
            raise ValueError(f"tokens must hold a count of at least 1 for each of the {len(own)} items.")
        margin = margin / counts
    # 1 / (1 + exp(-margin)), in the form that overflows on neither side.
    small = np.exp(-np.abs(margin))
    wins = np.where(margin >= 0, 1.0, small) / (1.0 + small)
    error = wins.std(ddof=1) / np.sqrt(len(wins)) if len(wins) > 1 else float("nan")
    return WinRate(float(wins.mean()), float(error), len(wins))


def _log_probabilities(name: str, values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must hold one log probability per item, shape (n,); got {array.shape}.")
    if not np.isfinite(array).all() or (array > 0).any():
        bad = np.flatnonzero(~np.isfinite(array) | (array > 0))
        raise ValueError(
            f"{name} must hold finite log probabilities, at most 0; not so: rows {bad[:5].tolist()}."
        )
    return array
