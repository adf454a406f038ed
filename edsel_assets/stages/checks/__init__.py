"""Checks of what an asset made: what was found. The functions are in the modules here; ``kinds`` names them.

A blocking check that fails ends the run before the value is stored: nothing is made from wrong data, and
nobody is asked or paid for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        problem: what is wrong and what to do about it, in one line; empty where nothing is.
        figures: numbers and texts that a person wants to see with it.
    """

    problem: str = ""
    figures: dict[str, int | float | str] = field(default_factory=dict)


def named(ids: Iterable[str], most: int = 3) -> str:
    """The first of some ids, for a message."""
    listed = sorted(ids)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
