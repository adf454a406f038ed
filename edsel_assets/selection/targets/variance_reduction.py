"""Picks that leave the least uncertainty about the target.

Directed: VTL (Hübotter et al. 2024, arXiv 2402.15898). Undirected: the trace criterion of Bayesian active
learning with a linear model, as in BAIT (Ash et al. 2021). Symbols: N prompts, d dimensions, A the points
whose variance counts, w_a their weights, k budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets.selection.core.ranking import Ranking

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Numbers, Rows

REFRESH = 256  # picks after which running sums are computed anew, so that rounding does not add up
_ROWS = 8192  # of the pool at a time


def variance_reduction(
    embeddings: Matrix,
    budget: int,
    *,
    queries: Matrix | None = None,
    demand: Numbers | None = None,
    noise: float = 0.01,
    selected: Rows = (),
    tie_break: Keys | None = None,
    device: str | torch.device = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Greedily lower the mean posterior variance of a linear model at the points that count.

    With k(x, y) = x.y on unit vectors and noise s^2, the next pick is
    argmax over x of sum_a w_a k_S(a, x)^2 / (k_S(x, x) + s^2), where k_S is the posterior covariance given
    all that is chosen, ``selected`` included (VTL, Eq. 6; weights sum to 1).

    Args:
        embeddings: (N, d) array or tensor of the pool.
        budget: prompts to choose, at most N less the selected.
        queries: (m, d) array or tensor: A, all alike. None: A is the pool itself.
        demand: (N,) weights at least 0 of the pool's prompts, where A is the pool; None: all alike.
        noise: s^2, over 0.
        selected: rows chosen already: never returned, and the posterior is given them.
        tie_break: (N,) unique keys; equal values go by the lower key. Row order without it.
        device: "auto", "cpu", "cuda" or another torch device.
        progress: called with (prompts chosen, budget).

    Returns:
        A nested ranking whose gains are how much each pick lowers the mean variance.
        ``objective`` is their sum; ``details`` has ``noise`` and ``variance``, what is left.

    Raises:
        ValueError: on bad embeddings, both queries and demand, noise, budget, rows or keys.

    The posterior is held as a (d, d) matrix: with u = Sigma x of the pick, k_S(x_i, x_i) falls by
    (x_i.u)^2 / c, c = x.u + s^2, and the numerators change by two more products with the pool. Time
    O(N d) a pick, two products of the pool with a vector; memory 8 N d bytes and O(d^2). All in float64, as
    what is left to lower soon lies under float32's rounding of what there was.
    """
    if not (np.isfinite(noise) and noise > 0):
        raise ValueError(f"noise must be a finite variance over 0; got {noise!r}. 0.01 is the default.")
    if queries is not None and demand is not None:
        raise ValueError("queries and demand both say what counts; pass one of them.")
    pool = as_embeddings(embeddings, device=device)
    chosen = checks.selected_rows(selected, pool.size)
    budget = checks.budget_within(budget, pool.size, len(chosen))
    priority = checks.tie_order(tie_break, pool.size)
    # In priority order: argmax takes the lower key, and rounding does not depend on the order of rows.
    order = np.argsort(priority, kind="stable")
    points = pool.rows(order).double()
    if queries is not None:
        asked = as_embeddings(queries, device=pool.device, name="queries")
        if asked.dim != pool.dim:
            raise ValueError(f"queries must have the pool's {pool.dim} dimensions; got {asked.dim}.")
        moment = _moment(asked.matrix().double(), np.ones(asked.size))
    else:
        weights = np.ones(pool.size) if demand is None else checks.at_least_zero("demand", demand, pool.size)
        if not weights.any():
            raise ValueError("demand must be over 0 for some prompt; all weights are 0. Leave demand out.")
        moment = _moment(points, weights[order])
    state = _Posterior(points, moment, noise, priority[chosen])
    before = state.variance
    picks, gains = [], []
    for _ in range(budget):
        row, gain = state.pick()
        picks.append(row)
        gains.append(gain)
        if progress is not None:
            progress(len(picks), budget)
    indices = order[np.asarray(picks, dtype=np.int64)]
    left = state.variance
    details: dict[str, object] = {"noise": noise, "variance": left, "variance_before": before}
    return Ranking(indices, np.asarray(gains, dtype=np.float64), before - left, details=details)


def _moment(points: torch.Tensor, weights: np.ndarray) -> torch.Tensor:
    """(d, d) float64 M = sum_a w_a a a^T over the (A, d) ``points``, weights scaled to sum 1."""
    import torch

    shares = torch.from_numpy(weights / math.fsum(weights)).to(points.device)
    total = torch.zeros((points.shape[1], points.shape[1]), dtype=torch.float64, device=points.device)
    for start in range(0, len(points), _ROWS):
        rows = points[start : start + _ROWS]
        total += rows.T @ (rows * shares[start : start + _ROWS, None])
    return total


class _Posterior:
    """The posterior of a linear model and what each candidate would lower; rows in priority order.

    Attributes:
        sigma: (d, d) float64 posterior covariance of the weights, the identity at first.
        own: (N,) float64 k_S(x, x); worth: (N,) float64 sum_a w_a k_S(a, x)^2.
    """

    def __init__(
        self, points: torch.Tensor, moment: torch.Tensor, noise: float, selected: np.ndarray
    ) -> None:
        import torch

        self.points, self.moment, self.noise = points, moment, noise
        self.precision = torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
        for start in range(0, len(selected), _ROWS):
            rows = points[torch.from_numpy(selected[start : start + _ROWS]).to(points.device)]
            self.precision += rows.T @ rows / noise
        self.taken = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        self.taken[torch.from_numpy(selected).to(points.device)] = True
        self.since = 0
        self.refresh()

    @property
    def variance(self) -> float:
        """The mean posterior variance of the points that count."""
        return float((self.sigma * self.moment).sum())

    def refresh(self) -> None:
        """Compute everything from the precision matrix."""
        import torch

        self.sigma = torch.linalg.inv(self.precision)
        folded = self.sigma @ self.moment @ self.sigma
        self.own = torch.empty(len(self.points), dtype=torch.float64, device=self.points.device)
        self.worth = torch.empty_like(self.own)
        for start in range(0, len(self.points), _ROWS):
            part = slice(start, start + _ROWS)
            rows = self.points[part]
            self.own[part] = ((rows @ self.sigma) * rows).sum(1)
            self.worth[part] = ((rows @ folded) * rows).sum(1)
        self.since = 0

    def pick(self) -> tuple[int, float]:
        """Take the best candidate: its row, and how much it lowers the mean variance."""
        import torch

        values = torch.where(self.taken, -torch.inf, self.worth / (self.own + self.noise))
        row = int(torch.argmax(values))
        gain = float(values[row])
        x = self.points[row]
        u = self.sigma @ x
        c = float(x @ u) + self.noise
        g = self.sigma @ (self.moment @ u)
        p, h = (self.points @ torch.stack([u, g], dim=1)).T
        self.own -= p**2 / c
        self.worth += -2 * p * h / c + p**2 * float(u @ (self.moment @ u)) / c**2
        self.own.clamp_(min=0)
        self.worth.clamp_(min=0)
        self.sigma -= torch.outer(u, u) / c
        self.precision += torch.outer(x, x) / self.noise
        self.taken[row] = True
        self.since += 1
        if self.since == REFRESH:
            self.refresh()
        return row, gain
