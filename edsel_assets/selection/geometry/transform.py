"""Centring and whitening: what embeddings have in common is taken off before prompts are compared.

The last hidden states of decoders lie in a narrow cone: the cosine of any two is near 1, so that kernel
widths and thresholds tell nothing apart (Ethayarajh 2019). Symbols: N prompts, d dimensions, k of them kept,
u_i the embeddings at unit length, m their mean, C = sum (u_i - m)(u_i - m)^T / N their covariance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edsel_assets.selection.core import checks

Kind = Literal["none", "centre", "whiten"]
KINDS: tuple[Kind, ...] = ("none", "centre", "whiten")

#: Dimensions kept by whitening, where not said otherwise.
DIMENSIONS = 64
BLOCK_BYTES = 64 << 20  # float64 bytes of a block of rows
#: A direction of less variance than this part of the largest is rounding of the embeddings, and is left out.
_SMALLEST_VARIANCE = 1e-9
#: A row shorter than this after the transform, against the root mean square, has no direction.
_SHORTEST = 1e-6


@dataclass(frozen=True)
class Transform:
    """A fitted transform: y_i = B^T (u_i - m), then scaled to unit length.

    Attributes:
        kind: ``none`` gives the embeddings back as they are.
        mean: (d,) float64, m.
        basis: (d, k) float64, B; None for the identity.
        length: root mean square of |y_i| before scaling.
    """

    kind: Kind
    mean: np.ndarray | None = None
    basis: np.ndarray | None = None
    length: float = 0.0

    def apply(self, embeddings: np.ndarray) -> np.ndarray:
        """(N, k) float32 rows of unit length.

        A prompt that lies at the mean keeps no direction. It gets that of its embedding without the mean
        taken off, and where this is zero too, the first axis.
        """
        if self.mean is None:
            return np.asarray(embeddings)
        width = len(self.mean) if self.basis is None else self.basis.shape[1]
        made = np.empty((len(embeddings), width), dtype=np.float32)
        for start, block in _unit_blocks(embeddings):
            made[start : start + len(block)] = self._directions(block)
        return made

    def _directions(self, units: np.ndarray) -> np.ndarray:
        moved = self._turned(units - self.mean)
        lengths = np.linalg.norm(moved, axis=1)
        for row in np.flatnonzero(lengths < _SHORTEST * self.length):
            moved[row] = self._turned(units[row : row + 1])[0]
            lengths[row] = np.linalg.norm(moved[row])
            if lengths[row] < _SHORTEST * self.length:
                moved[row], lengths[row] = np.eye(1, moved.shape[1])[0], 1.0
        return moved / lengths[:, None]

    def _turned(self, rows: np.ndarray) -> np.ndarray:
        return rows.copy() if self.basis is None else rows @ self.basis


def fit_transform(embeddings: np.ndarray, kind: Kind, *, dimensions: int | None = None) -> Transform:
    """The transform of a pool.

    ``centre`` takes the mean off. ``whiten`` also turns to the principal axes, keeps the ``dimensions`` of
    the largest variance, and scales each to variance 1 (PCA whitening, before selection: arXiv 2602.13773).
    The sign of an axis is such that its largest component is positive, so that the result is the same on
    every machine up to rounding. Axes of no variance are left out. Where all embeddings have one direction,
    as in a pool of one prompt, nothing tells them apart, and the transform is ``none``.

    Args:
        embeddings: (N, d) floats, no row zero; read in blocks, never copied whole.
        dimensions: k at most, of whitening; 64 without it.

    Raises:
        ValueError: for an unknown kind, or dimensions below 1.

    Time O(N d), of whitening O(N d^2 + d^3); memory one block and, of whitening, O(d^2).
    """
    if kind not in KINDS:
        raise ValueError(f"transform must be one of {', '.join(KINDS)}; got {kind!r}.")
    kept = checks.whole_number("dimensions", DIMENSIONS if dimensions is None else dimensions, 1)
    if kind == "none":
        return Transform("none")
    mean = sum(block.sum(axis=0) for _, block in _unit_blocks(embeddings)) / len(embeddings)
    variance = _mean_square(embeddings, mean)
    if variance <= _SHORTEST**2:  # of unit rows: rounding of float32 alone
        return Transform("none")
    if kind == "centre":
        return Transform("centre", mean, None, float(np.sqrt(variance)))
    basis = _whitening(_covariance(embeddings, mean), kept)
    return Transform("whiten", mean, basis, float(np.sqrt(basis.shape[1])))


def _mean_square(embeddings: np.ndarray, mean: np.ndarray) -> float:
    return float(
        sum(np.square(block - mean).sum() for _, block in _unit_blocks(embeddings)) / len(embeddings)
    )


def _covariance(embeddings: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(d, d) float64, C."""
    total = np.zeros((len(mean), len(mean)))
    for _, block in _unit_blocks(embeddings):
        centred = block - mean
        total += centred.T @ centred
    return total / len(embeddings)


def _whitening(covariance: np.ndarray, kept: int) -> np.ndarray:
    """(d, k) axes by falling variance, each divided by its standard deviation."""
    variances, axes = np.linalg.eigh(covariance)  # ascending
    variances, axes = variances[::-1][:kept], axes[:, ::-1][:, :kept]
    useful = variances > _SMALLEST_VARIANCE * variances[0]
    variances, axes = variances[useful], axes[:, useful]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return axes * (np.sign(largest) / np.sqrt(variances))


def _unit_blocks(embeddings: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(start, block) over the rows at unit length, float64."""
    step = max(1, BLOCK_BYTES // (8 * embeddings.shape[1]))
    for start in range(0, len(embeddings), step):
        block = np.asarray(embeddings[start : start + step], dtype=np.float64)
        yield start, block / np.linalg.norm(block, axis=1, keepdims=True)
