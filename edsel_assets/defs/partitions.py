"""Partitions definitions and partition mappings of Dagster, all derived from the table of kinds.

Nothing else in the graph writes a partition key by hand. Every asset with partitions has one dimension of
keys, such as ``00100|k_center``: two dimensions of Dagster are a full product, and a study has other
budgets for some strategies than for others. So the partitions that the UI shows are the study's cells, and
a mapping names the exact cells that each cell reads, as ``kinds.assets.Cells`` says them.
"""

from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from edsel_assets.kinds.assets import Asset, Cells, Input
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
        if not asset.kind.dimensions:
            return None
        if any(dimension.keys is None for dimension in asset.kind.dimensions):
            return dg.DynamicPartitionsDefinition(name=orders_of(self.study.name))
        return dg.StaticPartitionsDefinition(self._keys(asset))

    def mapping(self, asset: Asset, each: Input) -> dg.PartitionMapping | None:
        """How an asset reads an input; None where Dagster's own rule says it (the same key, or all keys)."""
        parent = self.table.assets[each.asset]
        if not parent.kind.dimensions or self.table.continues(asset, each):
            return None
        if not asset.kind.dimensions:
            read = set(self.table.read_of(asset, None, each))
            every = self._keys(parent)
            if len(read) == len(every):
                return None
            return dg.SpecificPartitionsPartitionMapping([key for key in every if key in read])
        users: dict[str, set[str]] = {}
        for key in self._keys(asset):
            for read_key in self.table.read_of(asset, key, each):
                if read_key is not None:
                    users.setdefault(read_key, set()).add(key)
        return dg.StaticPartitionMapping(users)

    def _keys(self, asset: Asset) -> list[str]:
        return [key for key in self.table.keys(asset.name) if key is not None]
