"""Partitions definitions and partition mappings of Dagster, all derived from the table of kinds.

Nothing else in the graph writes a partition key by hand. A mapping is as exact as Dagster's can be; which
cells a cell reads in the end, ``kinds.assets.Cells`` says alone.

Mappings are static to static, or one dimension at a time. A static mapping with a two-dimensional side passes
every local check of Dagster and then fails in its webserver and daemon, so there is none. One dimension of
keys such as ``00100|k_center`` is none either: Dagster's pages take "|" for the end of a dimension's key.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product, starmap

import dagster as dg

from edsel_assets.keys import partition_key
from edsel_assets.kinds.assets import Asset, Cells, Input, places, values_read
from edsel_assets.kinds.kind import Dimension
from edsel_assets.running.dagster_internals import orders_of
from edsel_assets.study import Study


@dataclass(frozen=True)
class Partitions:
    """Every partitions definition and mapping of one study's graph."""

    study: Study

    @cached_property
    def table(self) -> Cells:
        return Cells(self.study)

    def of(self, asset: Asset) -> dg.PartitionsDefinition | None:
        """The partitions of an asset; of orders those that the store has, see ``running.instance``."""
        dimensions = asset.kind.dimensions
        if not dimensions:
            return None
        if len(dimensions) > 1:
            return dg.MultiPartitionsDefinition({d.name: self._static(d) for d in dimensions})
        (one,) = dimensions
        return (
            self._static(one) if one.keys else dg.DynamicPartitionsDefinition(name=orders_of(self.study.name))
        )

    def mapping(self, asset: Asset, each: Input) -> dg.PartitionMapping | None:
        """How an asset reads an input; None where Dagster's own rule says it (the same key, or all keys)."""
        own, of = asset.kind.dimensions, self.table.assets[each.asset].kind.dimensions
        if not of or self.table.continues(asset, each) or (not own and each.parent.follows):
            return None
        shared = {d.name for d in own} & {d.name for d in of}
        if len(own) == len(of) == 2:
            return self._by_dimension(asset, each, of)
        if len(own) == len(of) == 1:
            return dg.StaticPartitionMapping(self._users(asset, each, 0))
        if shared and each.parent.follows:
            return dg.MultiToSingleDimensionPartitionMapping(shared.pop())
        return dg.SpecificPartitionsPartitionMapping(self._read_by_any(asset, each))

    def _static(self, dimension: Dimension) -> dg.StaticPartitionsDefinition:
        assert dimension.keys is not None, "orders are a dimension of their own"
        return dg.StaticPartitionsDefinition(list(dimension.keys(self.study)))

    def _by_dimension(self, asset: Asset, each: Input, of: tuple[Dimension, ...]) -> dg.MultiPartitionMapping:
        """The first dimension, which both have, as it is; each key of the second to its users."""
        first, second = of
        users = dg.StaticPartitionMapping(self._users(asset, each, 1))
        return dg.MultiPartitionMapping(
            {
                first.name: dg.DimensionPartitionMapping(first.name, dg.IdentityPartitionMapping()),
                second.name: dg.DimensionPartitionMapping(asset.kind.dimensions[1].name, users),
            }
        )

    def _users(self, asset: Asset, each: Input, dimension: int) -> dict[str, set[str]]:
        """Each key of a parent's dimension to the keys of the asset's that read it."""
        of = self.table.assets[each.asset].kind.dimensions
        name = asset.kind.dimensions[dimension].name
        users: dict[str, set[str]] = {}
        for at in places(self.study, asset):
            found = values_read(self.study, at, each.parent, of)
            for key in (found[dimension] or ()) if found else ():
                users.setdefault(key, set()).add(at.keys[name])
        return users

    def _read_by_any(self, asset: Asset, each: Input) -> list[str]:
        of = self.table.assets[each.asset].kind.dimensions
        keys: dict[str, None] = {}
        for at in places(self.study, asset):
            found = values_read(self.study, at, each.parent, of)
            if found is not None:
                parts = [values or () for values in found]
                keys |= dict.fromkeys(starmap(partition_key, product(*parts)))
        return list(keys)
