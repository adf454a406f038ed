"""One line of what the full study needs."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Whether a thing is there."""

    HERE = "here"
    MISSING = "missing"
    UNKNOWN = "unknown"  # cannot be told without a network
    TAKES = "takes"
    REPLACED = "replaced"  # not rehearsed as it is


@dataclass(frozen=True)
class Need:
    """One thing that the full study needs, or that its rehearsal replaced."""

    state: State
    what: str
    text: str
