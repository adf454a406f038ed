"""Orders and answers as a person or a job asks for them: the next batch, its file, what came back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from edsel_assets.keys import budget_key, partition_key, trial_key
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.comparing.causes import Ledgers, behind
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.instance import show_orders
from edsel_assets.running.local import Listener, Outcome, materialize
from edsel_assets.running.replacing import next_draws, rejected_round
from edsel_assets.store import Home, Store
from edsel_assets.store.locks import hold
from edsel_assets.study import Study

if TYPE_CHECKING:
    from edsel_assets.annotation import Order
    from edsel_assets.annotators import Annotator, Answered


@dataclass(frozen=True)
class Placed:
    """An order that was placed: its name, number of prompts, expected price, and the file of its prompts.

    ``validation`` of the prompts are bought to validate.
    """

    name: str
    prompts: int
    price: float
    file: Path
    validation: int = 0

    @property
    def words(self) -> str:
        sample = f" ({self.validation} of them random, to validate)" if self.validation else ""
        return f"{self.prompts} prompts{sample}, expected to cost {self.price:g}"


@dataclass(frozen=True)
class Desk:
    """What orders of one study work on."""

    study: Study
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    home: Home

    @property
    def store(self) -> Store:
        return self.home.store(self.study.name)


def place(
    desk: Desk,
    strategy: str,
    budget: int | None,
    *,
    spend: float | None = None,
    replace: bool = False,
    listener: Listener | None = None,
    request: str | None = None,
) -> Placed:
    """Bring the strategy's ranking up to date and order its first prompts that nobody was asked for.

    Orders of one study are placed one after another, so that each ranking knows of those before it.
    A strategy that chooses in rounds orders its next round whole.

    Args:
        budget: prompts to order; None with ``spend`` or ``replace``. In rounds, one of the study's budgets,
            which all rounds share; ``spend`` likewise.
        spend: money instead: the picks in their order, each that can still be paid from it. They are those
            of the study's smallest budget of at least so much where its budgets are money, else of its
            largest.
        replace: order as many as were rejected and not replaced yet, in their place; where budgets are
            money, for what they were asked at. By a strategy of rounds, for the first of its rounds that has
            rejected prompts: the next draws of that round by its clusters' weights (see
            ``replacing.next_draws``); again for the next such round. By another strategy, its next picks,
            which count for the rounds that rejected prompts were of.
        request: a name of this request; where an order was placed for it, that is the answer.

    Raises:
        ValueError: a strategy or budget that the study does not have, or nothing to order.
    """
    _check(desk.study, strategy, budget, spend, replace)
    listener = listener or Listener()
    with hold(desk.store.order_lease, "another order is being placed", waiting=listener.waiting):
        return _place(desk, strategy, budget, spend, replace, listener, request)


def _place(
    desk: Desk,
    strategy: str,
    budget: int | None,
    spend: float | None,
    replace: bool,
    listener: Listener,
    request: str | None,
) -> Placed:
    from edsel_assets.annotation import Ledger, list_orders
    from edsel_assets.stages.buying import next_order, record_orders
    from edsel_assets.stages.training_sets import replicate_of

    record_orders(desk.store)
    before = [o for o in list_orders(desk.store) if request is not None and o.request == request]
    if before:
        return _placed(desk, before[0])
    state = Ledger(desk.store).state()
    rejected = [p.prompt_id for p in state.values() if p.rejected] if replace else []
    if replace and not rejected:
        raise ValueError("No prompt was rejected that is not replaced already, so there is nothing to order.")
    iterative = desk.study.strategy(strategy).iterative
    unit = "money" if spend is not None or desk.study.selection.by_price else "prompts"

    def amount(prompts: Sequence[str]) -> float:
        asked_at = (state[p].asked_price or 0.0 for p in prompts)
        return math.fsum(asked_at) if unit == "money" else len(prompts)

    if replace and iterative:
        cell, lost, to_validate = rejected_round(desk.study, desk.store, strategy, rejected)
        rejected = [*lost, *to_validate]
        count = amount(rejected)
        _check_made(cell, _make(desk, cell, listener), desk.store)
        # A prompt to validate is drawn at random, and needs no pick.
        picks = next_draws(desk.study, desk.store, cell, amount(lost)) if lost else _read(desk, cell)
    else:
        count = amount(rejected) if replace else spend if spend is not None else budget or 0
        cell, picks = _next_picks(desk, strategy, count, unit, listener)
    ledger = read_ledger(desk.store, cell)
    assert ledger is not None, "a cell that was just made has a ledger"
    order = next_order(
        desk.study,
        desk.store,
        replicate_of(picks, 0),
        _read(desk, Cell("pool")),
        strategy=strategy,
        budget=count,
        unit=unit,
        cell=str(cell),
        manifest={
            "ledger": ledger.model_dump(mode="json"),
            "behind": {
                name: parent.model_dump(mode="json")
                for name, parent in behind(ledger, Ledgers(desk.store)).items()
            },
        },
        replaces=rejected,
        whole=iterative and not replace,
        answered=set(_read(desk, Cell("annotations"), ["prompt_id"])["prompt_id"].to_pylist()),
        request=request,
    )
    show_orders(desk.instance, desk.store)
    return _placed(desk, order)


def _next_picks(desk: Desk, strategy: str, count: float, unit: str, listener: Listener) -> tuple[Cell, Any]:
    """The cell that the next ``count`` picks of a strategy come from, made, and its table."""
    from edsel_assets.stages.rankings import cut

    within = _within(desk.study, strategy, count, unit)
    cell = _cell(desk, strategy, within, listener)
    table = _read(desk, cell)
    if cell.asset != "rankings":
        return cell, table
    nested = desk.study.strategy(strategy).nested and not desk.study.selection.by_price
    return cell, cut(table, int(count) if nested and unit == "prompts" else within)


def _read(desk: Desk, cell: Cell, columns: list[str] | None = None) -> Any:
    from edsel_assets.store import read_table

    return read_table(desk.store.table(cell), columns)


def _placed(desk: Desk, order: "Order") -> Placed:
    from edsel_assets.annotation import order_table

    placed = order_table(desk.store, order.name)
    price = sum(value or 0.0 for value in placed["price"].to_pylist())
    return Placed(
        order.name,
        placed.num_rows,
        price,
        desk.store.order_table(order.name),
        len(order.validation),
    )


def export(desk: Desk, order: str, style: str, out: Path) -> list[Path]:
    """Write the prompts of an order for people or a tool; the files that were written.

    Raises:
        ValueError: ``out`` is there already, as it may hold answers.
    """
    from edsel_assets.annotation import export_order, order_table

    if out.exists():
        raise ValueError(
            f"{out} is there already, and may hold answers. Name another file by --out, or move it away."
        )
    return [Path(file) for file in export_order(order_table(desk.store, order), style, out)]


def take_back(
    desk: Desk, file: Path, *, order: str | None = None, keep: str | None = None, skip_unknown: bool = False
) -> Mapping[str, int]:
    """Check a file of answers against what was asked and enter them into the ledger; counts by kind.

    Nothing is written where a row is wrong.

    Raises:
        AnnotationError: naming the row and the remedy.
    """
    from edsel_assets.annotation import enter_answers, read_answers
    from edsel_assets.stages.buying import record_orders

    record_orders(desk.store)
    options: dict[str, Any] = {"keep": keep} if keep else {}
    checked = enter_answers(desk.store, read_answers(file), order=order, skip_unknown=skip_unknown, **options)
    return checked.counts


def answer(desk: Desk, order: str | None = None, annotator: "Annotator | None" = None) -> "Answered":
    """Let the study's annotator, or another, answer what is open in an order, or in all.

    Raises:
        AnnotationError: no such order, answers that come from people, or what the annotator lacks.
    """
    from edsel_assets import annotators
    from edsel_assets.stages.buying import record_orders

    chosen = annotator or annotators.annotator_of(desk.study.annotation.annotator, desk.store)
    record_orders(desk.store)
    return annotators.answer(chosen, desk.store, order)


def _check(study: Study, strategy: str, budget: int | None, spend: float | None, replace: bool) -> None:
    if strategy not in study.selection.names:
        raise ValueError(f"The study has no strategy {strategy}; it has {', '.join(study.selection.names)}.")
    if (budget is not None) + (spend is not None) + replace != 1:
        raise ValueError(
            "Say how many prompts to order by --budget, for how much money by --spend, or --replace for "
            "those rejected: one of them."
        )
    if budget is not None and budget < 1:
        raise ValueError(f"An order is of at least 1 prompt; got {budget}.")
    if budget is not None and study.selection.by_price:
        raise ValueError("The study's budgets are money (selection.by_price). Order by --spend MONEY.")
    if spend is not None and not (math.isfinite(spend) and spend > 0):
        raise ValueError(f"An order is for more than 0 of money; got {spend!r}.")
    if spend is not None and study.strategy(strategy).iterative and not study.selection.by_price:
        raise ValueError(
            f"A round of {strategy} is ordered whole. Order it by --budget, or set selection.by_price."
        )
    wanted, budgets = budget if budget is not None else spend, study.selection.budgets_for(strategy)
    if study.strategy(strategy).iterative and wanted is not None and wanted not in budgets:
        raise ValueError(
            f"A round of {strategy} is ordered whole: --{'spend' if budget is None else 'budget'} is the "
            f"budget that its rounds share, of {', '.join(map(str, budgets))}; got {wanted:g}."
        )


def _within(study: Study, strategy: str, count: float, unit: str) -> int:
    """The budget of the strategy whose picks an order is taken from."""
    budgets = study.selection.budgets_for(strategy)
    if unit == "money" and not study.selection.by_price:
        return max(budgets)
    fitting = [b for b in budgets if b >= count]
    if not fitting:
        what = f"for {count:g}" if unit == "money" else f"of {count:g} prompts"
        raise ValueError(
            f"An order {what} exceeds the largest budget, {max(budgets)}. Raise selection.budgets, or "
            "order less."
        )
    return min(fitting)


def _cell(desk: Desk, strategy: str, budget: int, listener: Listener | None) -> Cell:
    """Make the cell that the picks come from, and name it."""
    if desk.study.strategy(strategy).iterative:
        return _round(desk, strategy, budget, listener)
    cell = Cell("rankings", strategy)
    _make(desk, cell, listener)
    return cell


def _round(desk: Desk, strategy: str, budget: int, listener: Listener | None) -> Cell:
    """The first round of that budget whose picks were not ordered yet."""
    from edsel_assets.annotation import list_orders

    placed = {order.manifest.get("cell") for order in list_orders(desk.store)}
    # What is bought follows the first seed.
    partition = partition_key(budget_key(budget), trial_key(strategy, 0))
    for number in range(1, desk.study.rounds.rounds + 1):
        cell = Cell(f"round_{number}/selection", partition)
        if str(cell) not in placed:
            _check_made(cell, _make(desk, cell, listener), desk.store)
            return cell
    raise ValueError(f"All {desk.study.rounds.rounds} rounds of {strategy} at {budget} are ordered already.")


def _check_made(cell: Cell, outcome: Outcome, store: Store) -> None:
    """Refuse a round that waits for answers to those before it."""
    from edsel_assets.annotation import Ledger

    if cell not in outcome.waiting:
        return
    lacking = sum(outcome.lacking.values())
    rejected = sum(p.rejected for p in Ledger(store).state().values())
    why = f" {rejected} prompts were rejected: order others in their place by --replace." if rejected else ""
    raise ValueError(f"{cell} waits for {lacking} answers to the round before it. Import them first.{why}")


def _make(desk: Desk, cell: Cell, listener: Listener | None) -> Outcome:
    lineage = lineage_of(desk.study, desk.home)
    keys = lineage.dimensions(cell)
    scope = Scope(
        frozenset({cell.asset}),
        frozenset({int(keys["budget"])}) if "budget" in keys else frozenset(),
        frozenset({keys["strategy"]}),
    )
    return materialize(desk.study, desk.definitions, desk.instance, desk.home, scope, listener)
