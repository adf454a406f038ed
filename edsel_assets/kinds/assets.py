"""The assets of a study, by the table: their partition keys, their inputs, the cells that each cell reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product, starmap

from edsel_assets.keys import key_parts, partition_key
from edsel_assets.kinds import KINDS
from edsel_assets.kinds.kind import At, Dimension, Kind, Parent
from edsel_assets.study import Study


@dataclass(frozen=True)
class Input:
    """What an asset reads: the name of the input, the asset that it is, and how it is read."""

    name: str
    asset: str
    parent: Parent


@dataclass(frozen=True)
class Asset:
    """One asset of a study.

    Attributes:
        name: as in the UI, such as ``round_2/weights``.
        number: of its round; None for an asset of no round.
    """

    name: str
    kind: Kind
    number: int | None
    inputs: tuple[Input, ...] = ()

    @property
    def group(self) -> str:
        return self.kind.group if self.number is None else f"{self.kind.group}_{self.number}"

    @property
    def summary(self) -> str:
        return self.kind.summary.format(self.number)

    def at(self, partition: str | None) -> At:
        return At.of(self.kind.dimensions, partition, self.number)


def asset_name(kind: str, number: int | None = None) -> str:
    """``round_weights`` of round 2 is ``round_2/weights``."""
    if number is None:
        return kind
    head, _, tail = kind.partition("_")
    return f"{head}_{number}/{tail}"


def kind_of(asset: str) -> str:
    """The name of an asset's kind: that without its round."""
    head, slash, tail = asset.partition("/")
    return f"{head.rpartition('_')[0]}_{tail}" if slash else asset


def assets_of(study: Study) -> dict[str, Asset]:
    """Every asset of ``study`` by name. An input that no cell reads is none."""
    found: dict[str, Asset] = {}
    for kind in KINDS.values():
        if kind.there(study):
            for number in kind.rounds(study) if kind.rounds else (None,):
                found[asset_name(kind.name, number)] = Asset(asset_name(kind.name, number), kind, number)
    return {name: _with_inputs(study, asset, found) for name, asset in found.items()}


def _with_inputs(study: Study, asset: Asset, assets: Mapping[str, Asset]) -> Asset:
    named = [each for parent in asset.kind.parents for each in _inputs(study, asset, parent)]
    there = [each for each in named if each.asset in assets and _is_read(study, asset, each, assets)]
    return Asset(asset.name, asset.kind, asset.number, tuple(there))


def _inputs(study: Study, asset: Asset, parent: Parent) -> Iterator[Input]:
    """The inputs that a parent is; of a kind with rounds one for each of them that is read."""
    if parent.rounds is None:
        yield Input(parent.name or parent.kind, asset_name(parent.kind), parent)
        return
    tail = parent.kind.partition("_")[2]
    for number in parent.rounds(study, asset.number or 0):
        yield Input(parent.name or f"{tail}_{number}", asset_name(parent.kind, number), parent)


def _is_read(study: Study, asset: Asset, each: Input, assets: Mapping[str, Asset]) -> bool:
    """Whether any cell reads an input."""
    if any(d.keys is None for d in asset.kind.dimensions):
        return True
    of = assets[each.asset].kind.dimensions
    return any(values_read(study, at, each.parent, of) is not None for at in places(study, asset))


def places(study: Study, asset: Asset) -> Iterator[At]:
    """Where the cells of an asset stand; of two dimensions the first key of the first, which is shared."""
    first, *rest = [(d.keys(study) if d.keys else ()) for d in asset.kind.dimensions] or [()]
    if not asset.kind.dimensions:
        yield asset.at(None)
        return
    for key in ([first[0], *keys] for keys in product(*rest)) if rest else ([key] for key in first):
        yield asset.at(partition_key(*key))


def values_read(
    study: Study, at: At, parent: Parent, dimensions: Sequence[Dimension]
) -> list[Sequence[str] | None] | None:
    """The keys that a cell reads of each of a parent's dimensions; None for all, or for no cell at all."""
    if not parent.when(study, at):
        return None
    own = parent.keys(study, at)
    found: list[Sequence[str] | None] = []
    for dimension in dimensions:
        known = None if dimension.keys is None else set(dimension.keys(study))
        if dimension.name in own:
            keys: Sequence[str] | None = own[dimension.name]
        elif dimension.name in at.keys:
            keys = [at.keys[dimension.name]]
        else:
            keys = None
        if keys is not None and known is not None:
            keys = [key for key in keys if key in known]
        if keys is not None and not keys:
            return None
        found.append(keys)
    return found


