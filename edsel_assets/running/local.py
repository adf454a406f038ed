"""Make what the planner says: the engine of ``edsel run`` and of the jobs.

A cell is judged when the cells that it needs are done, and once more under its lease. So a cell that comes
out the same stops the wave, and what another run has made meanwhile is not made twice.
"""

import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import dagster as dg

from edsel_assets.planning import preflight
from edsel_assets.planning.answers import WAITING, Answers
from edsel_assets.planning.cells import Cell, Lineage, Scope, cells_in, is_asked_for
from edsel_assets.planning.freshness import Freshness, State
from edsel_assets.planning.plan import plan
from edsel_assets.running.dagster_internals import asset_key, carry_out, cells_of_run, lineage_of, pass_over
from edsel_assets.running.instance import OWNER_TAG
from edsel_assets.running.leases import hold, hold_cells, run_lease
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
    lacking: dict[Cell, int] = field(default_factory=dict)  # training sets that wait for so many answers
    waiting: list[Cell] = field(default_factory=list)  # these, and what needs them


@dataclass(frozen=True)
class Listener:
    """Called as a run goes on; the command line draws its progress with it."""

    planned: Callable[[int], None] = lambda cells: None
    started: Callable[[Cell], None] = lambda cell: None
    finished: Callable[[Cell, bool], None] = lambda cell, was_fresh: None


class Pool(Protocol):
    """Makes batches of cells, several at a time or one."""

    slots: int

    def start(self, batch: Sequence[Cell]) -> None:
        """Begin to make a batch; a slot must be free."""

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        """Wait for one batch to end: (the batch, the cells of it that were made, not found fresh).

        Raises:
            RunFailed: where it failed.
        """


def materialize(
    study: Study,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    home: Path,
    scope: Scope,
    listener: Listener | None = None,
    *,
    pool: Pool | None = None,
) -> Outcome:
    """Make every missing, stale or damaged cell in ``scope``, and what it needs.

    Each cell is a Dagster run of its own. Cells of one partition that continue each other and were never made
    (a trial's adapter and scores) share one. Without a ``pool`` they are made in this process, one by one.

    Raises:
        NotReady: before anything is made, with all that can be known to be wrong by then.
        RunFailed: at the first cell that fails; what was made before it is kept.
        ValueError: for a scope that names what is not there.
    """
    listener = listener or Listener()
    lineage = lineage_of(study, definitions)
    cells = cells_in(lineage, scope)
    freshness = Freshness(study, lineage, home)
    preflight.check(study, home, {step.cell.kind for step in plan(freshness, scope).certain})
    listener.planned(len(cells))
    pool = pool or _Here(Runner(study, definitions, instance, home, lineage))
    return _Schedule(cells, freshness, pool, listener).run()


class _Schedule:
    """Cells in the order of the graph; each is judged as soon as all that it needs is done."""

    def __init__(self, cells: Sequence[Cell], freshness: Freshness, pool: Pool, listener: Listener) -> None:
        self._freshness, self._pool, self._listener = freshness, pool, listener
        lineage = freshness.lineage
        wanted = set(cells)
        self._order = {cell: number for number, cell in enumerate(cells)}
        self._needs = {c: {p for p in lineage.parents(c) if p in wanted} for c in cells}
        self._users: dict[Cell, list[Cell]] = defaultdict(list)
        for cell, parents in self._needs.items():
            for parent in parents:
                self._users[parent].append(cell)
        self._ready = [cell for cell in cells if not self._needs[cell]]
        self._due: list[Cell] = []
        self._taken: set[Cell] = set()
        self._answers = Answers(freshness.root)
        self._outcome = Outcome()

    def run(self) -> Outcome:
        running = 0
        while True:
            self._judge()
            while self._due and running < self._pool.slots:
                self._start(min(self._due, key=self._order.__getitem__))
                running += 1
            if not running:
                return self._outcome
            batch, made = self._pool.wait()
            running -= 1
            self._freshness.forget(batch)
            for cell in batch:
                self._done(cell, was_fresh=cell not in made)

    def _judge(self) -> None:
        """Sort the ready cells into fresh ones, which are done, and due ones."""
        while self._ready:
            cell = self._ready.pop()
            if cell in self._taken:
                continue  # in a batch with its parent
            if self._freshness.verdict(cell).state is State.FRESH:
                self._done(cell, was_fresh=True)
            elif lacking := self._answers.lacking(cell, self._freshness.lineage.parents(cell)):
                self._outcome.lacking[cell] = lacking
                self._wait(cell)
            else:
                self._due.append(cell)

    def _wait(self, cell: Cell) -> None:
        """Leave out a cell that cannot be made now, and what cannot do without it."""
        self._outcome.waiting.append(cell)
        self._listener.finished(cell, True)
        for user in self._users[cell]:
            if user in self._outcome.waiting:
                continue
            if cell.asset in self._freshness.lineage.nodes[user.asset].optional:
                self._supplied(user, cell)
            else:
                self._wait(user)

    def _supplied(self, cell: Cell, parent: Cell) -> None:
        self._needs[cell].discard(parent)
        if not self._needs[cell] and cell not in self._outcome.waiting:
            self._ready.append(cell)

    def _start(self, first: Cell) -> None:
        self._due.remove(first)
        batch = [first]
        while following := self._following(batch):
            batch.append(following)
        self._taken.update(batch)
        for cell in batch:
            self._listener.started(cell)
        self._pool.start(batch)

    def _following(self, batch: list[Cell]) -> Cell | None:
        """A cell never made of the same partition that needs only this batch beside what is done."""
        for parent in batch:
            for cell in self._users[parent]:
                if (
                    cell not in batch
                    and cell.partition == parent.partition
                    and parent.asset in self._freshness.lineage.nodes[cell.asset].continues
                    and self._needs[cell] <= set(batch)
                    and self._freshness.verdict(cell).state is State.MISSING
                    and cell.kind not in WAITING  # what it lacks is told by the selection before it
                ):
                    return cell
        return None

    def _done(self, cell: Cell, *, was_fresh: bool) -> None:
        (self._outcome.fresh if was_fresh else self._outcome.made).append(cell)
        self._listener.finished(cell, was_fresh)
        for user in self._users[cell]:
            self._supplied(user, cell)


