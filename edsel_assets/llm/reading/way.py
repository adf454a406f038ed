"""How a model is read; :mod:`.comparison` finds it."""

from __future__ import annotations

import sys
from dataclasses import dataclass


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
