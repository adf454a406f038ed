"""How a model is read; :mod:`.comparison` finds it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

DECODE_MULTIPLE = 4
"""A decode batch's cache holds this many times the tokens of a reading batch, or more within SMALL_CACHE."""

SMALL_CACHE = 96 << 20
"""Bytes of keys and values that any decode batch may hold: small models decode many rows in few steps."""


@dataclass(frozen=True)
class Way:
    """How a model is read.

    Attributes:
        longest: tokens of a text that may stand beside others in a batch; longer ones are read alone.
        cached: whether keys and values are kept while an answer is decoded; else all is read again.
        cache_bytes: that the keys and values of one token take.
        branched: whether texts that begin alike may share one row.
        said: what is not as usual, and why; None where nothing is.
    """

    longest: int = sys.maxsize
    cached: bool = True
    cache_bytes: int = 1
    branched: bool = True
    said: str | None = None

    def keeps(self, length: int, steps: int) -> bool:
        """Whether a batch whose longest prompt has ``length`` tokens is decoded with a cache."""
        return self.cached and not length <= self.longest < length + steps

    def fitting(self, tokens: int, free: int) -> tuple[int, int]:
        """Tokens read at once, at most ``tokens``, and how many times as many a decode batch holds.

        Args:
            free: bytes on the device. The cache may have half of them, as reading needs the rest.
        """
        if not self.cached:
            return tokens, DECODE_MULTIPLE
        most = max(1, free // 2 // self.cache_bytes)
        tokens = min(tokens, most)
        wanted = max(DECODE_MULTIPLE, SMALL_CACHE // (self.cache_bytes * tokens))
        return tokens, max(1, min(wanted, most // tokens))
