"""Open prompts to an annotator, its answers into the ledger, one process at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edsel_assets.annotation import (
    AnnotationError,
    AnswerRow,
    CheckedAnswers,
    Event,
    Ledger,
    enter_answers,
    order_table,
    read_order,
)
from edsel_assets.annotation.answers import Keep
from edsel_assets.annotators.protocol import Annotator, Asked
from edsel_assets.store import Store
from edsel_assets.store.locks import locked


@dataclass(frozen=True)
class Answered:
    """What an annotator brought.

    Attributes:
        answered, rejected, late: prompts.
        paid: what they cost.
        open: prompts of the order, or of all orders, that are still without an answer.
        remarks: what the annotator has to say.
    """

    answered: int
    rejected: int
    late: int
    paid: float
    open: int
    remarks: tuple[str, ...]


def answer(annotator: Annotator, store: Store, order: str | None = None) -> Answered:
    """Let ``annotator`` answer what is open in ``order``, or in every order; others wait for it to end.

    The ledger must know every order (``desk.record_orders``).

    Raises:
        AnnotationError: no such order, or what the annotator lacks, before anything is asked.
    """
    if order is not None:
        read_order(store, order)
    problems = annotator.problems()
    if problems:
        raise AnnotationError(" ".join(problems))
    counts: Counter[str] = Counter()

    def enter(
        rows: Sequence[AnswerRow],
        prices: Mapping[str, float] | None = None,
        keep: Keep | None = None,
    ) -> CheckedAnswers:
        checked = enter_answers(store, rows, prices=prices, keep=keep)
        _pay_beside(store, rows, prices or {})
        for kind in ("answered", "rejected", "late"):
            counts[kind] += len(getattr(checked, kind))
        return checked

    with locked(store.answering_lock):
        before = _paid(store)
        remarks = annotator.answer(open_prompts(store, order), enter)
        paid = _paid(store) - before
        left = len(open_prompts(store, order))
    return Answered(counts["answered"], counts["rejected"], counts["late"], paid, left, tuple(remarks))


def open_prompts(store: Store, order: str | None = None) -> list[Asked]:
    """Prompts that were asked for and are not answered, rejected or replaced, in the order of asking."""
    texts: dict[str, dict[str, str]] = {}
    found = []
    for key, bought in Ledger(store).state().items():
        if bought.status != "asked" or (order is not None and bought.order != order):
            continue
        if bought.order not in texts:
            table = order_table(store, bought.order)
            texts[bought.order] = dict(
                zip(table["prompt_id"].to_pylist(), table["prompt"].to_pylist(), strict=True)
            )
        found.append(Asked(key, bought.order, texts[bought.order][key]))
    return found


def _pay_beside(store: Store, rows: Sequence[AnswerRow], prices: Mapping[str, float]) -> None:
    """Pay what was spent on prompts that others answered meanwhile, where nobody was paid for them yet."""
    ledger = Ledger(store)
    state = ledger.state()
    ledger.append(
        Event("paid", state[row.prompt_id].order, row.prompt_id, who=row.who, price=prices[row.prompt_id])
        for row in rows
        if row.prompt_id in prices
        and state[row.prompt_id].status == "answered"
        and state[row.prompt_id].paid is None
    )


def _paid(store: Store) -> float:
    return sum(bought.paid or 0.0 for bought in Ledger(store).state().values())
