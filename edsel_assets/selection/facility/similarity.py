"""The similarity w_ij of facility location, in blocks and in fixed point.

Symbols: N prompts, d dimensions; a_ij = y_i . y_j - h_i - h_j is the *affinity*, of which the
weight w_ij in [0, 1] is a rising function: exp(a) for the RBF kernel (y = x sqrt(2 / gamma),
h = |y|^2 / 2, so that a = -|x_i - x_j|^2 / gamma) and max(0, a) for cosine (y = x / |x|, h = 0).

Weights are whole multiples of 1 / UNIT, demand weights of 1 / DEMAND_UNIT. Sums of gains over them are
exact integers: they do not depend on the order of summation, hence not on row order, batch size or thread
count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from edsel_assets.selection.core.embeddings import Embeddings

UNIT = 1 << 20  # fixed-point one: a weight is known to about 1e-6, all that float32 products can tell
DEMAND_UNIT = 1 << 12  # fixed-point one of demand weights, whose mean is 1
LOWEST = math.log(0.5 / UNIT)  # affinity under which an RBF weight rounds to zero
SHARP_ABOVE = 50.0  # h over which float32 products are too coarse: a is off by about 2e-7 h
PAIR_BYTES = 256 << 20  # float64 working memory of exact pair distances


@dataclass(frozen=True)
class Kernel:
    """A pool ready for block products.

    Attributes:
        name: ``"rbf"`` or ``"cosine"``.
        points: (N, d) float32, y above.
        halves: (N,) float32, h above.
        sharp: recompute the affinity of near pairs in float64, where float32 products would blur them.
        demand: (N,) int64, what covering each point counts; its weight in units of 1 / ``demand_unit``.
        demand_unit: 1 where all points count alike.
    """

    name: str
    points: torch.Tensor
    halves: torch.Tensor
    sharp: bool
    demand: torch.Tensor
    demand_unit: int = 1

    @property
    def unit(self) -> int:
        """One in the fixed point of gains."""
        return UNIT * self.demand_unit

    @property
    def size(self) -> int:
        return int(self.points.shape[0])

    @property
    def mass(self) -> float:
        """The sum of the demand weights: N where all count alike."""
        return float(self.demand.sum()) / self.demand_unit

    @property
    def error(self) -> float:
        """A rigorous bound on the float32 error of a_ij (gamma_d = d u / (1 - d u), Higham 2002, 3.5)."""
        unit = (self.points.shape[1] + 4) * 2.0**-24
        scale = float(self.halves.max()) if self.name == "rbf" else 0.5
        return 2 * scale * unit / (1 - unit)

    @property
    def slack(self) -> float:
        """What thresholds on a_ij are lowered by, so that rounding drops no pair.

        Near pairs of a sharp kernel are recomputed, so all that may be one are kept; else twenty
        times the usual error is enough, as a pair at a threshold has next to no gain.
        """
        if self.sharp:
            return self.error
        return 4e-6 * (float(self.halves.max()) if self.name == "rbf" else 0.5)

    def affinity(self, rows: torch.Tensor | slice, columns: slice = slice(None)) -> torch.Tensor:
        """(rows, columns) float32 block of a_ij."""
        block = torch.addmm(-self.halves[columns], self.points[rows], self.points[columns].T)
        return block.sub_(self.halves[rows, None])

    def weights(self, rows: torch.Tensor, columns: slice = slice(None)) -> torch.Tensor:
        """(rows, columns) int32 block of w_ij in units of 1 / UNIT; ``rows`` are int64 indices."""
        block = self.affinity(rows, columns)
        if self.sharp:
            self._sharpen(block, rows, columns)
        fixed = self.fixed_point(block)
        start, stop, _ = columns.indices(self.size)
        own = torch.nonzero((rows >= start) & (rows < stop)).flatten()
        fixed[own, rows[own] - start] = UNIT  # w_ii = 1 whatever the product rounds to
        return fixed

    def fixed_point(self, affinity: torch.Tensor) -> torch.Tensor:
        """int32 weights of a float block of affinities, which is overwritten."""
        weight = affinity.exp_() if self.name == "rbf" else affinity
        return weight.clamp_(0.0, 1.0).mul_(UNIT).round_().to(torch.int32)

    def threshold(self, weights: np.ndarray) -> np.ndarray:
        """float32 affinities certainly under those of the fixed-point ``weights``."""
        if self.name == "rbf":
            floor = np.log(np.maximum(weights, 0.5) / UNIT)
        else:
            floor = np.asarray(weights, dtype=np.float64) / UNIT
        return (floor - self.slack).astype(np.float32)

    def exact_weights(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """(p,) float64 weights of the pairs (first[p], second[p]), free of rounding to units."""
        if self.name == "rbf":
            return self.pair_affinity(first, second).exp()
        result = torch.empty(len(first), dtype=torch.float64, device=self.points.device)
        step = max(1, PAIR_BYTES // (8 * self.points.shape[1]))
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            dots = self.points[first[part]].double() * self.points[second[part]].double()
            result[part] = dots.sum(1).clamp_(0.0, 1.0)
        return result

    def pair_affinity(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """(p,) float64 a_ij of the pairs (first[p], second[p]), by differences: exact to float64."""
        result = torch.empty(len(first), dtype=torch.float64, device=self.points.device)
        step = max(1, PAIR_BYTES // (8 * self.points.shape[1]))
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            gap = self.points[first[part]].double() - self.points[second[part]].double()
            result[part] = gap.square_().sum(1).mul_(-0.5)
        return result

    def _sharpen(self, block: torch.Tensor, rows: torch.Tensor, columns: slice) -> None:
        start, _, _ = columns.indices(self.size)
        near = torch.nonzero(block > LOWEST - self.slack)
        exact = self.pair_affinity(rows[near[:, 0]], near[:, 1] + start)
        block[near[:, 0], near[:, 1]] = exact.to(torch.float32)


def make_kernel(
    embeddings: Embeddings,
    name: str,
    gamma: float,
    order: np.ndarray | None,
    demand: np.ndarray | None = None,
) -> Kernel:
    """The kernel over the pool with its rows in ``order``, (N,) int64 (as given where None).

    Args:
        demand: (N,) int64 by row, in units of 1 / DEMAND_UNIT; None counts every point alike.
    """
    points = _matrix(embeddings, order)
    if demand is None:
        counts, unit = torch.ones(len(points), dtype=torch.int64, device=points.device), 1
    else:
        units = demand if order is None else demand[order]
        counts, unit = torch.from_numpy(units).to(points.device), DEMAND_UNIT
    if name == "cosine":
        none = torch.zeros(len(points), device=points.device)
        return Kernel(name, points, none, sharp=False, demand=counts, demand_unit=unit)
    # Distances are unchanged by a shift, and products are most exact around the mean: unit rows in a narrow
    # cone, too, are far from 0 and near each other.
    points -= _mean(points)
    points *= math.sqrt(2.0 / gamma)
    halves = torch.empty(len(points), dtype=torch.float32, device=points.device)
    for start in range(0, len(points), 4096):
        part = slice(start, start + 4096)
        halves[part] = points[part].double().square_().sum(1).mul_(0.5).to(torch.float32)
    largest = float(halves.max())
    if not largest < 1e12:
        raise ValueError(
            f"gamma must not be so small that squared distances over it pass 1e12; got {gamma} with a "
            f"largest squared norm of {largest * gamma:.3g}. Raise gamma or normalise the embeddings."
        )
    return Kernel(name, points, halves, sharp=largest > SHARP_ABOVE, demand=counts, demand_unit=unit)


def _mean(points: torch.Tensor) -> torch.Tensor:
    """(d,) float32 mean of the rows, summed in float64, block by block."""
    total = torch.zeros(points.shape[1], dtype=torch.float64, device=points.device)
    for part in points.split(4096):
        total += part.sum(0, dtype=torch.float64)
    return (total / len(points)).to(torch.float32)


def _matrix(embeddings: Embeddings, order: np.ndarray | None) -> torch.Tensor:
    """A (N, d) float32 copy with rows in ``order``, filled in blocks so that only one copy is ever held."""
    points = torch.empty((embeddings.size, embeddings.dim), dtype=torch.float32, device=embeddings.device)
    for start in range(0, embeddings.size, 4096):
        stop = min(start + 4096, embeddings.size)
        rows = embeddings.block(start, stop) if order is None else embeddings.rows(order[start:stop])
        points[start:stop] = rows
    return points
