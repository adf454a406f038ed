"""The checks of what an asset made: what each says, which only warn. Their functions are in ``stages``."""

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
NOT_WORSE = "none_worse_than_random"
LOSS_FELL = "loss_fell"
ENOUGH_QUERIES = "enough_queries"
QUERIES_NOT_KEPT_BACK = "queries_are_not_held_out"
TOLD_APART = "target_differs_from_pool"

#: What each check says, in the UI.
TEXTS = {
    UNIQUE_IDS: "Ids are unique and sorted, and no prompt is empty.",
    NONE_ORDERED_TWICE: "No prompt is in two orders: nobody is paid twice for an answer.",
    FINITE: "Every score is a finite number.",
    NONE_BOUGHT_BEFORE: "No pick was ordered or answered before, and none is picked twice.",
    GAINS: "Each pick gains at most what the one before it did, as a greedy choice has to.",
    EXACT_BUDGET: "As many different prompts as the budget says, ranked without a gap, in each replicate.",
    ADAPTER_LOADS: "The weights can be read back and are finite numbers.",
    NO_BENCHMARK_ITEM: "No prompt of the pool or of a target shares 13 words in a row with a benchmark item.",
    LOSS_FELL: "Training lowered the loss by at least 2 %, from the first epoch to the last.",
    NOT_WORSE: "No selection that means to cover the pool covers less, or has more twins, than random draws.",
    ENOUGH_QUERIES: "A target has at least 20 queries, none of them twice.",
    QUERIES_NOT_KEPT_BACK: "No query is a held-out prompt, which scores are taken on.",
    TOLD_APART: "The target can be told from the pool, so that aiming can buy something.",
    SPREAD: "The weights' entropy is at least rounds.collapse of that of equal weights.",
}

#: Those that only warn: the numbers may mislead, yet no money goes the wrong way.
WARNINGS = frozenset({NO_BENCHMARK_ITEM, SPREAD, LOSS_FELL, NOT_WORSE, ENOUGH_QUERIES, TOLD_APART})


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        problem: what is wrong and what to do about it, in one line; empty where nothing is.
        figures: numbers and texts that a person wants to see with it.
    """

    problem: str = ""
    figures: dict[str, int | float | str] = field(default_factory=dict)
