"""What a model does between products, each in one reading of its input."""

from __future__ import annotations

import numba
import numpy as np
import torch

from .exponentials import LOG2_E, NO_NAN, power_of_two
from .parts import in_parts

LEAST_ROWS = 512


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last axis of (..., d) float32."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    out = torch.empty_like(rows)
    arrays = rows.numpy(), weight.detach().numpy(), np.float32(epsilon), out.numpy()
    in_parts(_rms_norm, arrays, rows.shape[0], LEAST_ROWS)
    return out.view(x.shape)


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x cos + (-x2, x1) sin, where x1 and x2 are the halves of each head: rotary positions as Llama's.

    ``x``: (B, T, heads, d) float32, contiguous; ``cos``, ``sin``: (B or 1, T, d).
    """
    out = torch.empty_like(x)
    rows = x.view(-1, *x.shape[2:]), cos.reshape(-1, x.shape[3]), sin.reshape(-1, x.shape[3])
    arrays = [tensor.contiguous().numpy() for tensor in rows]
    in_parts(_rotate, (*arrays, out.view(rows[0].shape).numpy()), rows[0].shape[0], LEAST_ROWS)
    return out


def gated(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up, (..., d) float32 both; into ``gate``."""
    rows = gate.view(-1, gate.shape[-1])
    in_parts(_gated, (rows.numpy(), up.view(rows.shape).numpy()), rows.shape[0], LEAST_ROWS)
    return gate


@numba.njit(fastmath={"reassoc", "contract"}, nogil=True)
def _sum_of_squares(x, row):
    total = np.float32(0)
    for i in range(x.shape[1]):
        total += x[row, i] * x[row, i]
    return total


@numba.njit(cache=True, nogil=True)
def _rms_norm(x, weight, epsilon, out, first, last):
    size = x.shape[1]
    for row in range(first, last):
        scale = np.float32(1) / np.sqrt(_sum_of_squares(x, row) / np.float32(size) + epsilon)
        for i in range(size):
            out[row, i] = x[row, i] * scale * weight[i]


@numba.njit(cache=True, nogil=True)
def _rotate(x, cos, sin, out, first, last):
    _, heads, size = x.shape
    half = size // 2
    for row in range(first, last):
        at = row % cos.shape[0]
        for h in range(heads):
            for i in range(half):
                out[row, h, i] = x[row, h, i] * cos[at, i] - x[row, h, half + i] * sin[at, i]
            for i in range(half, size):
                out[row, h, i] = x[row, h, i] * cos[at, i] + x[row, h, i - half] * sin[at, i]


@numba.njit(cache=True, fastmath=NO_NAN, nogil=True, error_model="numpy")
def _gated(gate, up, first, last):
    for row in range(first, last):
        for i in range(gate.shape[1]):
            x = gate[row, i]
            gate[row, i] = x / (np.float32(1) + power_of_two(-x * LOG2_E)) * up[row, i]
