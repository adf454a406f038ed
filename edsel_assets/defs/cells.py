"""Cells (an asset, or one partition of it), and which of them a person asked for."""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from edsel_assets.defs.io_managers import ALLOW_MISSING
from edsel_assets.defs.partitions import ITERATIVE_PREFIX, budget_key, parse_trial


@dataclass(frozen=True, order=True)
class Cell:
    """One asset, or one partition of it."""

    asset_key: dg.AssetKey
    partition: str | None = None

    def __str__(self) -> str:
        name = self.asset_key.to_user_string()
        return f"{name}[{self.partition}]" if self.partition else name


@dataclass(frozen=True)
class Scope:
    """What a run is restricted to; empty means everything.

    Attributes:
        assets: asset names as in the UI, ``round_1/weights`` for those with a prefix.
        budgets, strategies: keep the cells of these; what a kept cell needs is made as well.
    """

    assets: frozenset[str] = frozenset()
    budgets: frozenset[int] = frozenset()
    strategies: frozenset[str] = frozenset()

    def wants(self, graph: BaseAssetGraph, cell: Cell) -> bool:
        """Whether the cell is asked for itself, be it needed by another or not."""
        if self.assets and cell.asset_key.to_user_string() not in self.assets:
            return False
        if not self.budgets and not self.strategies:
            return True
        named = dimensions_of(graph, cell)
        if "strategy" not in named:
            # Signals and diagnostics come along where needed; the report is of what there is.
            return bool(self.assets) or graph.get(cell.asset_key).group_name in {"evaluation", "report"}
        if self.strategies and named["strategy"] not in self.strategies:
            return False
        return (
            not self.budgets
            or "budget" not in named
            or named["budget"] in {budget_key(b) for b in self.budgets}
        )


def dimensions_of(graph: BaseAssetGraph, cell: Cell) -> dict[str, str]:
    """``budget`` and ``strategy`` of a cell, where it has them."""
    definition = graph.get(cell.asset_key).partitions_def
    if cell.partition is None:
        return {}
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        return {"strategy": cell.partition} if cell.asset_key.path[-1] == "rankings" else {}
    keys = dict(definition.get_partition_key_from_str(cell.partition).keys_by_dimension)
    found = {"budget": keys["budget"]}
    if "trial" in keys:
        return {**found, "strategy": parse_trial(keys["trial"])[0]}
    return {
        **found,
        "strategy": keys["strategy"] if "strategy" in keys else ITERATIVE_PREFIX + keys["scorer"],
    }


def all_cells(graph: BaseAssetGraph, asset_key: dg.AssetKey) -> list[Cell]:
    definition = graph.get(asset_key).partitions_def
    return [Cell(asset_key, key) for key in (definition.get_partition_keys() if definition else [None])]


def cells_in(graph: BaseAssetGraph, scope: Scope) -> set[Cell]:
    """The cells asked for, and every cell that one of them needs.

    Raises:
        ValueError: for a name that is no asset, or a scope that holds nothing.
    """
    keys = graph.materializable_asset_keys
    names = {key.to_user_string() for key in keys}
    unknown = sorted(scope.assets - names)
    if unknown:
        raise ValueError(f"No asset {', '.join(unknown)}; the assets are {', '.join(sorted(names))}.")
    wanted = {cell for key in keys for cell in all_cells(graph, key) if scope.wants(graph, cell)}
    if not wanted:
        raise ValueError(
            "Nothing is both in the study and asked for; check --only, --budget and --strategy against it."
        )
    frontier: Iterable[Cell] = wanted
    while frontier:
        frontier = {parent for cell in frontier for parent in needed_by(graph, cell)} - wanted
        wanted |= frontier
    return wanted


def needed_by(graph: BaseAssetGraph, cell: Cell) -> set[Cell]:
    """Parents without which a cell cannot be made: not those it takes as many of as there are."""
    node = graph.get(cell.asset_key)
    parents = graph.get_parents_partitions(cell.asset_key, cell.partition).parent_partitions
    optional = _optional_parents(node)
    return {Cell(p.asset_key, p.partition_key) for p in parents if p.asset_key not in optional}


def _optional_parents(node: object) -> set[dg.AssetKey]:
    definition = getattr(node, "assets_def", None)
    if definition is None:
        return set()
    inputs = definition.node_def.input_dict
    return {
        key
        for name, key in definition.keys_by_input_name.items()
        if inputs[name].metadata and inputs[name].metadata.get(ALLOW_MISSING)
    }
