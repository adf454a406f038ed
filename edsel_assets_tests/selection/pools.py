"""Pools that the tests of selection share."""

import os
from pathlib import Path

import numpy as np
import pytest


def t0_embeddings(rows: int) -> np.ndarray:
    """(rows, 384) float16 embeddings of real prompts, evenly spread over the pool; skips without them."""
    root = Path(os.environ.get("EDSEL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    path = root / "t0_minilm_embeddings.npy"
    if not path.exists():
        pytest.skip(f"needs {path.name} in EDSEL_DATA ({root})")
    pool = np.load(path, mmap_mode="r")
    return np.array(pool[:: len(pool) // rows][:rows])


def labelled(rows: int, dim: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, dim) points around ``count`` centres, and which centre each is around."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(count, size=rows)
    return rng.normal(size=(count, dim))[labels] + rng.normal(size=(rows, dim)), labels
