"""An order taken back before anything of it is answered: recorded, never deleted."""

from __future__ import annotations

from edsel_assets import annotation
from edsel_assets.desk.answers import record_orders
from edsel_assets.desk.desk import Desk
from edsel_assets.store.locks import hold


def cancel(desk: Desk, name: str) -> int:
    """Cancel an order; how many prompts may be ordered again.

    What it had been placed for, rejected prompts of earlier orders, counts as not replaced again. An answer
    that comes all the same is entered as a late one.

    Raises:
        AnnotationError: there is no such order, it is cancelled already, or some of it is answered, rejected
            or paid.
        Busy: an annotator is answering now.
    """
    store = desk.store
    with (
        hold(store.order_lease, "another order is being placed", waiting=desk.waiting),
        hold(store.answering_lock, "prompts are being answered", wait=False),
    ):
        record_orders(store)
        order, ledger = annotation.read_order(store, name), annotation.Ledger(store)
        if name in ledger.cancelled():
            raise annotation.AnnotationError(f"{name} is cancelled already. Nothing is left to do.")
        ids = annotation.order_table(store, name)["prompt_id"].to_pylist()
        state = ledger.state()
        back = [p for p in order.manifest.get("replaces", ()) if state[p].status == "replaced"]
        why = f"{name}, which had replaced it, is cancelled"
        ledger.append(
            [
                *(annotation.Event("cancelled", name, key) for key in ids),
                *(annotation.Event("reopened", state[key].order, key, status=why) for key in back),
            ]
        )
        record_orders(store)
    desk.changed()
    return len(ids)
