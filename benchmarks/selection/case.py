"""What a benchmark case is, and the inputs that cases share."""

from __future__ import annotations

import os
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
            one N x N product for a method that reads all similarities.
        contenders: name to function of the input; the first is ours, that ratios are taken against.
            A contender imports its library inside, so that nobody pays for another's.
        higher_is_better: the direction of the objective.
        warm: name (also ``"floor"``) to a function called before the clock starts, to compile or
            import what a user pays for once.
        slow: left out unless asked for by name.
    """

    title: str
    load: Callable[[], Any]
    floor: Callable[[Any], Outcome]
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

    tensor = torch.from_numpy(points)
    out = torch.empty((1024, len(points)))
    for start in range(0, len(points), 1024):
        part = tensor[start : start + 1024]
        torch.mm(part, tensor.T, out=out[: len(part)])
    return {}
