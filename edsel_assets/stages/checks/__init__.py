"""Checks of what an asset made: what each says, and what was found. The functions are in the modules here.

A blocking check that fails ends the run before the value is stored: nothing is made from wrong data, and
nobody is asked or paid for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

UNIQUE_IDS = "ids_are_unique"
NONE_ORDERED_TWICE = "none_ordered_twice"
FINITE = "scores_are_finite"
NONE_BOUGHT_BEFORE = "none_bought_before"
GAINS = "gains_do_not_rise"
EXACT_BUDGET = "budget_is_exact"
ADAPTER_LOADS = "adapter_loads"
NO_BENCHMARK_ITEM = "no_benchmark_item_in_pool"
SPREAD = "weights_spread"
LOSS_FELL = "loss_fell"

#: What each check says, in the UI.
TEXTS = {
    UNIQUE_IDS: "Ids are unique and sorted, and no prompt is empty.",
    NONE_ORDERED_TWICE: "No prompt is in two orders: nobody is paid twice for an answer.",
    FINITE: "Every score is a finite number.",
    NONE_BOUGHT_BEFORE: "No pick was ordered or answered before, and none is picked twice.",
    GAINS: "Each pick gains at most what the one before it did, as a greedy choice has to.",
    EXACT_BUDGET: "As many different prompts as the budget says, ranked without a gap, in each replicate.",
    ADAPTER_LOADS: "The weights can be read back and are finite numbers.",
    NO_BENCHMARK_ITEM: "No prompt of the pool shares 13 words in a row with a benchmark item.",
    LOSS_FELL: "Training lowered the loss by at least 2 %, from the first epoch to the last.",
    SPREAD: "The weights' entropy is at least rounds.collapse of that of equal weights.",
}

#: Those that only warn: the numbers may mislead, yet no money goes the wrong way.
WARNINGS = frozenset({NO_BENCHMARK_ITEM, SPREAD, LOSS_FELL})

#: The checks of each kind of asset.
CHECKS: dict[str, tuple[str, ...]] = {
    "pool": (UNIQUE_IDS,),
    "orders": (NONE_ORDERED_TWICE,),
    "uncertainty_scores": (FINITE,),
    "quality_scores": (FINITE,),
    "rankings": (NONE_BOUGHT_BEFORE, GAINS),
    "selections": (EXACT_BUDGET,),
    "round_selection": (NONE_BOUGHT_BEFORE,),
    "round_weights": (SPREAD,),
    "iterative_selections": (EXACT_BUDGET,),
    "lora_adapters": (ADAPTER_LOADS, LOSS_FELL),
    "round_checkpoint": (ADAPTER_LOADS, LOSS_FELL),
    "purchased_adapter": (ADAPTER_LOADS, LOSS_FELL),
    "base_scores": (FINITE, NO_BENCHMARK_ITEM),
    "benchmark_scores": (FINITE,),
    "purchased_scores": (FINITE,),
}


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        problem: what is wrong and what to do about it, in one line; empty where nothing is.
        figures: numbers and texts that a person wants to see with it.
    """

    problem: str = ""
    figures: dict[str, int | float | str] = field(default_factory=dict)


def named(ids: Iterable[str], most: int = 3) -> str:
    """The first of some ids, for a message."""
    listed = sorted(ids)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