def strategy_of(study: Study, partition: str | None) -> str | None:
    """The strategy that a cell of that key is of; None for a cell of none."""
    last = key_parts(partition)[-1] if partition else ""
    name = last if last in study.selection.names else last.rpartition(".s")[0]
    return name if name in study.selection.names else None


def is_asked_for(study: Study, partition: str | None) -> bool:
    """Whether a cell of that key is part of the study: budgets are those of its strategy."""
    parts = key_parts(partition)
    if not study.selection.budgets_of or len(parts) != 2:
        return True
    strategy = strategy_of(study, partition)
    return strategy is None or int(parts[0]) in study.selection.budgets_for(strategy)


@dataclass
class Cells:
    """The partition keys of a study's assets, and what each cell reads.

    Attributes:
        orders: the orders placed by now.
    """

    study: Study
    orders: Sequence[str] = ()
    assets: dict[str, Asset] = field(init=False)
    _keys: dict[str, tuple[str | None, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.assets = assets_of(self.study)

    def keys(self, name: str) -> tuple[str | None, ...]:
        """The partition keys of an asset that are part of the study; (None,) without dimensions."""
        if name not in self._keys:
            dimensions = self.assets[name].kind.dimensions
            parts = [self._of(dimension) for dimension in dimensions]
            every = (partition_key(*key) for key in product(*parts)) if dimensions else (None,)
            self._keys[name] = tuple(key for key in every if self.asked(name, key))
        return self._keys[name]

    def asked(self, name: str, partition: str | None) -> bool:
        """Whether a cell is part of the study."""
        asset = self.assets[name]
        return is_asked_for(self.study, partition) and asset.kind.part(self.study, asset.at(partition))

    def read(
        self, name: str, partition: str | None, optional: bool = True
    ) -> Iterator[tuple[str, str | None]]:
        """(asset, partition) of every cell that a cell may read, those that it can do without as well."""
        asset = self.assets[name]
        for each in asset.inputs:
            for key in self.read_of(asset, partition, each) if optional or not each.parent.optional else ():
                yield each.asset, key

    def read_of(self, asset: Asset, partition: str | None, each: Input) -> Iterator[str | None]:
        """The partitions of one input that a cell may read; None for that of an asset without any."""
        dimensions = self.assets[each.asset].kind.dimensions
        values = values_read(self.study, asset.at(partition), each.parent, dimensions)
        if values is None:
            return
        if not dimensions:
            yield None
            return
        parts = [self._of(d) if keys is None else keys for d, keys in zip(dimensions, values, strict=True)]
        yield from (key for key in starmap(partition_key, product(*parts)) if self.asked(each.asset, key))

    @cached_property
    def made(self) -> frozenset[tuple[str, str | None]]:
        """(asset, partition) of every cell that a run makes: those of themselves, and all that these read."""
        rows = [(asset, key) for asset in self.assets.values() for key in self.keys(asset.name)]
        found = {(a.name, key) for a, key in rows if a.kind.alone(self.study, a.at(key))}
        new = found
        while new:
            new = {parent for cell in new for parent in self.read(*cell, optional=False)} - found
            found = found | new
        return frozenset(found)

    @property
    def unread(self) -> list[str]:
        """Assets that a run leaves out, as nothing of the study reads them."""
        made = {name for name, _ in self.made}
        return sorted(name for name in self.assets if name not in made and self.keys(name))

    def continues(self, asset: Asset, each: Input) -> bool:
        """Whether both have the same keys, and each cell of the asset reads the cell of its own key."""
        of = self.assets[each.asset].kind.dimensions
        same = bool(of) and of == asset.kind.dimensions and each.parent.follows
        return same and self.keys(asset.name) == self.keys(each.asset)

    def _of(self, dimension: Dimension) -> Sequence[str]:
        return self.orders if dimension.keys is None else dimension.keys(self.study)
