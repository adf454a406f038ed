"""Random draws keyed by prompt.

A draw is a hash of the seed, what is drawn, and the prompt's key. So a prompt's draw depends neither on
the order of rows nor on which other prompts there are: a pool that grows keeps its draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core.inputs import read_vector

if TYPE_CHECKING:
    from edsel_assets.selection.core.inputs import Keys


def keys_of(tie_break: Keys | None, pool_size: int) -> np.ndarray:
    """(N,) keys of the draws: ``tie_break``, or the row numbers without it."""
    return np.arange(pool_size) if tie_break is None else read_vector("tie_break", tie_break)


def keyed_words(seed: int, keys: Iterable[object], stream: str = "") -> np.ndarray:
    """(N,) uint64 of random bits, each a function of (seed, stream, key) alone.

    Args:
        seed: of the draws.
        keys: (N,) prompt ids, or other keys whose text tells them apart.
        stream: what is drawn. Draws of different streams are independent, also for the same seed.

    Time O(N), under a microsecond a key.
    """
    start = hashlib.blake2b(f"{seed}/{stream}/".encode(), digest_size=8)
    digests = bytearray()
    for key in keys.tolist() if isinstance(keys, np.ndarray) else keys:
        one = start.copy()
        one.update(str(key).encode())
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def mixed(words: np.ndarray, number: int) -> np.ndarray:
    """(N,) uint64 of fresh random bits: the ``number``-th of a series per word (SplitMix64, Steele 2014)."""
    mix = words + np.uint64((number + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mix = (mix ^ (mix >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mix = (mix ^ (mix >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mix ^ (mix >> np.uint64(31))


def uniforms(words: np.ndarray) -> np.ndarray:
    """(N,) float64 in (0, 1) from random bits: multiples of 2^-52 and a half, all of them exact."""
    return ((words >> np.uint64(12)) + 0.5) / 2**52


def exponentials(words: np.ndarray) -> np.ndarray:
    """(N,) float64 exponential draws of mean 1 from random bits."""
    return -np.log(uniforms(words))


def keyed_uniforms(seed: int, keys: Iterable[object], stream: str = "") -> np.ndarray:
    """(N,) float64 draws in (0, 1), one per key; arguments as in :func:`keyed_words`."""
    return uniforms(keyed_words(seed, keys, stream))


def smallest(uniforms: np.ndarray, count: int) -> np.ndarray:
    """(count,) int64 rows of the smallest draws, rising: a uniform sample of the rows."""
    return np.sort(np.argsort(uniforms, kind="stable")[:count])
