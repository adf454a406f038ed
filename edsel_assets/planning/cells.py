"""Cells (an asset, or one partition of it), what each is made from, and which of them a person asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

from edsel_assets.keys import CellKey, budget_key
from edsel_assets.kinds import KINDS
from edsel_assets.kinds.assets import Asset, Cells, kind_of
from edsel_assets.kinds.kind import Kind
from edsel_assets.study import Study


@dataclass(frozen=True, order=True)
class Cell(CellKey):
    """One asset, or one partition of it; ``asset`` is its name in the UI, such as ``round_2/weights``."""

    @property
    def kind(self) -> str:
        """The asset's name without its round: ``round_2/weights`` is ``round_weights``."""
        return kind_of(self.asset)

    @property
    def row(self) -> Kind:
        """The row of its kind."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Node:
    """One asset of the graph.

    Attributes:
        group: the stage it belongs to.
        partitions: its partition keys; (None,) without partitions.
        dimensions: names of the parts of a partition key, in their order.
        parents: assets that it reads.
        optional: those of them that it can do without.
        continues: parents with the same partitions, each cell read by the cell of the same key.
        device: whether it wants the accelerator.
    """

    asset: str
    group: str
    partitions: tuple[str | None, ...]
    dimensions: tuple[str, ...]
    parents: frozenset[str]
    optional: frozenset[str]
    continues: frozenset[str]
    device: bool

    def cells(self) -> list[Cell]:
        return [Cell(self.asset, key) for key in self.partitions]


@dataclass
class Lineage:
    """Every asset of a study, parents first, and the cells that each cell is made from."""

    study: Study
    nodes: Mapping[str, Node]
    table: Cells
    _known: dict[Cell, tuple[Cell, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, orders: Sequence[str] = ()) -> "Lineage":
        """By the table of kinds, with the orders placed by now.

        An asset that sums up partitions of which there are none yet has no cell.
        """
        table = Cells(study, orders)
        nodes: dict[str, Node] = {}
        for asset in _parents_first(study, table.assets):
            node = _node(study, table, asset)
            sums_up = [nodes[name] for name in node.optional]
            empty = bool(sums_up) and not any(each.partitions for each in sums_up)
            nodes[asset.name] = replace(node, partitions=()) if empty else node
        return cls(study, nodes, table)

    def parents(self, cell: Cell) -> tuple[Cell, ...]:
        """The cells that ``cell`` may read."""
        if cell not in self._known:
            found = self.table.read(cell.asset, cell.partition)
            self._known[cell] = tuple(sorted(Cell(*each) for each in found))
        return self._known[cell]

    def required(self, cell: Cell) -> tuple[Cell, ...]:
        """The parents without which a cell cannot be made."""
        optional = self.nodes[cell.asset].optional
        return tuple(p for p in self.parents(cell) if p.asset not in optional)

    def dimensions(self, cell: Cell) -> Mapping[str, str]:
        """Names and keys of a cell's partition; ``strategy`` for a trial too."""
        return self.table.assets[cell.asset].at(cell.partition).keys


def _parents_first(study: Study, assets: Mapping[str, Asset]) -> Iterator[Asset]:
    """Level by level; of one those without the device first: a pool that cannot be read fails at once."""
    graph = TopologicalSorter({a.name: {each.asset for each in a.inputs} for a in assets.values()})
    graph.prepare()
    while graph.is_active():
        level = graph.get_ready()
        ordered = sorted(level, key=lambda name: (assets[name].kind.device(study), name.split("/")))
        yield from (assets[name] for name in ordered)
        graph.done(*level)


def _node(study: Study, table: Cells, asset: Asset) -> Node:
    return Node(
        asset=asset.name,
        group=asset.group,
        partitions=table.keys(asset.name),
        dimensions=tuple(dimension.name for dimension in asset.kind.dimensions),
        parents=frozenset(each.asset for each in asset.inputs),
        optional=frozenset(each.asset for each in asset.inputs if each.parent.optional),
        continues=frozenset(each.asset for each in asset.inputs if table.continues(asset, each)),
        device=asset.kind.device(study),
    )


@dataclass(frozen=True)
class Scope:
    """What a run is restricted to; empty means everything.

    Attributes:
        assets: asset names as in the UI, ``round_1/weights`` for those with a prefix. Without them
            a cell that nothing of the study reads is left out.
        budgets, strategies: keep the cells of these; what a kept cell needs is made as well.
        groups: of the graph.
    """

    assets: frozenset[str] = frozenset()
    budgets: frozenset[int] = frozenset()
    strategies: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def wants(self, lineage: Lineage, cell: Cell) -> bool:
        """Whether the cell is asked for itself, be it needed by another or not."""
        if self.assets and cell.asset not in self.assets:
            return False
        if self.groups and lineage.nodes[cell.asset].group not in self.groups:
            return False
        if not self.assets and (cell.asset, cell.partition) not in lineage.table.made:
            return False
        if not self.budgets and not self.strategies:
            return True
        named = lineage.dimensions(cell)
        if "strategy" not in named:
            # Signals and diagnostics come along where needed; the report is of what there is.
            return bool(self.assets or self.groups) or lineage.nodes[cell.asset].group in {
                "evaluation",
                "report",
            }
        if self.strategies and named["strategy"] not in self.strategies:
            return False
        budgets = {budget_key(b) for b in self.budgets}
        return not budgets or named.get("budget", min(budgets)) in budgets


def cells_in(lineage: Lineage, scope: Scope) -> list[Cell]:
    """The cells asked for and every cell that one of them needs, parents first.

    Raises:
        ValueError: for a name that is no asset, or a scope that holds nothing.
    """
    unknown = sorted(scope.assets - set(lineage.nodes))
    if unknown:
        raise ValueError(f"No asset {', '.join(unknown)}; the assets are {', '.join(sorted(lineage.nodes))}.")
    every = [cell for node in lineage.nodes.values() for cell in node.cells()]
    wanted = {cell for cell in every if scope.wants(lineage, cell)}
    if not wanted and any(
        node.asset in scope.assets and not node.partitions for node in lineage.nodes.values()
    ):
        raise ValueError(
            f"Nothing of {', '.join(sorted(scope.assets))} can be made yet: no order was placed. "
            "Place one by edsel order."
        )
    if not wanted:
        raise ValueError(
            "Nothing is both in the study and asked for; check --only, --budget and --strategy against it."
        )
    if scope.assets or scope.groups:
        # Who asks for a report by name wants all that it would hold of these budgets and strategies.
        held = Scope(budgets=scope.budgets, strategies=scope.strategies)
        parents = {parent for cell in wanted for parent in lineage.parents(cell)}
        wanted |= {parent for parent in parents if held.wants(lineage, parent)}
    frontier: set[Cell] = wanted
    while frontier:
        frontier = {parent for cell in frontier for parent in lineage.required(cell)} - wanted
        wanted = wanted | frontier
    return [cell for cell in every if cell in wanted]
