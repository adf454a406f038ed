"""k-center selection by farthest-first traversal (Bhatt et al. 2024, Eq. 2).

Symbols: N prompts, d dimensions, k budget, r the covering radius max_i min_{j in S} ||x_i - x_j||.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets.selection.core.ranking import Ranking

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Rows

CANDIDATES = 512  # farthest prompts that one round looks at; more does not lower the work per pick
BLOCK_ROWS = 2048  # of a product on the CPU: small enough to stay in cache
PRODUCT_BYTES = 256 << 20  # of the products held at a time on a GPU
MEAN_BYTES = 32 << 20  # of the float64 differences from the mean held at a time


def k_center(
    embeddings: Matrix,
    budget: int,
    *,
    selected: Rows = (),
    tie_break: Keys | None = None,
    seed_point: Literal["medoid", "random"] = "medoid",
    seed: int = 0,
    normalise: bool = True,
    device: str | torch.device = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Repeatedly the prompt farthest from all chosen so far: within twice the best radius.

    Exact: the picks are those of a plain loop over float64 distances between the float32 rows.
    Float32 matrix products only rule out; whatever they leave undecided within their proven
    rounding error is computed again in float64 by differences. Equal distances go by
    ``tie_break``, so neither row order nor hardware changes the ranking.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        budget: centres to choose, at most N less the selected.
        selected: rows that are centres already; never returned.
        tie_break: (N,) unique keys; equal distances go by the lower key. Row order without it.
        seed_point: the first centre where ``selected`` is empty: the prompt nearest the mean, or
            one drawn by ``seed`` and keyed by ``tie_break``.
        normalise: scale rows to unit L2 norm first.
        device: "auto", "cpu", "cuda" or another torch device.
        progress: called with (centres chosen, budget) after every round.

    Returns:
        A ranking. ``gains[i]`` is the distance of pick i to the centres before it, non-increasing;
        a first centre has none before it and carries the radius that it leaves. k-center is a
        minimisation, so ``objective`` is minus the final radius, and ``upper_bound`` is minus
        half of it: k + 1 prompts lie at least r apart, two of them share any k centres' nearest,
        so no choice has a radius below r / 2. ``details``: ``radius``, ``radius_lower_bound``
        and ``seed_point`` (the first centre's row, or None).

    Raises:
        ValueError: on embeddings, budget, rows or keys that break the rules above.

    Time O(k N d) flops in matrix products, memory O(N d).
    """
    if seed_point not in ("medoid", "random"):
        raise ValueError(f"seed_point must be 'medoid' or 'random'; got {seed_point!r}.")
    pool = as_embeddings(embeddings, normalise=normalise, device=device)
    chosen = checks.selected_rows(selected, pool.size)
    budget = checks.budget_within(budget, pool.size, len(chosen))
    priority = checks.tie_order(tie_break, pool.size)
    if budget == 0:
        return Ranking(np.empty(0, dtype=np.int64), np.empty(0))
    # Everything below runs in tie order, where "first" settles every tie.
    order = np.argsort(priority)
    points = pool.matrix() if tie_break is None else pool.rows(order)
    cover = _Cover(points)
    cover.add(np.sort(priority[chosen]))
    picks: list[int] = []
    gains: list[float] = []
    if not len(chosen):
        picks.append(_first_centre(points, draws.keys_of(tie_break, pool.size)[order], seed_point, seed))
        cover.add(np.array(picks))
        gains.append(cover.radius())
    start = list(picks)
    while len(picks) < budget:
        batch, distances = cover.next_centres(budget - len(picks))
        picks += batch.tolist()
        gains += distances.tolist()
        cover.add(batch)
        if progress is not None:
            progress(len(picks), budget)
    radius = cover.radius()
    return Ranking(
        order[np.array(picks)],
        np.array(gains),
        objective=-radius,
        upper_bound=-radius / 2,
        details={
            "radius": radius,
            "radius_lower_bound": radius / 2,
            "seed_point": int(order[start[0]]) if start else None,
        },
    )


