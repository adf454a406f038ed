"""Make what is missing or stale, and nothing else: the engine of ``edsel run`` and of the jobs.

Cells are visited parents first. One runs when it was never made, its file is gone, or its
signature (see ``versions``) differs from the recorded one. As a cell is judged only after its
parents were made, one that comes out the same stops the wave: what is downstream stays fresh.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from edsel_assets.defs.cells import Cell, Scope, cells_in
from edsel_assets.defs.instance import OWNER_TAG
from edsel_assets.defs.io_managers import cell_exists
from edsel_assets.defs.versions import Records, signature
from edsel_assets.study import Study

#: The event log keeps everything; the terminal is for progress.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailed(RuntimeError):
    """A cell that could not be made: which, and the reason in one line."""


@dataclass
class Outcome:
    """What a run did."""

    made: list[Cell] = field(default_factory=list)
    fresh: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Listener:
    """Called as a run goes on; the command line draws its progress with it."""

    planned: Callable[[int], None] = lambda cells: None
    started: Callable[[Cell], None] = lambda cell: None
    finished: Callable[[Cell, bool], None] = lambda cell, was_fresh: None


class Crew(Protocol):
    """What runs batches that do not need each other."""

    def run(
        self,
        batches: Sequence[Sequence[Cell]],
        started: Callable[[Cell], None],
        finished: Callable[[Sequence[Cell]], None],
    ) -> None:
        """Run them all; RunFailed at the first that fails."""


def materialize(
    study: Study,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: Path,
    scope: Scope,
    listener: Listener | None = None,
    *,
    crew: Crew | None = None,
) -> Outcome:
    """Make every missing or stale cell in ``scope``, and what it needs.

    Each cell is a Dagster run of its own, but for chains of one partition (a trial's adapter and
    scores), which share one. Without a ``crew`` they run in this process, one after another.

    Raises:
        RunFailed: at the first cell that fails; what was made before it is kept.
        ValueError: for a scope that names what is not there.
    """
    listener = listener or Listener()
    graph = definitions.resolve_asset_graph()
    wanted = cells_in(graph, scope)
    listener.planned(len(wanted))
    runner = Runner(definitions, instance)
    outcome, records = Outcome(), Records(instance)

    def stale(cell: Cell) -> bool:
        known = records.of(cell.asset_key, partitioned=cell.partition is not None).get(cell.partition)
        if known is None or not cell_exists(store, cell.asset_key, cell.partition):
            return True
        return known.signature != signature(graph, records, study, cell.asset_key, cell.partition)

    def due_of(cells: Sequence[Cell]) -> list[Cell]:
        due: list[Cell] = []
        for cell in cells:
            if {d.asset_key for d in due} & graph.get(cell.asset_key).parent_keys or stale(cell):
                due.append(cell)
        return due

    def finished(batch: Sequence[Cell]) -> None:
        outcome.made.extend(batch)
        for cell in batch:
            listener.finished(cell, False)

    for chain in _chains(graph, {cell.asset_key for cell in wanted}):
        batches = []
        for cells in _by_partition(chain, wanted):
            due = due_of(cells)
            batches += [due] if due else []
            for cell in cells:
                if cell not in due:
                    outcome.fresh.append(cell)
                    listener.finished(cell, True)
        (crew if crew and len(batches) > 1 else runner).run(batches, listener.started, finished)
        records.forget(chain)
    return outcome


class Runner:
    """Runs batches in this process, one after another."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._job = definitions.resolve_implicit_global_asset_job_def()
        self._instance = instance

    def run(
        self,
        batches: Sequence[Sequence[Cell]],
        started: Callable[[Cell], None],
        finished: Callable[[Sequence[Cell]], None],
    ) -> None:
        for batch in batches:
            for cell in batch:
                started(cell)
            self.run_one(batch)
            finished(batch)

    def run_one(self, cells: Sequence[Cell]) -> None:
        part = self._job.get_subset(asset_selection={cell.asset_key for cell in cells})
        result = part.execute_in_process(
            run_config=_QUIET,
            instance=self._instance,
            partition_key=cells[0].partition,
            tags={OWNER_TAG: "cli"},
            raise_on_error=False,
        )
        if not result.success:
            raise RunFailed(f"{cells[0]}: {_reason(result)}")


def _by_partition(chain: Sequence[dg.AssetKey], wanted: set[Cell]) -> list[list[Cell]]:
    """The wanted cells of a chain, those of one partition together and in the chain's order."""
    found: dict[str | None, list[Cell]] = defaultdict(list)
    for key in chain:
        for cell in sorted((c for c in wanted if c.asset_key == key), key=lambda c: c.partition or ""):
            found[cell.partition].append(cell)
    return list(found.values())


def _chains(graph: BaseAssetGraph, keys: set[dg.AssetKey]) -> list[list[dg.AssetKey]]:
    """Assets in topological order; one that continues the same partitions joins its parent.

    Of one level those without the device go first: a pool that cannot be read fails at once.
    """
    chains: list[list[dg.AssetKey]] = []
    place: dict[dg.AssetKey, int] = {}
    for level in graph.toposorted_asset_keys_by_level:
        for key in sorted(level, key=lambda k: (bool(graph.get(k).pools), k)):
            if key not in keys:
                continue
            last = max((place[p] for p in graph.get(key).parent_keys if p in place), default=None)
            if last is not None and all(
                _continues(graph, key, parent)
                for parent in graph.get(key).parent_keys
                if place.get(parent) == last
            ):
                place[key] = last
                chains[last].append(key)
            else:
                place[key] = len(chains)
                chains.append([key])
    return chains


def _continues(graph: BaseAssetGraph, key: dg.AssetKey, parent: dg.AssetKey) -> bool:
    if not graph.get(key).is_partitioned or graph.get(key).partitions_def != graph.get(parent).partitions_def:
        return False
    return isinstance(graph.get_partition_mapping(key, parent), dg.IdentityPartitionMapping)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The error that the step raised, on one line: Dagster's wrapper and lower causes left out."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
                error = error.cause
            text = " ".join(error.message.split())
            # Our errors say all in their text; another's kind is part of what it says.
            return re.sub(r"^(edsel_assets|dagster)[\w.]*: |^ValueError: ", "", text)
    failures = [event.message for event in result.all_events if event.is_failure]
    return (failures[-1] if failures else "the run failed; see its log in the UI") or ""
