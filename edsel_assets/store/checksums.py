"""JSON files that hold a checksum over all their fields, under the name ``check``.

It tells damage, and a change by hand, from what was written. It does not keep out who can compute it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_CHECK = "check"


def checked_json(fields: Mapping[str, Any]) -> bytes:
    """The JSON text of ``fields`` and their checksum.

    Raises:
        ValueError, TypeError: a value that is not JSON, such as NaN.
    """
    plain = json.loads(json.dumps(fields, allow_nan=False))
    content = {**plain, _CHECK: _checksum(plain)}
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def read_checked_json(data: bytes) -> dict[str, Any]:
    """The fields without their checksum. Files of earlier versions have none, and are taken as they are.

    Raises:
        ValueError: this is no JSON object, or the checksum is not that of the fields.
    """
    fields = _object(data)
    if _CHECK in fields and fields.pop(_CHECK) != _checksum(fields):
        raise ValueError("its checksum differs")
    return fields


def has_checksum(data: bytes) -> bool:
    """Whether a JSON object has a checksum; those of earlier versions have none."""
    return _CHECK in _object(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    return fields


def _checksum(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
