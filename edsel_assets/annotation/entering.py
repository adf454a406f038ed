"""Answers into the ledger: checked, entered and paid in one step, from whatever annotator they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edsel_assets.annotation.answers import CheckedAnswers, Keep, check_answers
from edsel_assets.annotation.events import Event
from edsel_assets.annotation.formats.row import AnswerRow
from edsel_assets.annotation.ledger import Ledger
from edsel_assets.store import Store


def enter_answers(
    store: Store,
    rows: Iterable[AnswerRow],
    *,
    order: str | None = None,
    keep: Keep | None = None,
    skip_unknown: bool = False,
    prices: Mapping[str, float] | None = None,
) -> CheckedAnswers:
    """Enter ``rows`` into the ledger of ``store``, all or none; what is recorded already is left out.

    An answer in time is paid at the price that it was asked at, or that ``prices`` says, beside what its
    rejection did cost before; a late one is for a person to decide. A rejection is paid only where ``prices``
    has one: who would not answer may have cost something all the same.

    Args:
        order, keep, skip_unknown: as in ``check_answers``.
        prices: prompt_id to what its answer, or rejection, did cost.

    Raises:
        AnnotationError: naming the row and the remedy; nothing is written.
    """
    ledger, given = Ledger(store), prices or {}
    state = ledger.state()
    checked = check_answers(rows, state, order=order, keep=keep, skip_unknown=skip_unknown)
    due = [
        (answer, given.get(answer.prompt_id, state[answer.prompt_id].asked_price))
        for answer in checked.answered
    ]
    due += [(answer, given.get(answer.prompt_id)) for answer in checked.rejected]
    paid = [
        Event("paid", state[answer.prompt_id].order, answer.prompt_id, who=answer.who, price=price)
        for answer, price in due
        if price is not None
    ]
    # What a process left unpaid that was stopped between the two.
    unpaid = [
        Event("paid", p.order, p.prompt_id, who=p.who, price=p.due)
        for p in state.values()
        if p.status == "answered" and p.due is not None
    ]
    ledger.append([*checked.events(state, given), *paid, *unpaid])
    return checked
