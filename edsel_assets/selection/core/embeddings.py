"""Embeddings as every strategy reads them: validated once, then in float32 blocks.

Accepts float16, float32 and float64 arrays (memory-mapped ones are never copied whole) and
float16, bfloat16, float32 and float64 tensors on any device. Symbols: N rows, d dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edsel_assets.selection.core.inputs import read_matrix

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Matrix

BLOCK_BYTES = 64 << 20  # float32 bytes of a block of the validating pass: small against any pool
SMALLEST_NORM = 1e-30  # below it a float32 row has no usable direction


@dataclass(frozen=True)
class Embeddings:
    """A validated pool of embeddings.

    Attributes:
        raw: (N, d) the array or tensor as given, of any accepted dtype, where it was.
        scale: (N,) float32 on ``device``, what each row is multiplied by: 1 / norm, or ones.
        device: where blocks are delivered.
        normalised: whether rows are scaled to unit L2 norm.
    """

    raw: Any
    scale: torch.Tensor
    device: torch.device
    normalised: bool

    @property
    def size(self) -> int:
        return int(self.raw.shape[0])

    @property
    def dim(self) -> int:
        return int(self.raw.shape[1])

    def block(self, start: int, stop: int) -> torch.Tensor:
        """Rows ``start`` to ``stop`` as a contiguous (rows, d) float32 tensor on ``device``."""
        return self._scaled(_float32(self.raw[start:stop], self.device), self.scale[start:stop])

    def rows(self, indices: np.ndarray) -> torch.Tensor:
        """The rows at ``indices`` ((r,) int64, any order) as (r, d) float32 on ``device``."""
        import torch

        where = torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int64))
        if isinstance(self.raw, torch.Tensor):
            taken = self.raw[where.to(self.raw.device)]
        else:
            taken = self.raw[indices]
        return self._scaled(_float32(taken, self.device), self.scale[where.to(self.device)])

    def blocks(self, rows: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        """(start, stop, block) over the whole pool, ``rows`` at a time."""
        for start in range(0, self.size, rows):
            stop = min(start + rows, self.size)
            yield start, stop, self.block(start, stop)

    def matrix(self) -> torch.Tensor:
        """All rows as one (N, d) float32 tensor on ``device``: 4 N d bytes. Not to be written to."""
        import torch

        if isinstance(self.raw, torch.Tensor) and not self.normalised and self.raw.dtype == torch.float32:
            return self.raw.to(self.device).contiguous()
        whole = torch.empty((self.size, self.dim), dtype=torch.float32, device=self.device)
        for start, stop, block in self.blocks(_block_rows(self.dim)):
            whole[start:stop] = block
        return whole

    def _scaled(self, block: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return block * scale[:, None] if self.normalised else block


def as_embeddings(
    embeddings: Matrix,
    *,
    normalise: bool = True,
    device: str | torch.device = "auto",
    name: str = "embeddings",
) -> Embeddings:
    """``embeddings`` checked in one pass over its rows and wrapped for float32 access.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16 (tensors), float32 or float64; or a table, a
            column or a list of rows, which are copied once (see ``core.inputs``).
        normalise: deliver rows of unit L2 norm (within float32 rounding). The norm is taken in float64.
        device: where blocks are delivered; ``"auto"`` is the tensor's own GPU, else a GPU
            where there is one, else the CPU.
        name: what errors call the argument.

    Raises:
        ValueError: on a wrong shape or dtype; on rows with NaN, with infinity or beyond the
            float32 range; on zero rows where ``normalise`` is set; on a GPU with TF32 switched on.

    Time O(N d), memory O(N) beside one block.
    """
    import torch

    raw = read_matrix(name, embeddings)
    if raw.ndim != 2 or 0 in raw.shape:
        raise ValueError(f"{name} must have shape (N, d) with N and d at least 1; got {tuple(raw.shape)}.")
    floats = {"float16", "bfloat16", "float32", "float64"}
    dtype = str(raw.dtype).removeprefix("torch.")
    if dtype not in floats:
        raise ValueError(
            f"{name} must hold floats, one of {sorted(floats)}; got dtype {dtype}. Convert them, such as by "
            f"{name}.astype('float32')."
        )
    if isinstance(raw, torch.Tensor):
        raw = raw.detach()
    place = _place(raw, device)
    _check_products(place)
    return Embeddings(raw, _scales(raw, normalise, place, name), place, normalise)


def _scales(raw: Any, normalise: bool, place: torch.device, name: str) -> torch.Tensor:
    """(N,) float32 row factors on ``place``; raises on rows that cannot be used."""
    import torch

    size, dim = raw.shape
    scale = torch.ones(size, dtype=torch.float32, device=place)
    broken: list[int] = []
    zero: list[int] = []
    step = _block_rows(dim)
    for start in range(0, size, step):
        block = _float32(raw[start : start + step], place)
        norms = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64)  # NaN or inf where a value is
        broken += (start + torch.nonzero(~torch.isfinite(norms)).flatten()).tolist()
        if normalise:
            zero += (start + torch.nonzero(norms < SMALLEST_NORM).flatten()).tolist()
            scale[start : start + step] = (1 / norms).to(torch.float32)
    if broken:
        raise ValueError(
            f"{name} must be finite in float32; rows {broken[:5]} are not ({len(broken)} in all). "
            "Drop or repair those prompts."
        )
    if zero:
        raise ValueError(
            f"{name} must not hold zero vectors, which have no direction; rows {zero[:5]} are zero "
            f"({len(zero)} in all). Drop those prompts, or do not normalise where the strategy allows it."
        )
    return scale


def _place(embeddings: Any, device: str | torch.device) -> torch.device:
    import torch

    if str(device) != "auto":
        try:
            place = torch.device(device)
        except RuntimeError as error:
            raise ValueError(f"device must be 'auto' or a torch device; got {device!r}.") from error
        if place.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device must exist; got {device!r} and torch sees no GPU. Use 'auto' or 'cpu'.")
        return place
    if isinstance(embeddings, torch.Tensor) and embeddings.device.type != "cpu":
        return embeddings.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _check_products(place: torch.device) -> None:
    """Every strategy decides by float32 products, or rules out by their proven error."""
    import torch

    if place.type == "cuda" and torch.backends.cuda.matmul.fp32_precision == "tf32":
        raise ValueError(
            "float32 products on a GPU must be float32; TF32 is switched on, which keeps 10 bits. "
            "Call torch.set_float32_matmul_precision('highest')."
        )


def _float32(block: Any, place: torch.device) -> torch.Tensor:
    """A block of the raw array as contiguous float32 on ``place``; values out of range become infinite."""
    import torch

    if not isinstance(block, torch.Tensor):
        with np.errstate(over="ignore"):
            # A copy: the source may be read-only (memory-mapped), which tensors cannot express.
            block = torch.from_numpy(np.array(block, dtype=np.float32, order="C"))
    return block.to(place, torch.float32).contiguous()


def _block_rows(dim: int) -> int:
    return max(1, BLOCK_BYTES // (4 * dim))
