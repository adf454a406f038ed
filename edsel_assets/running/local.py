"""Make what the planner says: the engine of ``edsel run`` and of the jobs.

A cell is judged when the cells that it needs are done, and once more under its lease. So a cell that comes
out the same stops the wave, and what another run has made meanwhile is not made twice.
"""

import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from edsel_assets.keys import parse_trial
from edsel_assets.planning import preflight
from edsel_assets.planning.answers import Answers
from edsel_assets.planning.cells import Cell, Lineage, Scope, cells_in
from edsel_assets.planning.freshness import Freshness, State
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.planning.plan import plan
from edsel_assets.running.dagster_internals import (
    asset_key,
    carry_out,
    cells_of_run,
    new_run,
    pass_over,
)
from edsel_assets.running.instance import BY_COMMAND, REASON_TAG, WAITS_TAG
from edsel_assets.running.leases import device_limit, hold_for
from edsel_assets.running.quick_log import begin_log
from edsel_assets.store import Home
from edsel_assets.store.locks import hold
from edsel_assets.store.places import DagsterHome
from edsel_assets.study import Study

_TAG_LENGTH = 250  # characters that the UI still shows


class RunFailed(RuntimeError):
    """A cell that could not be made: which, and the reason in one line.

    Attributes:
        batch: the cells that were being made.
    """

    def __init__(self, reason: str, batch: Sequence[Cell] = ()) -> None:
        super().__init__(reason)
        self.batch = batch


@dataclass
class Outcome:
    """What a run did."""

    made: list[Cell] = field(default_factory=list)
    fresh: list[Cell] = field(default_factory=list)
    lacking: dict[Cell, int] = field(default_factory=dict)  # training sets that wait for so many answers
    waiting: list[Cell] = field(default_factory=list)  # these, and what needs them
    remarks: dict[str, list[str]] = field(default_factory=dict)  # by asset, what a person should know


@dataclass(frozen=True)
class Listener:
    """Called as a run goes on; the command line draws its progress with it.

    ``finished`` is told the seconds that the cell took, None for one that is fresh or waits.
    """

    planned: Callable[[int], None] = lambda cells: None
    started: Callable[[Cell], None] = lambda cell: None
    finished: Callable[[Cell, float | None], None] = lambda cell, seconds: None
    waiting: Callable[[str], None] = lambda reason: None


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
    home: Home,
    scope: Scope,
    listener: Listener | None = None,
    *,
    pool: Pool | None = None,
    cause: Mapping[str, str] | None = None,
) -> Outcome:
    """Make every missing, stale or damaged cell in ``scope``, and what it needs.

    Each cell is a Dagster run of its own. Cells of one partition that continue each other and were never made
    (a trial's adapter and scores) share one. Without a ``pool`` they are made in this process, one by one.

    Args:
        cause: tags of the runs that say what asked for them; those of the command by default.

    Raises:
        NotReady: before anything is made, with all that can be known to be wrong by then.
        RunFailed: at the first cell that fails; what was made before it is kept. After one that costs money
            nothing more is paid for, and what costs nothing is made, the report of what there is too.
        ValueError: for a scope that names what is not there.
    """
    listener = listener or Listener()
    lineage = lineage_of(study, home)
    cells = cells_in(lineage, scope)
    freshness = Freshness(study, lineage, home)
    planned = plan(freshness, scope)
    kinds = {step.cell.kind for step in planned.certain}
    perhaps = {step.cell.kind for step in planned.possible}  # such as what reads a pool that may have grown
    preflight.check(study, home, kinds)
    listener.planned(len(cells))
    pool = pool or _Here(Runner(study, definitions, instance, home, lineage, cause, listener.waiting))
    schedule = _Schedule(cells, freshness, pool, device_limit(instance), listener)
    return schedule.run(lambda: preflight.check_sizes(study, home, (kinds | perhaps) - {"pool"}))


