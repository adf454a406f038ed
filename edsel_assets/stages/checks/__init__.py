"""Checks of what an asset made: what was found. The functions are in the modules here; ``kinds`` names them.

A blocking check that fails ends the run before the value is stored: nothing is made from wrong data, and
nobody is asked or paid for it.
"""

from collections.abc import Iterable

from edsel_assets.kinds.checks import Finding

__all__ = ["Finding", "named"]


def named(ids: Iterable[str], most: int = 3) -> str:
    """The first of some ids, for a message."""
    listed = sorted(ids)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
