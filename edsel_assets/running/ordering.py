"""Orders and answers as a person or a job asks for them: the next batch, its file, what came back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.keys import ITERATIVE_PREFIX, budget_key
from edsel_assets.planning.cells import Cell, Lineage, Scope, cell_path, with_suffix
from edsel_assets.planning.comparing.causes import Ledgers, behind
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.running.dagster_internals import lineage_of
from edsel_assets.running.instance import show_orders
from edsel_assets.running.local import Listener, Outcome, materialize
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study import Study


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


@dataclass(frozen=True)
class Desk:
    """What orders of one study work on."""

    study: Study
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    home: Path

    @property
    def store(self) -> Path:
        return self.home / "store" / self.study.name


def place(
    desk: Desk, strategy: str, budget: int | None, *, replace: bool = False, listener: Listener | None = None
) -> Placed:
    """Bring the strategy's ranking up to date and order its first prompts that nobody was asked for.

    Args:
        budget: prompts to order; None with ``replace``.
        replace: order as many as were rejected and not replaced yet, in their place.

    Raises:
        ValueError: a strategy or budget that the study does not have, or nothing to order.
    """
    from edsel_assets.annotation import Ledger
    from edsel_assets.stages.buying import next_order, record_orders
    from edsel_assets.stages.rankings import cut
    from edsel_assets.stages.training_sets import replicate_of
    from edsel_assets.store import read_table

    _check(desk.study, strategy, budget, replace)
    record_orders(desk.store)
    rejected = [p.prompt_id for p in Ledger(desk.store).state().values() if p.rejected] if replace else []
    if replace and not rejected:
        raise ValueError("No prompt was rejected that is not replaced already, so there is nothing to order.")
    count = len(rejected) if replace else budget
    assert count is not None
    cell = _cell(desk, strategy, count, listener)
    table = read_table(with_suffix(cell_path(desk.store, cell), ".parquet"))
    picks = cut(table, _stored_budget(desk.study, strategy, count)) if cell.asset == "rankings" else table
    ledger = read_ledger(desk.store, cell)
    assert ledger is not None, "a cell that was just made has a ledger"
    order = next_order(
        desk.study,
        desk.store,
        replicate_of(picks, 0),
        read_table(with_suffix(cell_path(desk.store, Cell("pool")), ".parquet")),
        strategy=strategy,
        budget=count,
        cell=str(cell),
        manifest={
            "ledger": ledger.model_dump(mode="json"),
            "behind": {
                name: parent.model_dump(mode="json")
                for name, parent in behind(ledger, Ledgers(desk.store)).items()
            },
        },
        replaces=rejected,
    )
    show_orders(desk.instance, desk.store)
    from edsel_assets.annotation import order_table

    placed = order_table(desk.store, order.name)
    price = sum(value or 0.0 for value in placed["price"].to_pylist())
    return Placed(
        order.name,
        placed.num_rows,
        price,
        desk.store / "orders" / f"{order.name}.parquet",
        len(order.validation),
    )


def export(desk: Desk, order: str, style: str, out: Path) -> list[Path]:
    """Write the prompts of an order for people or a tool; the files that were written."""
    from edsel_assets.annotation import export_order, order_table

    return [Path(file) for file in export_order(order_table(desk.store, order), style, out)]


def take_back(
    desk: Desk, file: Path, *, order: str | None = None, keep: str | None = None, skip_unknown: bool = False
) -> Mapping[str, int]:
    """Check a file of answers against what was asked and enter them into the ledger; counts by kind.

    Nothing is written where a row is wrong.

    Raises:
        AnnotationError: naming the row and the remedy.
    """
    from edsel_assets.annotation import Event, Ledger, check_answers, read_answers
    from edsel_assets.stages.buying import record_orders

    record_orders(desk.store)
    ledger = Ledger(desk.store)
    state = ledger.state()
    options: dict[str, Any] = {"keep": keep} if keep else {}
    checked = check_answers(read_answers(file), state, order=order, skip_unknown=skip_unknown, **options)
    ledger.append(checked.events(state))
    after = ledger.state()
    # An answer in time is due at the price that it was asked at; a late one is for a person to decide.
    ledger.append(
        Event("paid", p.order, p.prompt_id, price=p.price)
        for p in after.values()
        if p.status == "answered" and p.paid is None and p.price is not None
    )
    return checked.counts


def _check(study: Study, strategy: str, budget: int | None, replace: bool) -> None:
    if strategy not in study.selection.strategies:
        raise ValueError(
            f"The study has no strategy {strategy}; it has {', '.join(study.selection.strategies)}."
        )
    if replace == (budget is not None):
        raise ValueError("Say how many prompts to order by --budget, or --replace for those rejected.")
    if budget is not None and budget < 1:
        raise ValueError(f"An order is of at least 1 prompt; got {budget}.")


def _stored_budget(study: Study, strategy: str, count: int) -> int:
    """The budget whose picks hold ``count`` prompts."""
    if STRATEGIES[strategy].nested:
        return count
    return min(b for b in study.selection.budgets if b >= count)


def _cell(desk: Desk, strategy: str, count: int, listener: Listener | None) -> Cell:
    """Make the cell that the picks come from, and name it."""
    budgets = [b for b in desk.study.selection.budgets if b >= count]
    if not budgets:
        raise ValueError(
            f"An order of {count} prompts exceeds the largest budget, {max(desk.study.selection.budgets)}. "
            "Raise selection.budgets, or order less."
        )
    if STRATEGIES[strategy].iterative:
        return _round(desk, strategy, min(budgets), listener)
    cell = Cell("rankings", strategy)
    _make(desk, cell, listener)
    return cell


def _round(desk: Desk, strategy: str, budget: int, listener: Listener | None) -> Cell:
    """The first round of that budget whose picks were not ordered yet."""
    from edsel_assets.annotation import list_orders

    placed = {order.manifest.get("cell") for order in list_orders(desk.store)}
    partition = f"{budget_key(budget)}|{strategy.removeprefix(ITERATIVE_PREFIX)}"
    for number in range(1, desk.study.rounds.rounds + 1):
        cell = Cell(f"round_{number}/selection", partition)
        if str(cell) not in placed:
            outcome = _make(desk, cell, listener)
            if cell in outcome.waiting:
                lacking = sum(outcome.lacking.values())
                raise ValueError(
                    f"{cell} waits for {lacking} answers to the round before it. Import them first, or order "
                    "what was rejected again by --replace."
                )
            return cell
    raise ValueError(f"All {desk.study.rounds.rounds} rounds of {strategy} at {budget} are ordered already.")


def _make(desk: Desk, cell: Cell, listener: Listener | None) -> Outcome:
    lineage: Lineage = lineage_of(desk.definitions)
    keys = lineage.dimensions(cell)
    scope = Scope(
        frozenset({cell.asset}),
        frozenset({int(keys["budget"])}) if "budget" in keys else frozenset(),
        frozenset({keys["strategy"]}),
    )
    return materialize(desk.study, desk.definitions, desk.instance, desk.home, scope, listener)