class _Schedule:
    """Cells in the order of the graph; each is judged as soon as all that it needs is done."""

    def __init__(
        self, cells: Sequence[Cell], freshness: Freshness, pool: Pool, models: int, listener: Listener
    ) -> None:
        self._freshness, self._pool, self._listener = freshness, pool, listener
        self._models = models
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
        self._answers = Answers(freshness.store)
        self._outcome = Outcome()
        self._running: list[Sequence[Cell]] = []
        self._failed: RunFailed | None = None

    def run(self, pool_was_made: Callable[[], None]) -> Outcome:
        """Make the cells; ``pool_was_made`` is called once it is, before anything is made from it."""
        while True:
            self._judge()
            while len(self._running) < self._pool.slots and (cell := self._next()) is not None:
                self._start(cell)
            if not self._running:
                break
            try:
                batch, made = self._pool.wait()
            except RunFailed as failure:
                self._leave_out(failure)
                self._ended(failure.batch)
                continue
            self._ended(batch)
            self._freshness.forget(batch)
            if Cell("pool") in made:
                pool_was_made()
            for cell in batch:
                self._done(cell, was_fresh=cell not in made)
        if self._failed is not None:
            raise self._failed
        return self._outcome

    def _paid(self, cell: Cell) -> bool:
        at = self._freshness.lineage.table.assets[cell.asset].at(cell.partition)
        return cell.row.paid(self._freshness.study, at)

    def _next(self) -> Cell | None:
        """The cell to start: what costs money after all that does not, a seed of each strategy at a time.

        None that would only wait in its slot for a model to be given back.
        """
        free = [cell for cell in self._due if not self._paid(cell)]
        free_running = any(not self._paid(batch[0]) for batch in self._running)
        full = sum(map(self._needs_model, self._running)) >= self._models
        due = free if free or free_running else self._due
        due = [cell for cell in due if not (full and self._needs_model([cell]))]
        return min(due, key=self._place, default=None)

    def _place(self, cell: Cell) -> tuple[int, int]:
        return self._seed(cell) if self._paid(cell) else 0, self._order[cell]

    def _needs_model(self, batch: Sequence[Cell]) -> bool:
        return any(cell.row.device(self._freshness.study) for cell in batch)

    def _ended(self, batch: Sequence[Cell]) -> None:
        self._running = [each for each in self._running if each[0] != batch[0]]

    def _seed(self, cell: Cell) -> int:
        trial = self._freshness.lineage.dimensions(cell).get("trial")
        return 0 if trial is None else parse_trial(trial)[1]

    def _leave_out(self, failure: RunFailed) -> None:
        """After a failure of what costs money: that, what needs it, and all else that costs money."""
        if not failure.batch or not self._paid(failure.batch[0]):
            raise failure
        self._failed = self._failed or failure
        due, self._due = self._due, [cell for cell in self._due if not self._paid(cell)]
        for cell in [*failure.batch, *(cell for cell in due if self._paid(cell))]:
            self._wait(cell)

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
            elif self._failed is not None and self._paid(cell):
                self._wait(cell)
            else:
                self._due.append(cell)

    def _wait(self, cell: Cell) -> None:
        """Leave out a cell that cannot be made now, and what cannot do without it."""
        self._outcome.waiting.append(cell)
        self._listener.finished(cell, None)
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
        self._running.append(batch)
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
                    and cell.row.waits is None  # what it lacks is told by the selection before it
                    and not self._paid(cell)
                ):
                    return cell
        return None

    def _done(self, cell: Cell, *, was_fresh: bool) -> None:
        (self._outcome.fresh if was_fresh else self._outcome.made).append(cell)
        ledger = None if was_fresh else read_ledger(self._freshness.store, cell)
        self._listener.finished(cell, ledger.seconds if ledger else None)
        for user in self._users[cell]:
            self._supplied(user, cell)


