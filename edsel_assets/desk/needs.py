"""What the curve of scores by money still needs, said before money is spent and before a training."""

from __future__ import annotations

from edsel_assets import annotation
from edsel_assets.planning.cells import Cell
from edsel_assets.store import Store, StoreError, read_table
from edsel_assets.study import Study

_NOTHING_TO_SCORE = (
    "Nothing can be scored: order prompts to validate too (--validate 20, or annotation.validation), or set "
    "evaluation.held_out or evaluation.tasks."
)
_ORDERS = 2  # answered ones, which make three points with the base model


def curve_needs(study: Study, store: Store, validation: int = 0) -> list[str]:
    """One sentence for each thing that is missing; none where the next training gives a curve.

    Args:
        validation: prompts to validate of the order that is placed next.
    """
    orders = annotation.standing_orders(store)
    bought = annotation.Ledger(store).state()
    answered = {each.order for each in bought.values() if each.answered}
    to_validate = [key for order in orders for key in order.validation]
    found = []
    if not _scored(study, store) and not any(bought[key].answered for key in to_validate if key in bought):
        waiting = len(to_validate) + validation
        answers = f"Scores need the answers to the {waiting} prompts to validate."
        found.append(answers if waiting else _NOTHING_TO_SCORE)
    if len(answered) < _ORDERS:
        found.append(
            f"The curve of scores by money needs {_ORDERS} orders with answers, beside the base model; "
            f"there {'is' if len(answered) == 1 else 'are'} {len(answered)}."
        )
    return found


def _scored(study: Study, store: Store) -> bool:
    """Whether trials are scored on something that is there without an order."""
    if study.evaluation.tasks or not study.evaluation.held_out:
        return bool(study.evaluation.tasks)
    try:
        responses = read_table(store.table(Cell("pool")), ["response"])["response"]
    except StoreError:
        return True  # the pool was not read yet; it says how many of its answers are held out
    return responses.null_count < len(responses)
