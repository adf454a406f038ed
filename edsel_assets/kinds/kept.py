"""Rows that are kept by content for all studies of a home, so that what was computed once is never again.

Each is found under a fingerprint of its version, of the model with its libraries, and of the settings of its
maker. The kinds whose cells are made of such rows name them (``Kind.keeps``): a raised version makes the
cells stale, and the rows are computed anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from edsel_assets.kinds.deciding import MODEL


@dataclass(frozen=True)
class Rows:
    """One kind of rows.

    Attributes:
        name: of their folder.
        version: raised when the same model and text would give other numbers.
        libraries: distributions whose version decides them, where the model is loaded here.
    """

    name: str
    version: int
    libraries: tuple[str, ...] = MODEL


#: Of how tokens are read, for scores by a causal model of this machine. 2: as the model itself reads them.
READING = 2

FORWARD_PASS = Rows("forward_pass", 2)
#: Of other embedders; those of a server were paid for.
EMBEDDER = Rows("embedder", 1, (*MODEL, "sentence-transformers"))
#: One number per text, by a scorer; those of a server were paid for.
SCORES = Rows("scores", 1)
