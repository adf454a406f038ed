"""Checks of arguments that the public functions of this package share.

A public function validates through these before any work; the private kernels assume
valid input. Each error names the rule, the value received and the remedy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edsel_assets.selection.core.inputs import read_rows, read_vector

if TYPE_CHECKING:
    from edsel_assets.selection.core.inputs import Keys, Rows


def whole_number(name: str, value: object, least: int) -> int:
    """``value`` as an int, or a ValueError when it is not an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be a whole number; got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; got {value}.")
    return int(value)


def budget_within(budget: object, pool_size: int, selected: int = 0) -> int:
    """A budget that the prompts not selected yet can fill."""
    budget = whole_number("budget", budget, 0)
    free = pool_size - selected
    if budget > free:
        raise ValueError(
            f"budget must not exceed the {free} prompts that can be chosen "
            f"({pool_size} in the pool, {selected} selected already); got {budget}. "
            "Lower the budget or enlarge the pool."
        )
    return budget


def selected_rows(selected: Rows, pool_size: int, name: str = "selected") -> np.ndarray:
    """Rows chosen already as (s,) int64, checked for range and duplicates; ``name`` is the argument's."""
    rows = read_rows(name, selected, pool_size)
    outside = rows[(rows < 0) | (rows >= pool_size)]
    if outside.size:
        raise ValueError(
            f"{name} must hold rows of the pool, 0 to {pool_size - 1}; got {outside[:5].tolist()}. Turn ids "
            f"into a mask: numpy.isin(ids, {name})."
        )
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{name} must not repeat a row; repeated: {values[counts > 1][:5].tolist()}. "
            "Remove the duplicates."
        )
    return rows


def tie_order(tie_break: Keys | None, pool_size: int) -> np.ndarray:
    """(N,) int64 priority of each row among equals, lower first.

    ``tie_break`` is any sortable key per row (prompt ids, say); without it, row order.
    Keys must be unique, or a ranking could depend on row order.
    """
    if tie_break is None:
        return np.arange(pool_size, dtype=np.int64)
    keys = read_vector("tie_break", tie_break)
    if keys.shape != (pool_size,):
        raise ValueError(f"tie_break must hold one key per prompt, shape ({pool_size},); got {keys.shape}.")
    try:
        order = np.argsort(keys, kind="stable")
    except TypeError as error:
        raise ValueError(f"tie_break keys must sort: {error}. Pass the prompt ids as texts.") from error
    ranked = keys[order]
    if pool_size > 1 and (ranked[1:] == ranked[:-1]).any():
        raise ValueError("tie_break keys must be unique; pass the prompt ids.")
    priority = np.empty(pool_size, dtype=np.int64)
    priority[order] = np.arange(pool_size)
    return priority


def finite_vector(name: str, values: Any, length: int) -> np.ndarray:
    """``values`` as (length,) float64 without NaN or infinity."""
    vector = read_vector(name, values)
    if vector.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), one value per prompt; got {vector.shape}.")
    if not (np.issubdtype(vector.dtype, np.floating) or np.issubdtype(vector.dtype, np.integer)):
        raise ValueError(f"{name} must hold numbers; got dtype {vector.dtype}.")
    vector = vector.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise ValueError(
            f"{name} must be finite; rows {bad[:5].tolist()} are not ({bad.size} in all). "
            "Drop or repair those prompts."
        )
    return vector


def exact_sums(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count,) float64 sum of ``values`` by label, rounded once, so that the order of rows changes no bit."""
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=count))[:-1]
    return np.array([math.fsum(part) for part in np.split(values[order], ends)])


def at_least_zero(name: str, values: Any, length: int) -> np.ndarray:
    """``values`` as (length,) float64 of at least 0, finite."""
    vector = finite_vector(name, values, length)
    negative = np.flatnonzero(vector < 0)
    if negative.size:
        raise ValueError(
            f"{name} must be at least 0; rows {negative[:5].tolist()} are negative ({negative.size} in all). "
            "Shift or clip them."
        )
    return vector
