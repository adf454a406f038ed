"""Names for what went into a result: a hash of its settings, whatever their order."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any


def fingerprint(**fields: Any) -> str:
    """Hex digest of the canonical JSON of ``fields``: key order does not count, tuples are lists."""
    return hashlib.blake2b(canonical_json(fields).encode(), digest_size=16).hexdigest()


def canonical_json(value: Any) -> str:
    def plain(item: object) -> object:
        if hasattr(item, "item"):  # a numpy number, without importing numpy
            return item.item()
        if isinstance(item, os.PathLike):
            return os.fspath(item)
        raise TypeError(
            f"A fingerprint is made of JSON values only; got {type(item).__name__} {item!r}. "
            "Pass its fields or its text."
        )

    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=plain
        )
    except ValueError as error:
        raise ValueError(f"A fingerprint is made of finite JSON values; {error}.") from error
