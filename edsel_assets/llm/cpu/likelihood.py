"""log softmax(x W^T) at one column per row, a few rows' logits at a time: they never leave the cache."""

from __future__ import annotations

import numba
import numpy as np
import torch

from .exponentials import LOG2_E, NO_NAN, largest, power_of_two, sum_of
from .parts import in_parts
from .product import fill
from .tile import LANES, ROWS

BLOCK = 16
"""Rows whose logits are held at a time."""


def log_likelihood(x: torch.Tensor, ordered: np.ndarray, columns: int, chosen: torch.Tensor) -> torch.Tensor:
    """(n,) float32, log p of the columns ``chosen`` (n,), in nats.

    Args:
        x: (n, K) float32.
        ordered: :func:`~.product.in_order` of a (columns, K) weight.
    """
    out = torch.empty(len(x))
    arrays = x.contiguous().numpy(), ordered, columns, chosen.numpy(), out.numpy()
    in_parts(_log_likelihood, arrays, len(x), BLOCK)
    return out


@numba.njit(fastmath=NO_NAN, nogil=True)
def _exponentials(logits, row, top):
    for i in range(logits.shape[1]):
        logits[row, i] = power_of_two((logits[row, i] - top) * LOG2_E)


@numba.njit(cache=True, nogil=True)
def _log_likelihood(x, ordered, columns, chosen, out, first, last):
    logits = np.empty((BLOCK, columns), np.float32)
    corner = np.empty((ROWS, LANES), np.float32)
    for row in range(first, last, BLOCK):
        count = min(BLOCK, last - row)
        fill(x[row : row + count], ordered, logits, 0, count, corner)
        for r in range(count):
            top = largest(logits[r], columns)
            score = logits[r, chosen[row + r]] - top
            _exponentials(logits, r, top)
            out[row + r] = score - np.log(sum_of(logits[r], columns))
