"""Lloyd's iterations with exact bounds, and the swaps that lift them out of poor optima.

Symbols: N points, d dimensions, C clusters. Assumes valid input; rows are in tie order.
"""

from __future__ import annotations

import torch

from edsel_assets.selection.core.distances import pair_squares, product_error

BLOCK_ROWS = 1024  # of a product on the CPU: small enough to stay in cache
PRODUCT_BYTES = 256 << 20  # of the products held at a time on a GPU
BLOCK_BYTES = 64 << 20  # of the float64 rows held at a time there
FULL_PASS = 0.7  # of the rows undecided: from there on a pass over all of them is no slower


class Lloyd:
    """The state of one k-means run.

    Attributes:
        centroids: (C, d) float32.
        labels: (N,) int64, the nearest centroid as of the last :meth:`assign`.
        nearest, second: (N,) float32 squared distances to the two nearest; exact up to
            ``error`` for the rows that the last assign looked at.
    """

    def __init__(self, points: torch.Tensor, centroids: torch.Tensor) -> None:
        size, device = len(points), points.device
        self.points = points
        self.norms = torch.linalg.vector_norm(points, dim=1).square_()
        self.error = product_error(points)
        self.centroids = centroids
        self.labels = torch.full((size,), -1, dtype=torch.int64, device=device)
        self.nearest = torch.zeros(size, device=device)
        self.second = torch.zeros(size, device=device)
        # Hamerly (2010): distance to the own centroid at most, to any other at least.
        self.upper = torch.full((size,), torch.inf, dtype=torch.float64, device=device)
        self.lower = torch.zeros(size, dtype=torch.float64, device=device)
        self.sums = torch.zeros(centroids.shape, dtype=torch.float64, device=device)
        self.sizes = torch.zeros(len(centroids), dtype=torch.int64, device=device)

    @property
    def inertia(self) -> float:
        return float(self.nearest.sum(dtype=torch.float64))

    def assign(self, *, everything: bool = False) -> int:
        """Label every point by its nearest centroid (the first of equals); how many labels changed."""
        undecided = torch.nonzero(self.upper >= self.lower).flatten()
        if everything or len(undecided) > FULL_PASS * len(self.points):
            undecided = torch.arange(len(self.points), device=self.points.device)
        before = self.labels[undecided]
        if len(undecided):
            label = self._label_compiled if self.points.device.type == "cpu" else self._label
            label(undecided)
        self.upper[undecided] = (self.nearest[undecided].double() + self.error).sqrt_()
        self.lower[undecided] = (self.second[undecided].double() - self.error).clamp_(min=0).sqrt_()
        moved = before != self.labels[undecided]
        self._transfer(undecided[moved], before[moved])
        return int(moved.sum()) + self._fill_empty()

    def _label_compiled(self, undecided: torch.Tensor) -> None:
        from edsel_assets.selection.core import distance_kernels
        from edsel_assets.selection.core.threads import Scratch, in_threads

        scratch = Scratch()
        centroids, norms = self.centroids, self.centroids.square().sum(1).numpy()
        step = max(1, min(BLOCK_ROWS, scratch.scores.numel() // len(norms)))

        def block(start: int) -> None:
            rows = undecided[start : start + step]
            products = scratch.product(self._rows(rows), centroids)
            distance_kernels.two_nearest(
                products, rows.numpy(), self.points.numpy(), centroids.numpy(), self.norms.numpy(), norms,
                self.error, self.labels.numpy(), self.nearest.numpy(), self.second.numpy(),
            )  # fmt: skip

        in_threads(block, range(0, len(undecided), step))

    def _rows(self, rows: torch.Tensor) -> torch.Tensor:
        """points[rows], without a copy where the rows lie side by side."""
        first, last = int(rows[0]), int(rows[-1])
        return self.points[first : last + 1] if last - first == len(rows) - 1 else self.points[rows]

    def _label(self, undecided: torch.Tensor) -> None:
        norms = self.centroids.square().sum(1)
        for rows in undecided.split(max(1, PRODUCT_BYTES // (4 * len(norms)))):
            partial = torch.addmm(norms, self._rows(rows), self.centroids.T, alpha=-2.0)  # (rows, C)
            best, labels = partial.min(1)
            second = partial.scatter(1, labels[:, None], torch.inf).amin(1)
            close = torch.nonzero(second - best <= 2 * self.error).flatten()
            if len(close):
                labels[close] = self._settle(rows[close], partial[close], best[close])
            self.labels[rows] = labels
            self.nearest[rows] = (best + self.norms[rows]).clamp_(min=0)
            self.second[rows] = (second + self.norms[rows]).clamp_(min=0)

    def _settle(self, rows: torch.Tensor, partial: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        """The nearest centroid of ``rows`` among those that float32 cannot tell apart."""
        row, column = torch.nonzero(partial <= (best + 2 * self.error)[:, None], as_tuple=True)
        squares = pair_squares(self.points, rows[row], self.centroids, column)
        least = torch.full((len(rows),), torch.inf, dtype=torch.float64, device=rows.device)
        least.scatter_reduce_(0, row, squares, "amin")
        column = torch.where(squares == least[row], column, len(self.centroids))
        return torch.full_like(rows, len(self.centroids)).scatter_reduce_(0, row, column, "amin")

    def _transfer(self, rows: torch.Tensor, before: torch.Tensor) -> None:
        """Move ``rows`` from clusters ``before`` (-1: none) to their labels in the running sums."""
        count = len(self.sizes)
        sums, sizes = cluster_sums(self.points, rows, self.labels[rows], count)
        known = before >= 0
        lost_sums, lost_sizes = cluster_sums(self.points, rows[known], before[known], count)
        self.sums += sums - lost_sums
        self.sizes += sizes - lost_sizes

    def _fill_empty(self) -> int:
        """Give each empty cluster the point farthest from its centroid that has company there."""
        empty = torch.nonzero(self.sizes == 0).flatten().tolist()
        if not empty:
            return 0
        everyone = torch.arange(len(self.points), device=self.points.device)
        squares = pair_squares(self.points, everyone, self.centroids, self.labels)
        sizes = self.sizes.tolist()
        chosen: list[int] = []
        for point in torch.argsort(squares, descending=True, stable=True).tolist():
            if len(chosen) == len(empty) or squares[point] == 0:
                break
            if sizes[self.labels[point]] > 1:
                sizes[self.labels[point]] -= 1
                chosen.append(point)
        if len(chosen) < len(empty):
            raise ValueError(
                f"clusters must not exceed the {len(sizes) - len(empty) + len(chosen)} distinct embeddings; "
                f"got {len(sizes)}. Ask for fewer."
            )
        rows = torch.tensor(chosen, device=self.points.device)
        before = self.labels[rows]
        self.labels[rows] = torch.tensor(empty, device=self.points.device)
        self._transfer(rows, before)
        self.upper[rows] = torch.inf  # for the next assign to look at
        return len(chosen)

    def update(self) -> None:
        """Move the centroids to the means of their clusters."""
        self.move((self.sums / self.sizes[:, None]).float())

    def move(self, centroids: torch.Tensor) -> None:
        """Replace the centroids; the bounds follow by the triangle inequality."""
        shift = torch.linalg.vector_norm(centroids - self.centroids, dim=1, dtype=torch.float64)
        shift *= 1 + 1e-6  # of a float32 difference
        self.centroids = centroids
        self.upper += shift[self.labels]
        self.lower -= shift.max()


def cluster_sums(
    points: torch.Tensor, rows: torch.Tensor, labels: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(C, d) float64 sums and (C,) sizes of ``points[rows]`` by their ``labels``."""
    sums = torch.zeros((count, points.shape[1]), dtype=torch.float64, device=points.device)
    if points.device.type == "cpu":
        from edsel_assets.selection.core import distance_kernels

        distance_kernels.add_rows(points.numpy(), rows.numpy(), labels.numpy(), sums.numpy())
        return sums, torch.bincount(labels, minlength=count)
    # Sorted segments instead of scattered additions, which a GPU sums in any order.
    order = torch.argsort(labels, stable=True)
    step = max(1, BLOCK_BYTES // (8 * points.shape[1]))
    for start in range(0, len(rows), step):
        part = order[start : start + step]
        present, lengths = torch.unique_consecutive(labels[part], return_counts=True)
        block = points[rows[part]].double()
        sums[present] += torch.segment_reduce(block, "sum", lengths=lengths, initial=0)
    return sums, torch.bincount(labels, minlength=count)
