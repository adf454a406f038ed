"""The RBF kernel width that follows the pool: what ``gamma="auto"`` stands for.

Symbols: N prompts, d dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Matrix

ROWS = 4096  # read at a time
DIGITS = 4  # that the width keeps: enough for a width, and the same in whatever order rows are summed
ALL_ALIKE = 1e-12  # of the mean squared norm: less than float32 rows can tell apart


def auto_gamma(
    embeddings: Matrix,
    *,
    normalise: bool = True,
    device: str | torch.device = "auto",
) -> float:
    """Kernel width by the pool's own scale: the mean squared distance of a row from the mean of all rows.

    That is half the mean squared distance between two rows, and the trace of their covariance. So two rows
    as far apart as usual have a weight of exp(-2) = 0.14: a pick counts for the whole pool, and most for
    what is near. It does not depend on the budget, so that one ranking serves all. Measured on eight pools
    in ``benchmarks/selection/width.md``.

    Args:
        embeddings: (N, d) array or tensor, as in :func:`facility_location`.
        normalise: scale rows to unit norm first. Of unit rows, the width is at most 1.
        device: "auto", "cpu", or another torch device.

    Returns:
        A width over 0, of four digits; 1.0 where all rows are alike, as any width chooses the same there.

    Raises:
        ValueError: on bad embeddings.

    Time O(N d), memory O(N + d) beside one block.
    """
    return scale_of(as_embeddings(embeddings, normalise=normalise, device=device))


def scale_of(pool: Embeddings) -> float:
    """:func:`auto_gamma` of checked embeddings."""
    import torch

    total = torch.zeros(pool.dim, dtype=torch.float64, device=pool.device)
    for _, _, block in pool.blocks(ROWS):
        total += block.sum(0, dtype=torch.float64)
    mean, spread, size = total / pool.size, 0.0, 0.0
    for _, _, block in pool.blocks(ROWS):
        rows = block.double()
        size += float(rows.square().sum())
        spread += float((rows - mean).square().sum())
    if not spread > ALL_ALIKE * size:
        return 1.0
    return float(f"{spread / pool.size:.{DIGITS}g}")