class Runner:
    """Makes batches of cells in this process, under their leases."""

    def __init__(
        self,
        study: Study,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        home: Path,
        lineage: Lineage | None = None,
    ) -> None:
        self._study, self._definitions, self._instance, self._home = study, definitions, instance, home
        self._lineage = lineage or lineage_of(study, definitions)
        self._job = definitions.resolve_implicit_global_asset_job_def()
        self._parts: dict[frozenset[dg.AssetKey], dg.JobDefinition] = {}

    def make(self, cells: Sequence[Cell]) -> list[Cell]:
        """Make those of ``cells`` that are not fresh once their leases are held; which these were.

        Raises:
            RunFailed: naming the first cell and the reason.
        """
        root = self._home / "store" / self._study.name
        with hold_cells(root, cells):
            freshness = Freshness(self._study, self._lineage, self._home)
            due: list[Cell] = []
            for cell in cells:
                waits = any(parent in due for parent in self._lineage.parents(cell))
                if waits or freshness.verdict(cell).state is not State.FRESH:
                    due.append(cell)
            if due:
                self._run(due)
            return due

    def carry_out(self, run_id: str) -> bool:
        """Carry out a run that the UI has created; whether it succeeded."""
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            raise RunFailed(f"There is no run {run_id} in {self._instance.root_directory}.")
        cells = cells_of_run(run)
        if cells and not any(is_asked_for(self._study, cell) for cell in cells):
            why = f"{cells[0]} is no part of the study: its strategy has other budgets. Nothing was made."
            pass_over(self._instance, run, why)
            return True
        with hold(run_lease(Path(self._instance.root_directory), run_id), f"run {run_id} is alive"):
            return carry_out(self._definitions, self._instance, run)

    def _run(self, cells: Sequence[Cell]) -> None:
        keys = frozenset(asset_key(cell) for cell in cells)
        if keys not in self._parts:
            self._parts[keys] = self._job.get_subset(asset_selection=keys)
        run_id = str(uuid.uuid4())
        with hold(run_lease(Path(self._instance.root_directory), run_id), f"run {run_id} is alive"):
            result = self._parts[keys].execute_in_process(
                run_config=_QUIET,
                instance=self._instance,
                partition_key=cells[0].partition,
                asset_selection=sorted(keys),
                tags={OWNER_TAG: "cli"},
                raise_on_error=False,
                run_id=run_id,
            )
        if result.dagster_run.status is dg.DagsterRunStatus.CANCELED:
            raise KeyboardInterrupt
        if not result.success:
            raise RunFailed(f"{cells[0]}: {_reason(result)}")


class _Here:
    """A pool of one slot: this process."""

    slots = 1

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._batch: Sequence[Cell] = ()

    def start(self, batch: Sequence[Cell]) -> None:
        self._batch = batch

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        return self._batch, self._runner.make(self._batch)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The error that the step raised, on one line: Dagster's wrapper and lower causes left out."""
    failures = [event for event in result.all_events if event.is_failure]
    for event in failures:
        # A step failed, or what the run needs could not be opened.
        error = event.step_failure_data.error if event.is_step_failure else event.job_failure_data.error
        if error is None:
            continue
        while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
            error = error.cause
        text = " ".join(error.message.split())
        # Our errors say all in their text; another's kind is part of what it says.
        return re.sub(r"^(edsel_assets|dagster)[\w.]*: |^ValueError: ", "", text)
    return (failures[-1].message if failures else None) or "the run failed; see its log in the UI"
