"""What takes the place of rejected prompts in a round of iterative kMQ: the next draws of that round."""

from __future__ import annotations

import math
from collections.abc import Collection
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from edsel_assets.keys import parse_budget_trial
from edsel_assets.planning.cells import Cell
from edsel_assets.store import Store
from edsel_assets.study import Study

if TYPE_CHECKING:
    import pyarrow as pa


def rejected_round(
    study: Study, store: Store, strategy: str, rejected: Collection[str]
) -> tuple[Cell, list[str], list[str]]:
    """The first round of a strategy that has rejected prompts: these of its picks, and of those to validate.

    Raises:
        ValueError: none of them is of a round of that strategy.
    """
    from edsel_assets.stages.buying import orders_table

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


def next_draws(study: Study, store: Store, cell: Cell, size: float) -> pa.Table:
    """The next ``size`` draws of a round that was made, as ``replicate, rank, prompt_id, gain``.

    They are shared out over the clusters by the round's weights. In each cluster they are those that the
    round's own seed draws next, of the prompts that nobody was asked for and that no round has.

    Args:
        size: prompts, or as many as are left; money where budgets are. Where it does not buy the first of
            them, all that the pool has left is drawn, so that a cheaper one can be taken.

    Raises:
        ValueError: no prompt is left.
    """
    from edsel_assets.stages.held_out import known_ids
    from edsel_assets.stages.inputs import money_prices, signals_of
    from edsel_assets.stages.rounds import pick_round, round_options
    from edsel_assets.store import read_arrays, read_table

    def read(of: Cell, columns: list[str] | None = None) -> Any:
        return read_table(store.table(of), columns)

    _, name, seed = parse_budget_trial(cell.partition or "")
    number = int(cell.asset.partition("/")[0].removeprefix("round_"))
    grouped = Cell("clusters", study.clustering_of(name))
    weights = read(Cell(f"round_{number - 1}/weights", cell.partition), ["weight"]) if number > 1 else None
    known = [read(Cell(asset), ["prompt_id"]) for asset in ("annotations", "orders")]
    signals = signals_of(
        study.strategy(name),
        read(Cell("pool"), ["prompt_id"]),
        known_ids(*known),
        _no_embeddings,
        None,
        SimpleNamespace(table=read(grouped), arrays=read_arrays(store.arrays(grouped))),
        read(Cell("quality_scores", study.quality_of(name))),
        None if weights is None else weights["weight"].to_numpy(),
        money_prices(study, lambda columns: read(Cell("pool"), columns)),
    )
    earlier = [read(Cell(f"round_{i}/selection", cell.partition)) for i in range(1, number)]
    options = round_options(study, name, seed)

    free = len(signals.prompt_ids) - len(signals.selected)
    if not free:
        raise ValueError(
            f"Every prompt of the pool is asked for or answered; {cell} needs more. Add prompts."
        )

    def draws(amount: float) -> Any:
        return pick_round(study.strategy(name), signals, amount, options, earlier)  # type: ignore[arg-type]

    if signals.prices is None:
        return draws(min(size, free))
    found = draws(size)
    return found if found.num_rows else draws(math.fsum(signals.prices))


def _no_embeddings() -> Any:
    raise AssertionError("iterative kMQ chooses by clusters; it reads no embeddings")
