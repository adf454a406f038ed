"""Squared Euclidean distances decided exactly: float32 products rule out, float64 differences settle.

Symbols: d dimensions, u = 2^-24, half the spacing of float32 at 1.
"""

from __future__ import annotations

import torch

PAIR_BYTES = 32 << 20  # of the float64 differences held at a time


def product_error(points: torch.Tensor) -> float:
    """Most that ``|y|^2 - 2 x.y + |x|^2`` in float32 is off by, for x and y no longer than the longest row.

    A product of d terms is within d u / (1 - d u) |x||y| in whatever order it sums (Higham 2002,
    Section 3.1); the norms and the additions make it a few u more.
    """
    longest = float(torch.linalg.vector_norm(points, dim=1).max()) ** 2
    width = points.shape[1] + 8
    return 4 * width * 2.0**-24 / (1 - width * 2.0**-24) * longest


def pair_squares(
    points: torch.Tensor, rows: torch.Tensor, centres: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """(p,) float64 squared distances of points[rows] to centres[columns], by differences."""
    step = max(1, PAIR_BYTES // (8 * points.shape[1]))
    parts = [
        (points[row].double() - centres[column]).square_().sum(1)
        for row, column in zip(rows.split(step), columns.split(step), strict=True)
    ]
    return torch.cat(parts)
