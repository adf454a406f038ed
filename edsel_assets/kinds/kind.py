"""What a kind of cell is: its row in the table, the parents that it reads, and its dimensions.

Imports no library that is slow to load, as the table is read wherever the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from edsel_assets.keys import key_parts, parse_trial
from edsel_assets.kinds.kept import Rows
from edsel_assets.kinds.work import Lengths, Work
from edsel_assets.study import Study

#: (study, partition; None for the whole asset) -> what a row cannot say in words.
SettingsOf = Callable[[Study, str | None], Mapping[str, Any]]
NamesOf = Callable[[Study, str | None], Iterable[str]]


@dataclass(frozen=True)
class Dimension:
    """One dimension of partition keys.

    Attributes:
        name: as Dagster shows it.
        keys: of a study, in order; None where they come from the store, as orders do.
    """

    name: str
    keys: Callable[[Study], Sequence[str]] | None = None


@dataclass(frozen=True)
class At:
    """Where a cell stands.

    Attributes:
        keys: by name of the dimension; ``strategy`` of a trial too.
        number: of its round; None for a cell of no round.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    number: int | None = None

    @classmethod
    def of(cls, dimensions: Sequence[Dimension], partition: str | None, number: int | None = None) -> At:
        keys = {d.name: key for d, key in zip(dimensions, key_parts(partition), strict=True)}
        if "trial" in keys:
            keys["strategy"] = parse_trial(keys["trial"])[0]
        return cls(keys, number)

    @cached_property
    def strategy(self) -> str:
        """The strategy of a cell that is of one."""
        return self.keys["strategy"]


def _always(study: Study, at: At) -> bool:
    return True


def _nothing_more(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    return {}


@dataclass(frozen=True)
class Parent:
    """What a kind reads of another.

    Of a dimension that both have, a cell reads its own key; of any other, all keys, or those that ``keys``
    names.

    Attributes:
        kind: its name in the table.
        keys: (study, cell) -> keys by name of the parent's dimension.
        when: (study, cell) -> whether the cell reads it at all.
        rounds: (study, round of the cell) -> the rounds whose asset is read; of a kind that has rounds.
        name: of the input; by default that of the parent, with the numbers of rounds where there are several.
        many: several partitions are read, as a dict by key.
        optional: the cell can do without, and reads the partitions there are, as a dict by key.
        lazy: it is given as a ``StoredTable``, and what is read of it alone decides the cell.
        columns: the columns that are read, where it is always the same ones; they are given as a table.
    """

    kind: str
    keys: Callable[[Study, At], Mapping[str, Sequence[str]]] = _nothing_more
    when: Callable[[Study, At], bool] = _always
    rounds: Callable[[Study, int], Iterable[int]] | None = None
    name: str | None = None
    many: bool = False
    optional: bool = False
    lazy: bool = False
    columns: tuple[str, ...] | None = None

    @property
    def follows(self) -> bool:
        """Whether the cell of the same key is read, where both have the same dimensions."""
        return self.keys is _nothing_more


def _in_every_study(study: Study) -> bool:
    return True


def never(study: Study, at: At) -> bool:
    return False


#: Of a kind that is made for what reads it, and for nothing else.
only_read = never


def _no_device(study: Study) -> bool:
    return False


def device(study: Study) -> bool:
    """Of a kind that holds the device in every study."""
    return True


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One row of the table.

    Attributes:
        name: the asset's name; ``round_weights`` for ``round_1/weights``, ``round_2/weights``, ...
        group: the stage, as in the table of the README; each round is a group of its own.
        dimensions: of its partition keys, by name in alphabetical order.
        parents: what it reads.
        settings: of the study, by dotted name, that can change its value by more than rounding; the name of
            a section stands for all of it, a function for what only it can tell. So devices, threads, batch
            sizes, shards, checkpoints, launchers and memory limits are not among them.
        libraries: distributions whose version decides the value, or functions that name them.
        external: sources of files outside the store (``kinds.sources``), or functions that name them.
        code: raised when the meaning of the value changes, with a comment that says why.
        keeps: rows that its cells are made of and that are kept by content.
        checks: of its value, by name in ``kinds.checks``.
        there: whether a study has it.
        alone: (study, cell) -> whether a run makes it where nothing else of the run reads it. Whoever names
            the asset gets it in any case.
        part: (study, cell) -> whether the cell is part of the study; its dimensions may name more.
        paid: (study, cell) -> whether a server is asked for it, which costs money.
        rounds: the rounds that it is made in; None for a kind of no round.
        device: whether it holds the device, GPU or CPU, for itself.
        selecting: its base model is the one that selects (``selection.model``), not that of trials.
        trains, scores: it finetunes a model; it scores one on the study's tasks.
        selects: its value is what a strategy picked.
        waits: for the answers to all that its parents ``selected``, or to the first of its ``order``.
        before: what has to be right before it is made, by name in ``planning.preflight.CHECKS``.
        work: (study, lengths of the texts, cell) -> what a model reads for it or is trained on; None where
            the lengths do not tell.
        seconds: (study, lengths of the texts) -> what it takes where no model of ours reads for it.
        tags: words that the UI shows with it.
        make: ``module:function`` of a kind that needs no code of Dagster; see ``kinds.making``.
        summary: one line for people, where no docstring says it.
    """

    name: str
    group: str
    dimensions: tuple[Dimension, ...] = ()
    parents: tuple[Parent, ...] = ()
    settings: tuple[str | SettingsOf, ...] = ()
    libraries: tuple[str | NamesOf, ...] = ()
    external: tuple[str | NamesOf, ...] = ()
    code: str = "1"
    keeps: tuple[Rows, ...] = ()
    checks: tuple[str, ...] = ()
    there: Callable[[Study], bool] = _in_every_study
    alone: Callable[[Study, At], bool] = _always
    part: Callable[[Study, At], bool] = _always
    paid: Callable[[Study, At], bool] = never
    rounds: Callable[[Study], Iterable[int]] | None = None
    device: Callable[[Study], bool] = _no_device
    selecting: bool = False
    trains: bool = False
    scores: bool = False
    selects: bool = False
    waits: str | None = None
    before: tuple[str, ...] = ()
    work: Callable[[Study, Lengths, At], Work | None] | None = None
    seconds: Callable[[Study, Lengths], float | None] | None = None
    tags: frozenset[str] = frozenset({"python"})
    make: str | None = None
    summary: str = ""

    @property
    def version(self) -> str:
        """Of the code that makes its value, with that of the rows it is made of."""
        return ".".join([self.code, *(str(rows.version) for rows in self.keeps)])
