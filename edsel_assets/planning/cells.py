"""Cells (an asset, or one partition of it), what each is made from, and which of them a person asked for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edsel_assets.keys import budget_key, parse_trial
from edsel_assets.selection.strategy import EMBEDDINGS, QUALITY
from edsel_assets.study import Study

#: What the partitions of an asset with one dimension are.
_ONE_DIMENSION = {
    "rankings": "strategy",
    "selection_overlap": "budget",
    "uncertainty_scores": "measure",
    "clusters": "cluster_count",
    "quality_scores": "scorer",
    "other_embeddings": "name",
    "purchased_training_set": "order",
    "purchased_adapter": "order",
    "purchased_scores": "order",
}


@dataclass(frozen=True, order=True)
class Cell:
    """One asset, or one partition of it; ``asset`` is its name in the UI, such as ``round_2/weights``."""

    asset: str
    partition: str | None = None

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]" if self.partition else self.asset

    @classmethod
    def parse(cls, text: str) -> "Cell":
        """The cell that ``str`` wrote."""
        asset, bracket, rest = text.partition("[")
        return cls(asset, rest.removesuffix("]") if bracket else None)

    @property
    def kind(self) -> str:
        """The asset's name without its round: ``round_2/weights`` is ``round_weights``."""
        head, _, tail = self.asset.partition("/")
        return f"round_{tail}" if tail and head.startswith("round_") else self.asset

    @property
    def folder(self) -> tuple[str, ...]:
        """Parts of the path under the study's store; the last is the name of the file."""
        return (*self.asset.split("/"), *(self.partition.split("|") if self.partition else ()))


def cell_path(root: Path, cell: Cell) -> Path:
    """Path of a cell in the store at ``root``, without suffix; a directory where the value is an adapter."""
    return root.joinpath(*cell.folder)


def with_suffix(path: Path, suffix: str) -> Path:
    """``path`` with a suffix; not as ``Path.with_suffix`` does, since ``k_center.s0`` has one already."""
    return path.parent / f"{path.name}{suffix}"


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
    graph_parents: Callable[[Cell], Iterable[Cell]]
    _known: dict[Cell, tuple[Cell, ...]] = field(default_factory=dict)

    def parents(self, cell: Cell) -> tuple[Cell, ...]:
        """The cells that ``cell`` may read."""
        if cell not in self._known:
            self._known[cell] = tuple(p for p in self.graph_parents(cell) if is_read(self.study, cell, p))
        return self._known[cell]

    def required(self, cell: Cell) -> tuple[Cell, ...]:
        """The parents without which a cell cannot be made."""
        optional = self.nodes[cell.asset].optional
        return tuple(p for p in self.parents(cell) if p.asset not in optional)

    def dimensions(self, cell: Cell) -> dict[str, str]:
        """Names and keys of a cell's partition; ``strategy`` for a trial too."""
        if cell.partition is None:
            return {}
        names = self.nodes[cell.asset].dimensions
        keys = dict(zip(names, cell.partition.split("|"), strict=True))
        if "trial" in keys:
            keys["strategy"] = parse_trial(keys["trial"])[0]
        return keys


def strategy_of(study: Study, cell: Cell) -> str | None:
    """The strategy that a cell is of; None for a cell of none."""
    last = (cell.partition or "").rpartition("|")[2]
    name = last if last in study.selection.names else last.rpartition(".s")[0]
    return name if name in study.selection.names else None


def is_read(study: Study, cell: Cell, parent: Cell) -> bool:
    """Whether a cell reads one of the parents that Dagster's mappings give it.

    No mapping says that a strategy reads no embeddings, or leads from a clustering or a score to some of the
    cells of two dimensions.
    """
    if not is_asked_for(study, parent):
        return False
    if cell.asset == "clusters" and parent.asset == "embeddings":
        return "." not in (cell.partition or "")
    if cell.asset == "quality_scores":
        by_model = study.quality.reads_forward_pass(cell.partition or "")
        return parent.asset == ("token_probabilities" if by_model else "pool")
    strategy = strategy_of(study, cell)
    if strategy is None:
        return True
    if parent.asset == "embeddings" and cell.asset == "rankings":
        own = study.embeddings_of(strategy) is None
        return own and EMBEDDINGS in study.strategy(strategy).needs
    if parent.asset == "clusters":
        return parent.partition == study.clustering_of(strategy)
    row = study.strategy(strategy)
    if parent.asset == "uncertainty_scores":
        return parent.partition == row.measure
    if parent.asset == "quality_scores":
        return QUALITY in row.needs and parent.partition == study.quality_of(strategy)
    return True


def is_asked_for(study: Study, cell: Cell) -> bool:
    """Whether a cell is part of the study: budgets are those of its strategy.

    Two dimensions of Dagster are a full product, so its UI shows every strategy at every budget.
    """
    if not study.selection.budgets_of or "|" not in (cell.partition or ""):
        return True
    strategy = strategy_of(study, cell)
    budget = int((cell.partition or "").partition("|")[0])
    return strategy is None or budget in study.selection.budgets_for(strategy)


def dimension_of(asset: str) -> str:
    """Name of the one dimension of ``asset``."""
    return _ONE_DIMENSION[asset]


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

    def wants(self, lineage: Lineage, cell: Cell) -> bool:
        """Whether the cell is asked for itself, be it needed by another or not."""
        if self.assets and cell.asset not in self.assets:
            return False
        if not self.budgets and not self.strategies:
            return True
        named = lineage.dimensions(cell)
        if "strategy" not in named:
            # Signals and diagnostics come along where needed; the report is of what there is.
            return bool(self.assets) or lineage.nodes[cell.asset].group in {"evaluation", "report"}
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
    if scope.assets:
        # Who asks for a report by name wants all that it would hold of these budgets and strategies.
        held = Scope(budgets=scope.budgets, strategies=scope.strategies)
        parents = {parent for cell in wanted for parent in lineage.parents(cell)}
        wanted |= {parent for parent in parents if held.wants(lineage, parent)}
    frontier: set[Cell] = wanted
    while frontier:
        frontier = {parent for cell in frontier for parent in lineage.required(cell)} - wanted
        wanted = wanted | frontier
    return [cell for cell in every if cell in wanted]
