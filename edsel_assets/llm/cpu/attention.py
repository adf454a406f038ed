"""Causal attention in which scores never leave the cache and few are computed above the diagonal.

Lanes of a vector are neighbouring queries: softmax is arithmetic between vectors, and keys and values are
read in the order in which they lie. Keys come in blocks, with the running maximum and total of Milakov and
Gimelshein, "Online normalizer calculation for softmax" (2018).
"""

from __future__ import annotations

import numba
import numpy as np
import torch

from .exponentials import LOG2_E, NO_NAN, power_of_two
from .parts import in_parts
from .tile import LANES, ROWS, VECTOR, add_tile

KEYS = 128
"""Keys per block: their scores (32 KiB) stay in the nearest cache."""

_LOWEST = np.float32(-1e30)


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """softmax(scale q k^T) v over the keys up to each query's own place.

    Args:
        query: (B, T, H, d), d a multiple of 4.
        key, value: (B, T, G, d), G a divisor of H: head h attends to group h // (H / G).

    Returns:
        (B, T, H, d) in the dtype of ``query``; the arithmetic is in float32.
    """
    tensors = [tensor.float().contiguous() for tensor in (query, key, value)]
    out = torch.empty_like(tensors[0])
    arrays = [tensor.numpy() for tensor in (*tensors, out)]
    in_parts(_attend, (*arrays, np.float32(scale)), key.shape[0] * key.shape[2], 1)
    return out.to(query.dtype)


@numba.njit(nogil=True)
def _lines(count):
    """(count, LANES) float32 at the boundary of a vector."""
    raw = np.empty(count * LANES + VECTOR, np.float32)
    first = (-(raw.ctypes.data // 4)) % VECTOR
    return raw[first : first + count * LANES].reshape(count, LANES)


@numba.njit(fastmath=NO_NAN, nogil=True)
def _raise_top(scores, keys, top, old):
    for i in range(LANES):
        old[0, i] = top[0, i]
    for j in range(keys):
        for i in range(LANES):
            score, highest = scores[j, i], top[0, i]
            top[0, i] = score if score > highest else highest


@numba.njit(fastmath=NO_NAN, nogil=True)
def _weigh(scores, keys, top, old, total, mixed):
    """Scores to weights 2^(score - top); what was added up under the old top to the new one."""
    for i in range(LANES):
        old[0, i] = power_of_two(old[0, i] - top[0, i])
        total[0, i] *= old[0, i]
    for c in range(mixed.shape[0]):
        for i in range(LANES):
            mixed[c, i] *= old[0, i]
    old[:] = np.float32(0)
    for j in range(keys):
        for i in range(LANES):
            weight = power_of_two(scores[j, i] - top[0, i])
            scores[j, i] = weight
            old[0, i] += weight
    for i in range(LANES):  # by blocks, which keeps rounding small
        total[0, i] += old[0, i]


@numba.njit(cache=True, nogil=True)
def _attend(query, key, value, out, scale, first_pair, last_pair):
    """The pairs (row of the batch, group of heads) in this range."""
    _, length, heads, size = query.shape
    groups = key.shape[2]
    sharing = heads // groups  # heads of a group are neighbouring lanes, as they share keys
    lines = _lines(2 * size + KEYS + ROWS + 3)
    asked, mixed = lines[:size], lines[size : 2 * size]
    scores = lines[2 * size : 2 * size + KEYS + ROWS]
    top, total, old = lines[-3:-2], lines[-2:-1], lines[-1:]
    step = groups * size
    for pair in range(first_pair, last_pair):
        b, g = pair // groups, pair % groups
        for first in range(0, length * sharing, LANES):
            lanes = min(LANES, length * sharing - first)
            if lanes < LANES:
                asked[:] = np.float32(0)
            for i in range(lanes):
                t, h = (first + i) // sharing, g * sharing + (first + i) % sharing
                for c in range(size):
                    asked[c, i] = query[b, t, h, c] * (scale * LOG2_E)
            top[:] = _LOWEST
            total[:] = np.float32(0)
            mixed[:] = np.float32(0)
            end = (first + lanes - 1) // sharing + 1
            for block in range(0, end, KEYS):
                keys = min(KEYS, end - block)
                at = ((b * length + block) * groups + g) * size
                for j in range(0, keys, ROWS):
                    add_tile(
                        key, at + j * step, step, 1, keys - j, asked, 0, scores, j * LANES, LANES, size, False
                    )
                for j in range(max(0, first // sharing + 1 - block), keys):
                    for i in range(min(LANES, (block + j) * sharing - first)):
                        scores[j, i] = _LOWEST
                _raise_top(scores, keys, top, old)
                _weigh(scores, keys, top, old, total, mixed)
                for c in range(0, size, ROWS):
                    add_tile(value, at + c, 1, step, ROWS, scores, 0, mixed, c * LANES, LANES, keys, True)
            for i in range(lanes):
                t, h = (first + i) // sharing, g * sharing + (first + i) % sharing
                share = np.float32(1) / total[0, i]
                for c in range(size):
                    out[b, t, h, c] = mixed[c, i] * share
