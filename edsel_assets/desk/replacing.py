"""What takes the place of rejected prompts in a round of iterative kMQ: the next draws of that round."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from types import SimpleNamespace

import pyarrow as pa

from edsel_assets.desk.tables import orders_table
from edsel_assets.keys import parse_budget_trial
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.selection.strategy import Signals
from edsel_assets.stages.held_out import known_ids
from edsel_assets.stages.rounds import pick_round, round_options, round_signals
from edsel_assets.store import Home, Store, read_arrays, read_table
from edsel_assets.study import Study


def rejected_round(
    study: Study, store: Store, strategy: str, rejected: Collection[str]
) -> tuple[Cell, list[str], list[str]]:
    """The first round of a strategy that has rejected prompts: these of its picks, and of those to validate.

    Raises:
        ValueError: none of them is of a round of that strategy.
    """
    found: dict[Cell, tuple[list[str], list[str]]] = {}
    for row in orders_table(store).to_pylist():
        cell = Cell.parse(row["counts_for"] or "")
        if row["prompt_id"] not in rejected or cell.kind != "round_selection":
            continue
        if parse_budget_trial(cell.partition or "")[1] == strategy:
            found.setdefault(cell, ([], []))[row["validation"]].append(row["prompt_id"])
    if not found:
        raise ValueError(
            f"None of the {len(rejected)} rejected prompts is of a round of {strategy}. Replace them by the "
            f"strategy that they were ordered by, of {', '.join(study.selection.names)}."
        )
    cell, (picks, to_validate) = next(iter(found.items()))
    return cell, picks, to_validate


def next_draws(study: Study, home: Home, cell: Cell, size: float) -> pa.Table:
    """The next ``size`` draws of a round that was made, as ``replicate, rank, prompt_id, gain``.

    They are shared out over the clusters by the round's weights. In each cluster they are those that the
    round's own seed draws next, of the prompts that nobody was asked for and that no round has.

    Args:
        size: prompts, or as many as are left; money where budgets are. Where it does not buy the first of
            them, all that the pool has left is drawn, so that a cheaper one can be taken.

    Raises:
        ValueError: no prompt is left.
    """
    _, name, seed = parse_budget_trial(cell.partition or "")
    signals, earlier = _inputs(study, home, cell, name)
    free = len(signals.prompt_ids) - len(signals.selected)
    if not free:
        raise ValueError(
            f"Every prompt of the pool is asked for or answered; {cell} needs more. Add prompts."
        )

    def draws(amount: float) -> pa.Table:
        options = round_options(study, name, seed)
        return pick_round(study.strategy(name), signals, amount, options, earlier)

    if signals.prices is None:
        return draws(min(size, free))
    found = draws(size)
    return found if found.num_rows else draws(math.fsum(signals.prices))


def _inputs(study: Study, home: Home, cell: Cell, strategy: str) -> tuple[Signals, list[pa.Table]]:
    """The signals that a round chooses by, as they are now, and the picks of the rounds before it."""
    store = home.store(study.name)
    parents: dict[str, list[Cell]] = defaultdict(list)
    for parent in lineage_of(study, home).parents(cell):
        parents[parent.kind].append(parent)

    def read(kind: str, columns: list[str] | None = None) -> list[pa.Table]:
        return [read_table(store.table(each), columns) for each in parents[kind]]

    (grouped,) = parents["clusters"]
    (quality,) = read("quality_scores")
    signals = round_signals(
        study,
        strategy,
        lambda columns: read("pool", columns)[0],
        known_ids(*read("annotations", ["prompt_id"]), *read("orders", ["prompt_id"])),
        SimpleNamespace(table=read_table(store.table(grouped)), arrays=read_arrays(store.arrays(grouped))),
        quality,
        *read("round_weights", ["weight"]),
    )
    return signals, read("round_selection")
