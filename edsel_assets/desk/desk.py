"""What the paid loop of one study works on, and what it says of an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.store import Home, Store
from edsel_assets.study import Study


class Made(Protocol):
    """What is known after cells were made: which wait for answers, and training sets that lack how many."""

    @property
    def waiting(self) -> Sequence[Cell]: ...
    @property
    def lacking(self) -> Mapping[Cell, int]: ...


@dataclass(frozen=True)
class Desk:
    """What orders of one study work on.

    Attributes:
        make: makes what is stale of a scope.
        changed: called when the store's orders are others than before.
        waiting: told why one waits.
    """

    study: Study
    home: Home
    make: Callable[[Scope], Made]
    changed: Callable[[], None] = lambda: None
    waiting: Callable[[str], None] = lambda reason: None

    @property
    def store(self) -> Store:
        return self.home.store(self.study.name)


@dataclass(frozen=True)
class Placed:
    """An order that was placed: its name, number of prompts, expected price, and the file of its prompts.

    ``validation`` of the prompts are bought to validate.
    """

    name: str
    prompts: int
    price: float
    file: Path
    validation: int = 0

    @property
    def words(self) -> str:
        return words(self.prompts, self.validation, self.price)


def words(prompts: int, validation: int, price: float) -> str:
    """An order in one phrase."""
    sample = f" ({validation} of them random, to validate)" if validation else ""
    return f"{prompts} prompts{sample}, expected to cost {price:g}"
