"""What ``edsel plan --power`` says: which savings the study's design can see, and what would see more."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edsel_assets.planning.cells import Cell
from edsel_assets.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

    from edsel_assets.report.statistics.power import Spread
    from edsel_assets.study import Study

#: Shares of the annotation whose seeing is planned for.
_SHARES = (0.1, 0.25, 0.5)


def wide_budgets(study: "Study") -> Iterator[str]:
    """The control's budgets between which the plan has none, so that savings would be interpolated."""
    from edsel_assets.report.statistics.control import wide_gap
    from edsel_assets.report.statistics.curve import wide_gaps

    control = study.control
    if control is not None and not study.selection.by_price:
        for low, high in wide_gaps(sorted(study.selection.budgets_for(control))):
            yield wide_gap(control, low, high)


def power_lines(study: "Study", store: Store, spread: float | None) -> Iterator[str]:
    """One line for each budget of a strategy, and what seeds would see smaller savings there.

    Args:
        spread: standard deviation over seeds, as a share of what a doubling of the control's prompts adds;
            None: read off the last report.

    Raises:
        ValueError: the study has no control, or there is neither a report nor a spread.
    """
    from edsel_assets.report.statistics.power import POWER, Spread, spread_at

    control = study.control
    if control is None:
        raise ValueError("Power is that of a comparison with the control; name one: report.control.")
    table = None if spread is not None else _report(study, store)
    yield (
        f"Savings that are seen in {POWER:.0%} of studies: the interval of one row leaves out 0. "
        + ("By the stated spread; items add none." if table is None else "By the last report.")
    )
    for budget in sorted({b for name in _others(study) for b in study.selection.budgets_for(name)}):
        stated = Spread(spread, 0.0, 1.0) if spread is not None else None
        found = stated if table is None else spread_at(table, control, budget)
        unknown = f"no spread is known, or {control} gains nothing"
        yield f"at {budget:,} prompts: {unknown if found is None else _line(study, found, budget)}"


def _others(study: "Study") -> list[str]:
    return [name for name in study.selection.names if name != study.control]


def _report(study: "Study", store: Store) -> "DataFrame":
    """The rows of the first task of the last report: what it is about."""
    from edsel_assets.store import StoreError, read_table

    try:
        table = read_table(store.table(Cell("label_efficiency"))).to_pandas()
    except StoreError:
        table = None
    if table is None or "difference_se" not in table:
        raise ValueError(
            "There is no report with a comparison to read a spread from. State one, such as --spread 0.3: "
            "the standard deviation of a score over seeds, as a share of what twice the random prompts add."
        )
    tasks = table.loc[table["budget"] > 0, "task"].tolist()
    return table[table["task"] == ("average" if "average" in tasks else tasks[0])]


def _line(study: "Study", spread: "Spread", budget: int) -> str:
    from edsel_assets.report.statistics.power import seeds_for, smallest_saving

    control = study.control or ""
    own, theirs = min(len(study.seeds(name)) for name in _others(study)), len(study.seeds(control))
    seen, ratio = smallest_saving(spread, own, theirs), theirs / own
    parts = [f"{own} seeds ({control} {theirs}) see a saving of {seen:.0%}{_reach(study, budget, seen)}"]
    for share in _SHARES:
        seeds = seeds_for(spread, share, ratio)
        wanted = "no number of seeds does" if seeds is None else f"{seeds} ({control} {round(ratio * seeds)})"
        parts.append(f"for {share:.0%}: {wanted}")
    if spread.items:
        total = spread.items**2 + spread.seeds**2 * (1 / own + 1 / theirs)
        parts.append(
            f"{spread.items**2 / total:.0%} of the variance is of items: more held-out prompts reduce it"
        )
    return "; ".join(parts)


def _reach(study: "Study", budget: int, share: float) -> str:
    """That the control's largest budget is too small to read the saving, where it is."""
    largest, needed = max(study.selection.budgets_for(study.control or "")), budget / (1 - share)
    if not needed > largest:
        return ""
    return f", but {study.control} goes to {largest:,} alone: it needs a budget of {needed:,.0f} to read that"