def _first_centre(points: torch.Tensor, keys: np.ndarray, seed_point: str, seed: int) -> int:
    if seed_point == "random":
        return int(draws.keyed_uniforms(seed, keys, "first centre").argmin())
    import torch

    mean = torch.zeros(points.shape[1], dtype=torch.float64, device=points.device)
    step = max(1, MEAN_BYTES // (8 * points.shape[1]))
    for block in points.split(step):
        mean += block.sum(0, dtype=torch.float64)
    mean /= len(points)
    far = torch.cat([(block - mean).square_().sum(1) for block in points.split(step)])
    return int(far.argmin())


class _Cover:
    """Squared distance of every point to its nearest centre, in float64, as centres are added."""

    def __init__(self, points: torch.Tensor) -> None:
        import torch

        from edsel_assets.selection.core.distances import product_error

        self.points = points  # (N, d) float32
        self.norms = torch.linalg.vector_norm(points, dim=1).square_()  # (N,) float32
        self.nearest = torch.full((len(points),), torch.inf, dtype=torch.float64, device=points.device)
        self.is_centre = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        self.error = product_error(points)

    def radius(self) -> float:
        return float(self.nearest.max().sqrt())

    def add(self, centres: np.ndarray) -> None:
        """Make ``centres`` ((c,) positions) centres and bring the distances up to date."""
        import torch

        lower = self._lower_compiled if self.points.device.type == "cpu" else self._lower
        for index in torch.from_numpy(centres).to(self.points.device).split(CANDIDATES):
            if len(index):
                lower(index)
                self.nearest[index] = 0.0
                self.is_centre[index] = True

    def _lower_compiled(self, centres: torch.Tensor) -> None:
        from edsel_assets.selection.core import distance_kernels
        from edsel_assets.selection.core.threads import Scratch, in_threads

        scratch = Scratch()
        centre_points, centre_norms = self.points[centres], self.norms[centres].numpy()

        def block(start: int) -> None:
            products = scratch.product(self.points[start : start + BLOCK_ROWS], centre_points)
            distance_kernels.lower(
                products, start, self.points.numpy(), centre_points.numpy(), self.norms.numpy(), centre_norms,
                self.error, self.nearest.numpy(),
            )  # fmt: skip

        in_threads(block, range(0, len(self.points), BLOCK_ROWS))

    def _lower(self, centres: torch.Tensor) -> None:
        import torch

        from edsel_assets.selection.core.distances import pair_squares

        for start in range(0, len(self.points), max(1, PRODUCT_BYTES // (4 * CANDIDATES))):
            block = slice(start, start + max(1, PRODUCT_BYTES // (4 * CANDIDATES)))
            # |x|^2 is left out: it is the same for all centres of a row.
            partial = torch.addmm(self.norms[centres], self.points[block], self.points[centres].T, alpha=-2.0)
            best = partial.amin(1)  # (rows,)
            reach = best + self.norms[block] <= self.nearest[block] + self.error
            hit = torch.nonzero(reach & (self.nearest[block] > 0)).flatten()
            if len(hit):
                near = partial[hit] <= (best[hit] + 2 * self.error)[:, None]
                row, column = torch.nonzero(near, as_tuple=True)
                row = hit[row] + start
                exact = pair_squares(self.points, row, self.points, centres[column])
                self.nearest.scatter_reduce_(0, row, exact, "amin")

    def next_centres(self, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Up to ``limit`` next centres of the traversal, with their distances, in order.

        Plays the traversal among the farthest candidates, where each pick can only bring
        others nearer, and stops where a point outside could be the farthest.
        """
        import torch

        left = torch.where(self.is_centre, -1.0, self.nearest)
        ranked = left.sort(descending=True, stable=True)  # stable: the first of equals comes first
        candidates = ranked.indices[:CANDIDATES]
        candidates = candidates[: int((ranked.values[:CANDIDATES] >= 0).sum())].sort().values
        rest = ranked.indices[len(candidates) : len(candidates) + 1]
        floor, outside = (float(left[rest]), int(rest)) if len(rest) else (-1.0, len(left))
        far = left[candidates].cpu().numpy()
        points = self.points[candidates].cpu().numpy()
        picks = _play(points, far, candidates.cpu().numpy(), floor, outside, self.error, limit)
        return candidates.cpu().numpy()[picks[0]], np.sqrt(picks[1])


def _play(
    points: np.ndarray,
    far: np.ndarray,
    position: np.ndarray,
    floor: float,
    outside: int,
    error: float,
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Farthest-first among candidates (in tie order) until (floor, outside) would come first."""
    norms = np.einsum("ij,ij->i", points, points)
    apart = norms[:, None] + norms - 2 * (points @ points.T)  # float32, for ruling out only
    picks: list[int] = []
    gains: list[float] = []
    while len(picks) < min(limit, len(points)):
        top = int(far.argmax())
        if far[top] < floor or (far[top] == floor and position[top] > outside):
            break
        picks.append(top)
        gains.append(far[top])
        near = np.flatnonzero(apart[top] <= far + error)
        exact = np.square(points[near].astype(np.float64) - points[top]).sum(1)
        far[near] = np.minimum(far[near], exact)
        far[top] = -1.0
    return np.array(picks, dtype=np.int64), np.array(gains)
