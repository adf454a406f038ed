"""What the function of a kind gets and gives, where its row names it (``Kind.make``): no code of Dagster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edsel_assets.kinds.checks import Finding
from edsel_assets.kinds.kind import At
from edsel_assets.store import Home
from edsel_assets.study import Study

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Making:
    """The cell that is being made; its inputs are given beside it, by name.

    Attributes:
        home: where rows that are kept lie.
        at: the keys of its dimensions.
        open_model: gives the base model and its tokenizer, loaded once a process.
        progress: called with (done, of) now and then.
    """

    study: Study
    home: Home
    at: At
    open_model: Callable[[], tuple[Any, Any]]
    progress: Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """The value of a cell.

    Attributes:
        table: its table. ``arrays``, ``items``, ``texts``: what lies beside it, as in a ``TableWithFiles``.
        shown: for a person, by name: numbers, texts, tables, and PNG pictures as bytes.
        findings: of each check that the row names.
    """

    table: pa.Table
    shown: Mapping[str, Any] = field(default_factory=dict)
    findings: Mapping[str, Finding] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    items: pa.Table | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
