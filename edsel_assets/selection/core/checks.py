"""Checks of arguments that the public functions of this package share.

A public function validates through these before any work; the private kernels assume
valid input. Each error names the rule, the value received and the remedy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


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


def selected_rows(selected: Sequence[int] | np.ndarray, pool_size: int) -> np.ndarray:
    """Rows chosen already as (s,) int64, checked for range and duplicates."""
    rows = np.asarray(selected)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"selected must be a flat list of row numbers; got shape {rows.shape}, dtype {rows.dtype}."
        )
    rows = rows.astype(np.int64)
    outside = rows[(rows < 0) | (rows >= pool_size)]
    if outside.size:
        raise ValueError(
            f"selected must hold rows of the pool, 0 to {pool_size - 1}; got {outside[:5].tolist()}."
        )
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"selected must not repeat a row; repeated: {values[counts > 1][:5].tolist()}. "
            "Remove the duplicates."
        )
    return rows


def tie_order(tie_break: Sequence[object] | np.ndarray | None, pool_size: int) -> np.ndarray:
    """(N,) int64 priority of each row among equals, lower first.

    ``tie_break`` is any sortable key per row (prompt ids, say); without it, row order.
    Keys must be unique, or a ranking could depend on row order.
    """
    if tie_break is None:
        return np.arange(pool_size, dtype=np.int64)
    keys = np.asarray(tie_break)
    if keys.shape != (pool_size,):
        raise ValueError(f"tie_break must hold one key per prompt, shape ({pool_size},); got {keys.shape}.")
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    if pool_size > 1 and (ranked[1:] == ranked[:-1]).any():
        raise ValueError("tie_break keys must be unique; pass the prompt ids.")
    priority = np.empty(pool_size, dtype=np.int64)
    priority[order] = np.arange(pool_size)
    return priority


def finite_vector(name: str, values: object, length: int) -> np.ndarray:
    """``values`` as (length,) float64 without NaN or infinity."""
    vector = np.asarray(values)
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


def at_least_zero(name: str, values: object, length: int) -> np.ndarray:
    """``values`` as (length,) float64 of at least 0, finite."""
    vector = finite_vector(name, values, length)
    negative = np.flatnonzero(vector < 0)
    if negative.size:
        raise ValueError(
            f"{name} must be at least 0; rows {negative[:5].tolist()} are negative ({negative.size} in all). "
            "Shift or clip them."
        )
    return vector
