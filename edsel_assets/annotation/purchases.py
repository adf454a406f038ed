"""The state of what was bought: what the events say together, and which events may follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.events import EVENTS, Event


@dataclass(frozen=True)
class Purchase:
    """What the ledger says of one prompt that was asked for.

    Attributes:
        status: ``asked``; ``answered``; ``rejected`` (nobody will answer it, unless an answer comes
            after all); ``replaced`` (another prompt was asked for instead); ``cancelled`` (its order was; it
            may be asked for again); ``late`` (answered after it was replaced or cancelled).
        response: the answer of an ``answered`` or a ``late`` prompt, else None.
        price: what it costs: as paid, else as answered, else as asked. An answer after a rejection that was
            paid costs both.
        paid: what was paid for it in all, None before it is paid.
        asked_price: what it was expected to cost when it was asked for, whatever was paid since.
        due: what is still to be paid for its answer; None where that is nothing, or not known.
        settled: whether a payment was for its answer, made after it or in advance. One for a rejection is
            not.
    """

    prompt_id: str
    order: str
    status: str
    response: str | None = None
    price: float | None = None
    paid: float | None = None
    who: str | None = None
    asked_when: str = ""
    answered_when: str = ""
    asked_price: float | None = None
    due: float | None = None
    settled: bool = False

    @property
    def answered(self) -> bool:
        return self.response is not None

    @property
    def rejected(self) -> bool:
        return self.status == "rejected"

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for its answer, though one may come."""
        return self.status in ("replaced", "cancelled")


def fold(events: Iterable[Event]) -> dict[str, Purchase]:
    """The state after ``events``: prompt_id to purchase."""
    state: dict[str, Purchase] = {}
    for event in events:
        apply(state, event)
    return state


def by_day(events: Iterable[Event]) -> list[dict[str, Any]]:
    """For each UTC day with an event, in order of day: how many events of each kind, and what was paid.

    Keys: ``day``, each of ``EVENTS``, and ``spent``, the sum of the prices paid that day.
    """
    days: dict[str, dict[str, Any]] = {}
    for event in events:
        day = event.when[:10]
        row = days.setdefault(day, {"day": day, **dict.fromkeys(EVENTS, 0), "spent": 0.0})
        row[event.event] += 1
        if event.event == "paid":
            row["spent"] += event.price or 0.0
    return [days[day] for day in sorted(days)]


def admits(state: Mapping[str, Purchase], event: Event) -> bool:
    """Whether ``event`` says something new; False where it is recorded already.

    Raises:
        AnnotationError: it contradicts what is recorded.
    """
    now = state.get(event.prompt_id)
    if event.event == "asked":
        if now is not None and now.order != event.order and now.status == "cancelled" and now.paid is None:
            return True
        if now is not None and now.order != event.order:
            raise AnnotationError(
                f"Prompt {event.prompt_id} was asked for in {now.order} and cannot be asked for again in "
                f"{event.order}. Leave it out."
            )
        return now is None
    if now is None or now.order != event.order:
        where = "in no order" if now is None else f"in {now.order}"
        raise AnnotationError(
            f"Prompt {event.prompt_id} was asked for {where}, not in {event.order}. Name the right order."
        )
    if event.event == "paid":
        return now.paid is None or (now.answered and not now.settled)
    if event.event in ("answered", "late"):
        return _admits_answer(now, event)
    if now.response is not None:
        if now.status == "late" and event.event == "replaced":
            return False
        raise AnnotationError(
            f"Prompt {event.prompt_id} is answered and cannot be {event.event}. Leave it out."
        )
    if event.event == "rejected":
        return now.status == "asked"
    if event.event == "reopened":
        return now.status == "replaced"
    if event.event == "cancelled":
        return _admits_cancelling(now)
    return not now.given_up


def _admits_cancelling(now: Purchase) -> bool:
    if now.status in ("asked", "cancelled") and now.paid is None:
        return now.status == "asked"
    what = "paid" if now.status == "asked" else now.status
    raise AnnotationError(
        f"Prompt {now.prompt_id} of {now.order} is {what} already, so the order "
        "cannot be cancelled. Import its other answers, or leave them open."
    )


def _admits_answer(now: Purchase, event: Event) -> bool:
    if now.response is not None:
        if now.response == event.response:
            return False
        raise AnnotationError(
            f"Prompt {event.prompt_id} of {event.order} is answered already, with another answer. A recorded "
            "answer does not change; leave the new one out."
        )
    late = now.given_up
    if late != (event.event == "late"):
        raise AnnotationError(
            f"The answer to prompt {event.prompt_id} is {'late' if late else 'not late'}: the prompt is "
            f"{now.status}. Record it as {'late' if late else 'answered'}."
        )
    return True


def apply(state: dict[str, Purchase], event: Event) -> None:
    """Bring ``state`` forward by ``event``, which ``admits`` let in."""
    key, price = event.prompt_id, event.price
    if event.event == "asked":
        asked = Purchase(key, event.order, "asked", price=price, asked_when=event.when, asked_price=price)
        if key not in state or state[key].status == "cancelled":
            state[key] = asked
        return
    if key not in state:
        raise AnnotationError(
            f"Prompt {key} is {event.event} in the ledger but was never asked for. Restore the "
            "ledger from a backup."
        )
    now = state[key]
    if event.event == "paid":
        state[key] = _paid(now, price or 0.0)
    elif event.event in ("answered", "late"):
        state[key] = _answered(now, event)
    else:  # reopened: the order was cancelled that had another prompt in its place
        state[key] = replace(now, status="rejected" if event.event == "reopened" else event.event)


def _paid(now: Purchase, price: float) -> Purchase:
    """A payment while a prompt is rejected or given up is for the refusal; its answer is paid beside it."""
    total = (now.paid or 0.0) + price
    settled = now.settled or not (now.rejected or now.given_up)
    return replace(now, paid=total, price=total, due=None, settled=settled)


def _answered(now: Purchase, event: Event) -> Purchase:
    due = now.asked_price if event.price is None else event.price
    return replace(
        now,
        status=event.event,
        response=event.response,
        price=now.price if now.settled or due is None else (now.paid or 0.0) + due,
        due=None if now.settled else due,
        who=event.who,
        answered_when=event.when,
    )
