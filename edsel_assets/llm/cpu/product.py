"""x W^T in float32, as a linear layer wants it.

Columns of the result are lanes of a vector. LANES rows of W are brought into that order, in pieces that stay
in the nearest caches, and met with all rows of x. Each sum runs in one order whatever the number of rows: a
row's result does not depend on the batch it is in.
"""

from __future__ import annotations

import numba
import numpy as np
import torch

from .parts import in_parts
from .tile import LANES, ROWS, add_tile

DEPTH = 256
"""Terms added up at a time; the pieces are added after, which keeps rounding small."""

LEAST_ROWS = 128
"""Rows per thread at least, as each brings the weights into order for itself."""


def product(x: torch.Tensor, weight: torch.Tensor, ordered: np.ndarray | None = None) -> torch.Tensor:
    """(..., K) float32 and (N, K) float32 to (..., N); ``ordered`` is :func:`in_order` of the weight."""
    columns, terms = weight.shape
    rows = x.reshape(-1, terms).contiguous()
    out = torch.empty(rows.shape[0], columns)
    if ordered is None:
        kernel, arrays = _product, (rows.numpy(), weight.detach().contiguous().numpy(), out.numpy())
    else:
        kernel, arrays = _ordered_product, (rows.numpy(), ordered, out.numpy())
    in_parts(kernel, arrays, rows.shape[0], LEAST_ROWS)
    return out.view(*x.shape[:-1], columns)


def in_order(weight: torch.Tensor) -> np.ndarray:
    """The pieces of an (N, K) weight one after the other: (pieces x K, LANES) float32."""
    columns, terms = weight.shape
    ordered = np.zeros((-(-columns // LANES) * terms, LANES), np.float32)
    _order_all(weight.detach().contiguous().numpy(), ordered)
    return ordered


@numba.njit(cache=True, nogil=True)
def _product(x, weight, out, first, last):
    """Rows ``first`` to ``last`` of ``out``."""
    columns, terms = weight.shape
    piece = np.zeros((DEPTH, LANES), np.float32)
    corner = np.empty((ROWS, LANES), np.float32)
    for lane in range(0, columns, LANES):
        for start in range(0, terms, DEPTH):
            depth = min(DEPTH, terms - start)
            _order(weight, lane, start, depth, piece, 0)
            _fill(x, piece, 0, out, lane, start, depth, first, last, corner)


@numba.njit(cache=True, nogil=True)
def _ordered_product(x, ordered, out, first, last):
    fill(x, ordered, out, first, last, np.empty((ROWS, LANES), np.float32))


@numba.njit(nogil=True)
def fill(x, ordered, out, first, last, corner):
    """Rows ``first`` to ``last`` of ``out``; ``corner`` is room for (ROWS, LANES)."""
    terms, columns = x.shape[1], out.shape[1]
    for lane in range(0, columns, LANES):
        for start in range(0, terms, DEPTH):
            line = lane * terms + start * LANES
            _fill(x, ordered, line, out, lane, start, min(DEPTH, terms - start), first, last, corner)


@numba.njit(nogil=True)
def _first_column(columns, lane):
    """Where the lanes from ``lane`` on begin: the last overlap those before, and write the same again."""
    return min(lane, max(0, columns - LANES))


@numba.njit(nogil=True)
def _fill(x, piece, line, out, lane, start, depth, first, last, corner):
    """Terms ``start`` to ``start + depth`` of LANES columns of ``out``."""
    terms, columns = x.shape[1], out.shape[1]
    column, width = _first_column(columns, lane), min(LANES, columns)
    for row in range(first, last, ROWS):
        at, to = row * terms + start, row * columns + column
        rows = min(ROWS, last - row)
        if rows == ROWS and width == LANES:
            add_tile(x, at, terms, 1, ROWS, piece, line, out, to, columns, depth, start > 0)
            continue
        add_tile(x, at, terms, 1, rows, piece, line, corner, 0, LANES, depth, False)
        for r in range(rows):
            for i in range(width):
                before = out[row + r, column + i] if start > 0 else np.float32(0)
                out[row + r, column + i] = before + corner[r, i]


@numba.njit(cache=True, nogil=True)
def _order_all(weight, ordered):
    columns, terms = weight.shape
    for lane in range(0, columns, LANES):
        _order(weight, lane, 0, terms, ordered, (lane // LANES) * terms)


@numba.njit(nogil=True)
def _order(weight, lane, start, depth, piece, line):
    """piece[line + k, i] = weight[column + i, start + k]."""
    column, width = _first_column(weight.shape[0], lane), min(LANES, weight.shape[0])
    fours = width - width % 4
    for i in range(0, fours, 4):
        for k in range(depth):
            piece[line + k, i] = weight[column + i, start + k]
            piece[line + k, i + 1] = weight[column + i + 1, start + k]
            piece[line + k, i + 2] = weight[column + i + 2, start + k]
            piece[line + k, i + 3] = weight[column + i + 3, start + k]
    for i in range(fours, width):
        for k in range(depth):
            piece[line + k, i] = weight[column + i, start + k]
