"""An order handed out, its answers taken back, and every order in the ledger of purchases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from edsel_assets import annotation, annotators
from edsel_assets.annotation.answers import Keep
from edsel_assets.desk.desk import Desk
from edsel_assets.store import Store


def record_orders(store: Store) -> None:
    """Enter every order into the ledger, with what it replaces; mark the cancelled ones. Again is nothing.

    It also completes what a process that was killed between an order and the ledger left undone.
    """
    ledger = annotation.Ledger(store)
    for name in ledger.cancelled():
        store.create(store.cancelled(name), b"")
    for order in annotation.standing_orders(store):
        ledger.ask(annotation.order_table(store, order.name))
        state = ledger.state()
        ledger.append(
            annotation.Event("replaced", state[key].order, key, status=order.name)
            for key in order.manifest.get("replaces", ())
            if state[key].rejected
        )


def export(desk: Desk, order: str, style: str, out: Path) -> list[Path]:
    """Write the prompts of an order for people or a tool; the files that were written.

    Raises:
        ValueError: the order is cancelled, or ``out`` is there already, as it may hold answers.
    """
    if order in annotation.Ledger(desk.store).cancelled():
        raise ValueError(f"{order} is cancelled, and nobody waits for its answers. Hand out another order.")
    if out.exists():
        raise ValueError(
            f"{out} is there already, and may hold answers. Name another file by --out, or move it away."
        )
    return [
        Path(file) for file in annotation.export_order(annotation.order_table(desk.store, order), style, out)
    ]


def take_back(
    desk: Desk, file: Path, *, order: str | None = None, keep: str | None = None, skip_unknown: bool = False
) -> Mapping[str, int]:
    """Check a file of answers against what was asked and enter them into the ledger; counts by kind.

    Nothing is written where a row is wrong.

    Raises:
        AnnotationError: naming the row and the remedy.
    """
    record_orders(desk.store)
    rows, which = annotation.read_answers(file), cast("Keep | None", keep)  # another word is refused below
    checked = annotation.enter_answers(desk.store, rows, order=order, keep=which, skip_unknown=skip_unknown)
    return checked.counts


def answer(
    desk: Desk, order: str | None = None, annotator: annotators.Annotator | None = None
) -> annotators.Answered:
    """Let the study's annotator, or another, answer what is open in an order, or in all.

    Raises:
        AnnotationError: no such order, answers that come from people, or what the annotator lacks.
    """
    chosen = annotator or annotators.annotator_of(desk.study.annotation.annotator, desk.store)
    record_orders(desk.store)
    return annotators.answer(chosen, desk.store, order)
