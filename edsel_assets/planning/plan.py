"""What has to be made, in which order, and why: the one planner of commands, jobs and triggers."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

from edsel_assets.planning.answers import Answers
from edsel_assets.planning.cells import Cell, Lineage, Scope, cells_in
from edsel_assets.planning.estimates import FromTokens
from edsel_assets.planning.freshness import Freshness, State, Verdict
from edsel_assets.planning.reasons import Reason, What, in_words


@dataclass(frozen=True)
class Step:
    """A cell to make.

    Attributes:
        reasons: why.
        certain: False where it is made only if one of its inputs comes out with another content.
        seconds: what it is expected to take, from ledgers, else from tokens; None where neither tells.
        lacking: answers that it lacks itself.
        cost: what these are expected to cost, in the study's money; None where it is not known.
        waits: whether it, or what it needs, lacks answers; it is not made now.
    """

    cell: Cell
    state: State
    reasons: tuple[Reason, ...]
    certain: bool
    seconds: float | None
    lacking: int = 0
    waits: bool = False
    cost: float | None = None

    @property
    def why(self) -> str:
        """The reasons in words."""
        return in_words(self.reasons)


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they can be made, cells that are fresh, and assets that nothing reads."""

    steps: tuple[Step, ...]
    fresh: tuple[Cell, ...]
    unread: tuple[str, ...] = ()

    @property
    def certain(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.certain and not step.waits)

    @property
    def possible(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if not step.certain and not step.waits)

    @property
    def waiting(self) -> tuple[Step, ...]:
        """What lacks answers, and what needs it."""
        return tuple(step for step in self.steps if step.waits)


def plan(freshness: Freshness, scope: Scope | None = None) -> Plan:
    """Judge every cell in ``scope`` and what it needs. Reads study and store, and changes nothing.

    Raises:
        ValueError: for a scope that names what is not there.
    """
    lineage = freshness.lineage
    scope = scope or Scope()
    cells = cells_in(lineage, scope)
    times, answers = _Times(freshness, lineage), Answers(freshness.store)
    remade: dict[Cell, bool] = {}  # cell -> whether it is certain
    waiting_for_answers: set[Cell] = set()
    steps, fresh = [], []
    for cell in cells:
        verdict = freshness.verdict(cell)
        waiting = [p for p in lineage.parents(cell) if p in remade and p not in waiting_for_answers]
        unanswered = [p for p in lineage.required(cell) if p in waiting_for_answers]
        blocked = bool(unanswered)
        if verdict.state is State.FRESH and not waiting and not blocked:
            fresh.append(cell)
            continue
        verdict = _without_echo(verdict, waiting)
        certain = verdict.state is not State.FRESH
        # A parent that is not there yet is made with whatever content it then has.
        reasons = verdict.reasons or (
            (_remade(waiting),) if waiting else (Reason(What.UNANSWERED, str(unanswered[0])),)
        )
        state = verdict.state if certain else State.STALE
        remade[cell] = certain
        lacking = answers.lacking(cell, lineage.parents(cell))
        waits = bool(lacking) or blocked
        if waits:
            waiting_for_answers.add(cell)
        rule = freshness.study.annotation
        cost = answers.cost(cell, lineage.parents(cell), rule) if lacking else None
        steps.append(Step(cell, state, reasons, certain, times.of(cell), lacking, waits, cost))
    unread = tuple(lineage.table.unread) if scope == Scope() else ()
    return Plan(tuple(steps), tuple(fresh), unread)


def _without_echo(verdict: Verdict, waiting: list[Cell]) -> Verdict:
    """Leave out that an input is not there where the plan makes that input."""
    if verdict.state is not State.STALE:
        return verdict
    echoes = {Reason(What.NOT_THERE, str(parent)) for parent in waiting}
    kept = tuple(reason for reason in verdict.reasons if reason not in echoes)
    return Verdict(State.STALE, kept) if kept else Verdict(State.FRESH)


def _remade(parents: list[Cell]) -> Reason:
    return Reason(What.REMADE, str(parents[0]), after=len(parents) - 1)


class _Times:
    """Expected seconds of a cell: its last time, else its kind's mean, else by its tokens."""

    def __init__(self, freshness: Freshness, lineage: Lineage) -> None:
        self._freshness, self._lineage = freshness, lineage
        self._from_tokens = FromTokens(freshness.study, freshness.store, lineage)
        self._means: dict[tuple[str, str | None], float] | None = None

    def of(self, cell: Cell) -> float | None:
        ledger = self._freshness.ledger(cell)
        if ledger is not None:
            return ledger.seconds
        if self._means is None:
            self._means = self._gather()
        budget = self._lineage.dimensions(cell).get("budget")
        known = self._means.get((cell.kind, budget), self._means.get((cell.kind, None)))
        if known is not None:
            return known
        return self._from_tokens.of(cell)

    def _gather(self) -> dict[tuple[str, str | None], float]:
        found: dict[tuple[str, str | None], list[float]] = defaultdict(list)
        for node in self._lineage.nodes.values():
            for cell in node.cells():
                ledger = self._freshness.ledger(cell)
                if ledger is not None:
                    budget = self._lineage.dimensions(cell).get("budget")
                    for key in {(cell.kind, budget), (cell.kind, None)}:
                        found[key].append(ledger.seconds)
        return {key: fmean(values) for key, values in found.items()}