class Runner:
    """Makes batches of cells in this process, under their leases."""

    def __init__(
        self,
        study: Study,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        home: Home,
        lineage: Lineage | None = None,
        cause: Mapping[str, str] | None = None,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self._study, self._definitions, self._instance, self._home = study, definitions, instance, home
        self._lineage = lineage or lineage_of(study, home)
        self._tags, self._waiting = cause or BY_COMMAND, waiting
        self._job = definitions.resolve_implicit_global_asset_job_def()
        self._parts: dict[frozenset[dg.AssetKey], dg.JobDefinition] = {}

    def make(self, cells: Sequence[Cell]) -> list[Cell]:
        """Make those of ``cells`` that are not fresh once their leases are held; which these were.

        Raises:
            RunFailed: naming the first cell and the reason.
        """
        with hold_for(self._study, self._home, self._instance, cells, self._waiting):
            freshness = Freshness(self._study, self._lineage, self._home)
            due: dict[Cell, str] = {}
            for cell in cells:
                verdict = freshness.verdict(cell)
                if verdict.state is not State.FRESH:
                    due[cell] = verdict.why
                elif made := [parent for parent in self._lineage.parents(cell) if parent in due]:
                    due[cell] = f"{made[0]} is made anew"
            if due:
                self._run(list(due), next(iter(due.values())))
            return list(due)

    def carry_out(self, run_id: str) -> bool:
        """Carry out a run that the UI has created; whether it succeeded."""
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            raise RunFailed(f"There is no run {run_id} in {self._instance.root_directory}.")
        cells = cells_of_run(self._study, run)
        if why := self._no_part(cells) or self._waits(cells):
            self._instance.add_run_tags(run_id, {WAITS_TAG: why})
            pass_over(self._instance, run, f"{why}. Nothing was made.")
            return True
        with hold(DagsterHome.of(self._instance).run_lease(run_id), f"run {run_id} is alive"):
            carry_out(self._definitions, self._instance, run)
        finished = self._instance.get_run_by_id(run_id)
        return finished is not None and finished.is_success

    def _no_part(self, cells: Sequence[Cell]) -> str | None:
        """That none of ``cells`` is part of the study: Dagster's partitions are a full product."""
        if not cells or any(self._lineage.table.asked(cell.asset, cell.partition) for cell in cells):
            return None
        return f"{cells[0]} is no part of the study: its strategy has other budgets"

    def _waits(self, cells: Sequence[Cell]) -> str | None:
        """What all of ``cells`` wait for; None where one of them can be made, or there is none."""
        answers = Answers(self._home.store(self._study.name))
        found = [answers.waits(cell, self._lineage) for cell in cells]
        return found[0] if found and all(found) else None

    def _run(self, cells: Sequence[Cell], reason: str) -> None:
        keys = frozenset(asset_key(self._study, cell.asset) for cell in cells)
        if keys not in self._parts:
            self._parts[keys] = self._job.get_subset(asset_selection=keys)
        job, run_id = self._parts[keys], str(uuid.uuid4())
        tags = {**self._tags, REASON_TAG: reason[:_TAG_LENGTH]}
        with hold(DagsterHome.of(self._instance).run_lease(run_id), f"run {run_id} is alive"):
            begin_log(self._instance, run_id)
            run = new_run(self._instance, job, run_id, cells[0].partition, tags)
            try:
                events = carry_out(self._definitions, self._instance, run, job)
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                events, interrupted = [], True
            else:
                interrupted = any(map(_was_interrupted, events))
            if interrupted:
                self._instance.report_run_canceled(run, "Interrupted; what was made before it is kept.")
                raise KeyboardInterrupt
        if events[-1].event_type is not dg.DagsterEventType.RUN_SUCCESS:
            raise RunFailed(f"{cells[0]}: {_reason(events)}")


class _Here:
    """A pool of one slot: this process."""

    slots = 1

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._batch: Sequence[Cell] = ()

    def start(self, batch: Sequence[Cell]) -> None:
        self._batch = batch

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        try:
            return self._batch, self._runner.make(self._batch)
        except RunFailed as failure:
            raise RunFailed(str(failure), self._batch) from failure


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step or a run ended by Ctrl-C or TERM, which Dagster reports as a failure of it."""
    error = _error(event)
    while error is not None:
        if error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
            return True
        error = error.cause
    return False


def _error(event: dg.DagsterEvent) -> Any:
    """What a step raised, or what the run needs and could not be opened; None where nothing failed."""
    if not event.is_failure:
        return None
    return event.step_failure_data.error if event.is_step_failure else event.job_failure_data.error


def _reason(events: Sequence[dg.DagsterEvent]) -> str:
    """The error that the step raised, on one line: Dagster's wrapper and lower causes left out."""
    failures = [event for event in events if event.is_failure]
    for error in filter(None, map(_error, failures)):
        while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
            error = error.cause
        text = " ".join(error.message.split())
        # Our errors say all in their text; another's kind is part of what it says.
        return re.sub(r"^(edsel_assets|dagster)[\w.]*: |^ValueError: ", "", text)
    return (failures[-1].message if failures else None) or "the run failed; see its log in the UI"
