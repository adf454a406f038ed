"""An order placed: what its picks come from is made, its prompts are chosen, frozen, and entered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from edsel_assets import annotation
from edsel_assets.desk import choosing
from edsel_assets.desk.answers import record_orders
from edsel_assets.desk.asking import Asking
from edsel_assets.desk.choosing import Chosen, Offer
from edsel_assets.desk.desk import Desk, Made, Placed
from edsel_assets.desk.freezing import Draft, freeze
from edsel_assets.desk.replacing import next_draws, rejected_round
from edsel_assets.keys import budget_key, partition_key, trial_key
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.planning.comparing.causes import Ledgers, behind
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.stages.rankings import cut
from edsel_assets.stages.training_sets import replicate_of
from edsel_assets.store import Store, read_table
from edsel_assets.store.locks import hold
from edsel_assets.study import Study


def place(desk: Desk, asking: Asking) -> Placed:
    """Bring the strategy's ranking up to date and order its first prompts that nobody was asked for.

    Orders of one study are placed one after another, so that each ranking knows of those before it.
    A strategy that chooses in rounds orders its next round whole.

    Money buys the picks in their order, each that can still be paid from it. They are those of the study's
    smallest budget of at least so much where its budgets are money, else of its largest.

    What is rejected is replaced one for one; where budgets are money, for what it was asked at. By a strategy
    of rounds, for the first of its rounds that has rejected prompts: the next draws of that round by its
    clusters' weights (see ``replacing.next_draws``); again for the next such round. By another strategy, its
    next picks, which count for the rounds that rejected prompts were of.

    Raises:
        ValueError: a strategy or budget that the study does not have, or nothing to order.
    """
    asking.check(desk.study)
    with _alone(desk):
        placed = _placed_before(desk.store, asking.request)
        if placed is None:
            cell, draft = _draft_of(desk, asking)
            placed = freeze(desk.store, draft, _manifest(desk.store, cell))
            desk.changed()
        return _placed(desk, placed)


def preview(desk: Desk, asking: Asking) -> Draft:
    """What ``place`` would order; nothing is asked for. Raises as ``place`` does."""
    asking.check(desk.study)
    with _alone(desk):
        return _draft_of(desk, asking)[1]


@contextmanager
def _alone(desk: Desk) -> Iterator[None]:
    """One at a time, with every order entered."""
    with hold(desk.store.order_lease, "another order is being placed", waiting=desk.waiting):
        record_orders(desk.store)
        yield


def _draft_of(desk: Desk, asking: Asking) -> tuple[Cell, Draft]:
    return _replacement(desk, asking) if asking.replace else _next(desk, asking)


def _placed_before(store: Store, request: str | None) -> annotation.Order | None:
    placed = annotation.list_orders(store) if request is not None else []
    return next((order for order in placed if order.request == request), None)


def _placed(desk: Desk, order: annotation.Order) -> Placed:
    table = annotation.order_table(desk.store, order.name)
    price = sum(value or 0.0 for value in table["price"].to_pylist())
    file = desk.store.order_table(order.name)
    return Placed(order.name, table.num_rows, price, file, len(order.validation))


# -- the next order


def _next(desk: Desk, asking: Asking) -> tuple[Cell, Draft]:
    """The next picks: by number, for money, or a round whole."""
    amount = asking.spend if asking.spend is not None else asking.budget or 0
    money, sample = asking.in_money(desk.study), asking.sample(desk.study)
    if desk.study.strategy(asking.strategy).iterative:
        cell = _next_round(desk, asking.strategy, int(amount))
        offer = _offer(desk, cell, _read(desk, cell))
        return cell, _draft(asking, offer, choosing.whole_round(offer, sample), amount)
    cell, picks = _ranked(desk, asking.strategy, amount, money)
    offer = _offer(desk, cell, picks)
    if money:
        return cell, _draft(asking, offer, choosing.for_money(offer, amount, sample), amount)
    chosen = choosing.by_number(offer, int(amount), sample)
    return cell, _draft(asking, offer, chosen, amount)


def _ranked(desk: Desk, strategy: str, amount: float, money: bool) -> tuple[Cell, pa.Table]:
    """The ranking that the next ``amount`` picks come from, made, and these picks of it."""
    within = _within(desk.study, strategy, amount, money)
    cell = Cell("rankings", strategy)
    _make(desk, cell)
    nested = desk.study.strategy(strategy).nested and not money
    return cell, cut(_read(desk, cell), int(amount) if nested else within)


def _within(study: Study, strategy: str, amount: float, money: bool) -> int:
    """The budget of the strategy whose picks an order is taken from."""
    budgets = study.selection.budgets_for(strategy)
    if money and not study.selection.by_price:
        return max(budgets)
    fitting = [b for b in budgets if b >= amount]
    if not fitting:
        what = f"for {amount:g}" if money else f"of {amount:g} prompts"
        raise ValueError(
            f"An order {what} exceeds the largest budget, {max(budgets)}. Raise selection.budgets, or "
            "order less."
        )
    return min(fitting)


def _next_round(desk: Desk, strategy: str, budget: int) -> Cell:
    """The first round of that budget whose picks were not ordered yet, made."""
    placed = {order.manifest.get("cell") for order in annotation.standing_orders(desk.store)}
    # What is bought follows the first seed.
    partition = partition_key(budget_key(budget), trial_key(strategy, 0))
    for number in range(1, desk.study.rounds.rounds + 1):
        cell = Cell(f"round_{number}/selection", partition)
        if str(cell) not in placed:
            _check_made(cell, _make(desk, cell), desk.store)
            return cell
    raise ValueError(f"All {desk.study.rounds.rounds} rounds of {strategy} at {budget} are ordered already.")


# -- an order in the place of rejected prompts


def _replacement(desk: Desk, asking: Asking) -> tuple[Cell, Draft]:
    """As many as were rejected, in their place."""
    state = annotation.Ledger(desk.store).state()
    rejected = [p.prompt_id for p in state.values() if p.rejected]
    if not rejected:
        raise ValueError("No prompt was rejected that is not replaced already, so there is nothing to order.")
    money = asking.in_money(desk.study)

    def amount(prompts: Sequence[str]) -> float:
        asked_at = (state[p].asked_price or 0.0 for p in prompts)
        return math.fsum(asked_at) if money else len(prompts)

    if desk.study.strategy(asking.strategy).iterative:
        cell, gone, spoiled = rejected_round(desk.study, desk.store, asking.strategy, rejected)
        _check_made(cell, _make(desk, cell), desk.store)
        # A prompt to validate is drawn at random, and needs no pick.
        picks = next_draws(desk.study, desk.home, cell, amount(gone)) if gone else _read(desk, cell)
    else:
        validating = {p for order in annotation.standing_orders(desk.store) for p in order.validation}
        gone = [p for p in rejected if p not in validating]
        spoiled = [p for p in rejected if p in validating]
        cell, picks = _ranked(desk, asking.strategy, amount(rejected), money)
    offer = _offer(desk, cell, picks)
    chosen = choosing.in_place_of(offer, gone, spoiled, amount(gone) if money else None)
    return cell, _draft(asking, offer, chosen, amount([*gone, *spoiled]))


# -- cells and tables


def _make(desk: Desk, cell: Cell) -> Made:
    keys = lineage_of(desk.study, desk.home).dimensions(cell)
    budgets = frozenset({int(keys["budget"])} if "budget" in keys else ())
    return desk.make(Scope(frozenset({cell.asset}), budgets, frozenset({keys["strategy"]})))


def _check_made(cell: Cell, made: Made, store: Store) -> None:
    """Refuse a round that waits for answers to those before it."""
    if cell not in made.waiting:
        return
    lacking = sum(made.lacking.values())
    rejected = sum(p.rejected for p in annotation.Ledger(store).state().values())
    why = f" {rejected} prompts were rejected: order others in their place by --replace." if rejected else ""
    raise ValueError(f"{cell} waits for {lacking} answers to the round before it. Import them first.{why}")


def _read(desk: Desk, cell: Cell, columns: list[str] | None = None) -> pa.Table:
    return read_table(desk.store.table(cell), columns)


def _offer(desk: Desk, cell: Cell, selection: pa.Table) -> Offer:
    answered = _read(desk, Cell("annotations"), ["prompt_id"])["prompt_id"].to_pylist()
    asked = annotation.asked_prompts(desk.store)
    pool = _read(desk, Cell("pool"))
    return Offer(desk.study, pool, str(cell), replicate_of(selection, 0), asked, answered)


def _manifest(store: Store, cell: Cell) -> dict[str, Any]:
    """The ledger of a cell, and behind it those of all that it was made from."""
    ledger = read_ledger(store, cell)
    assert ledger is not None, "a cell that was just made has a ledger"
    parents = behind(ledger, Ledgers(store))
    return {
        "ledger": ledger.model_dump(mode="json"),
        "behind": {name: parent.model_dump(mode="json") for name, parent in parents.items()},
    }


def _draft(asking: Asking, offer: Offer, chosen: Chosen, budget: float) -> Draft:
    unit = "money" if asking.in_money(offer.study) else "prompts"
    return Draft(offer, chosen, asking.strategy, budget, unit, asking.request)
