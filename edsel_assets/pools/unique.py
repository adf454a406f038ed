"""Which rows stay: one of each prompt, and as many prompts as asked for; never by their order."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.pools.source import NUMBERS


def unique_rows(ids: np.ndarray, table: pa.Table) -> tuple[np.ndarray, int]:
    """Row kept of each prompt, ascending by id, and the number of prompts with several responses."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ids[order[1:]] != ids[order[:-1]]).any(axis=1)
    kept = order[new]
    group = np.cumsum(new) - 1  # of each row in order
    repeated = np.flatnonzero(np.bincount(group, minlength=len(kept))[group] > 1)
    rows = table.take(pa.array(order[repeated])).to_pylist()  # at once: a take costs much more than a row
    preferred: dict[int, tuple[bool, bytes]] = {}
    responses: dict[int, set[str | None]] = {}
    for row, number, member in zip(rows, group[repeated].tolist(), order[repeated], strict=True):
        preference = _preference(row)
        if number not in preferred or preference < preferred[number]:
            preferred[number], kept[number] = preference, member
        responses.setdefault(number, set()).add(row["response"])
    return kept, sum(len(each - {None}) > 1 for each in responses.values())


def _preference(row: dict[str, Any]) -> tuple[bool, bytes]:
    named = ("response", "task", "source", *NUMBERS)
    parts = repr([row[name] for name in named if name in row]).encode()
    return row["response"] is None, hashlib.blake2b(parts, digest_size=16).digest()


def limited(ids: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Positions kept of ascending ``ids``, ascending."""
    if limit is None or limit >= len(ids):
        return np.arange(len(ids))
    salt = f"limit {seed}".encode()
    raw = ids.astype(">u8")
    keys = np.array(
        [
            int.from_bytes(hashlib.blake2b(row.tobytes(), key=salt, digest_size=8).digest(), "big")
            for row in raw
        ],
        dtype=np.uint64,
    )
    return np.sort(np.argsort(keys, kind="stable")[:limit])
