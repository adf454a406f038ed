"""Make what is missing or stale, and nothing else: the engine of ``edsel run`` and of the jobs.

Cells are visited parents first. One runs when it was never made, its file is gone, or its
signature (see ``versions``) differs from the recorded one. As a cell is judged only after its
parents were made, one that comes out the same stops the wave: what is downstream stays fresh.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from edsel_assets.defs.cells import Cell, Scope, cells_in
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


def materialize(
    study: Study,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: Path,
    scope: Scope,
    listener: Listener | None = None,
    *,
    tags: Mapping[str, str] | None = None,
) -> Outcome:
    """Make every missing or stale cell in ``scope``, and what it needs, in this process.

    Each cell is a Dagster run of its own, but for chains of one partition (a trial's adapter and
    scores), which share one and carry ``tags``. The base model is loaded once.

    Raises:
        RunFailed: at the first cell that fails; what was made before it is kept.
        ValueError: for a scope that names what is not there.
    """
    listener = listener or Listener()
    graph = definitions.resolve_asset_graph()
    wanted = cells_in(graph, scope)
    listener.planned(len(wanted))
    job = definitions.resolve_implicit_global_asset_job_def()
    outcome, records = Outcome(), Records(instance)

    def stale(cell: Cell) -> bool:
        known = records.of(cell.asset_key, partitioned=cell.partition is not None).get(cell.partition)
        if known is None or not cell_exists(store, cell.asset_key, cell.partition):
            return True
        return known.signature != signature(graph, records, study, cell.asset_key, cell.partition)

    for cells in _batches(graph, wanted):
        due: list[Cell] = []
        for cell in cells:
            made_anew = {d.asset_key for d in due} & graph.get(cell.asset_key).parent_keys
            if made_anew or stale(cell):
                due.append(cell)
                listener.started(cell)
            else:
                outcome.fresh.append(cell)
                listener.finished(cell, True)
        if due:
            _run(job, instance, due, tags)
            records.forget(cell.asset_key for cell in due)
            outcome.made += due
            for cell in due:
                listener.finished(cell, False)
    return outcome


def _batches(graph: BaseAssetGraph, wanted: set[Cell]) -> list[list[Cell]]:
    """Cells that share a run, in an order in which parents come first."""
    cells: dict[dg.AssetKey, list[Cell]] = defaultdict(list)
    for cell in sorted(wanted, key=lambda cell: cell.partition or ""):
        cells[cell.asset_key].append(cell)
    batches = []
    for chain in _chains(graph, set(cells)):
        by_partition: dict[str | None, list[Cell]] = defaultdict(list)
        for key in chain:
            for cell in cells[key]:
                by_partition[cell.partition].append(cell)
        batches += list(by_partition.values())
    return batches


def _chains(graph: BaseAssetGraph, keys: set[dg.AssetKey]) -> list[list[dg.AssetKey]]:
    """Assets in topological order; one that continues the same partitions joins its parent."""
    chains: list[list[dg.AssetKey]] = []
    place: dict[dg.AssetKey, int] = {}
    for level in graph.toposorted_asset_keys_by_level:
        for key in sorted(level):
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


def _run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    cells: Sequence[Cell],
    tags: Mapping[str, str] | None,
) -> None:
    part = job.get_subset(asset_selection={cell.asset_key for cell in cells})
    result = part.execute_in_process(
        run_config=_QUIET,
        instance=instance,
        partition_key=cells[0].partition,
        tags=dict(tags or {}),
        raise_on_error=False,
    )
    if not result.success:
        raise RunFailed(f"{cells[0]}: {_reason(result)}")


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The innermost error of the step that failed, on one line."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            while error.cause is not None:
                error = error.cause
            # A Failure carries its text in its user metadata as well; the message is enough.
            lines = [line.strip() for line in error.message.strip().splitlines() if line.strip()]
            return " ".join(lines)
    failures = [event.message for event in result.all_events if event.is_failure]
    return (failures[-1] if failures else "the run failed; see its log in the UI") or ""
