"""What a benchmark case is, and the inputs that cases share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Outcome = dict[str, Any]  # plain JSON values; "objective" is what the table shows


@dataclass(frozen=True)
class Case:
    """One input and every contender that runs on it, each in a process of its own.

    Attributes:
        title: what the table calls it.
        load: makes the input; called in each contender's process, outside the timing.
        floor: the least work that any contender must do, run as a contender of its own:
            one N x N product for a method that reads all similarities. None where that is minutes.
        contenders: name to function of the input; the first is ours, that ratios are taken against.
            A contender imports its library inside, so that nobody pays for another's.
        higher_is_better: the direction of the objective.
        warm: name (also ``"floor"``) to a function called before the clock starts, to compile or
            import what a user pays for once.
        slow: left out unless asked for by name.
    """

    title: str
    load: Callable[[], Any]
    floor: Callable[[Any], Outcome] | None
    contenders: dict[str, Callable[[Any], Outcome]]
    higher_is_better: bool = True
    warm: dict[str, Callable[[], None]] = field(default_factory=dict)
    slow: bool = False


def t0_embeddings(rows: int | None = None) -> np.ndarray:
    """(N, 384) float32 unit embeddings of the T0 pool, the first ``rows`` in a seeded order."""
    root = Path(os.environ.get("EDSEL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    raw = np.load(root / "t0_minilm_embeddings.npy").astype(np.float32)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    if rows is None:
        return raw
    return np.ascontiguousarray(raw[np.random.default_rng(0).permutation(len(raw))[:rows]])


def one_product(points: np.ndarray) -> Outcome:
    """The floor of a method that reads all similarities: one N x N float32 product, in blocks."""
    import torch

    tensor = torch.from_numpy(np.array(points, dtype=np.float32))
    out = torch.empty((1024, len(points)))
    for start in range(0, len(points), 1024):
        part = tensor[start : start + 1024]
        torch.mm(part, tensor.T, out=out[: len(part)])
    return {}


def clustered_pool(rows: int, dim: int) -> np.ndarray:
    """(rows, dim) float16 unit embeddings in 1,000 clusters of many widths, memory-mapped; seeded."""
    path = Path(tempfile.gettempdir()) / f"edsel_benchmark_{rows}x{dim}.npy"
    if not path.exists():
        draws = np.random.default_rng(7)
        part = path.with_suffix(".part.npy")
        pool = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(rows, dim))
        centres = draws.standard_normal((1000, dim), dtype=np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        widths = np.exp(draws.uniform(np.log(0.02), np.log(0.6), 1000)).astype(np.float32)
        labels = draws.integers(0, 1000, rows)
        for start in range(0, rows, 3000):
            of = labels[start : start + 3000]
            noise = draws.standard_normal((len(of), dim), dtype=np.float32) / np.float32(dim**0.5)
            block = centres[of] + widths[of, None] * noise
            pool[start : start + 3000] = block / np.linalg.norm(block, axis=1, keepdims=True)
        pool.flush()
        part.rename(path)
    return np.load(path, mmap_mode="r")
