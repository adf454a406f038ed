"""The report's tables as rows of text, made once and rendered by ``formats`` and ``page``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from edsel_assets.report.statistics.trials import BASE
from edsel_assets.report.tables import FLAT, NOT_REACHED, REACHED, LabelEfficiency

#: A table as plain data: each row a mapping from column to value.
Rows = Sequence[Mapping[str, Any]]
BETTER, WORSE = "▲", "▼"
#: The same of a strategy that has one subset, whatever the seed.
BETTER_ONE, WORSE_ONE = "△", "▽"
MARKS = {BETTER, WORSE, BETTER_ONE, WORSE_ONE}
SAVES, COSTS, NOT_CLEAR = "saves", "costs more", "not clear"
#: Stands after a reading of a strategy that has one subset.
ONE_SUBSET = ", this subset"
#: The share of chance among the rows called likely to save or to cost more.
FALSE_SHARE = 0.10
#: Kinds of sheets that others look for.
SCORES, SAVED, SAVED_COST = "scores", "saved", "saved_cost"


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Attributes:
        title, caption: plain text, the caption may be empty.
        header: column names; ``left``: how many of the first columns stand to the left.
        rows: one text per column.
        strong: indices of the rows that stand out.
        kind, task: ``SCORES``, ``SAVED`` or ``SAVED_COST`` of a task; "" for other tables.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    left: int = 1
    strong: frozenset[int] = field(default_factory=frozenset)
    kind: str = ""
    task: str = ""


def score_sheet(efficiency: LabelEfficiency, task: str) -> Sheet:
    """Mean ± standard error by strategy (rows) and budget (columns); the control comes first."""
    cells = of_task(efficiency.scores, task)
    trained = cells[cells["budget"] > 0]
    budgets = sorted(set(trained["budget"]))
    base = cells[cells["budget"] == 0]
    order = strategy_order(efficiency, task)
    fixed = efficiency.one_subset
    rows = [_score_row(trained, strategy, budgets, strategy in fixed) for strategy in order]
    note = "".join(f" Base model, no finetuning: {score_text(r.mean, r.se)}." for r in base.itertuples())
    caption = (
        f"Mean ± standard error over seeds. {BETTER} better, {WORSE} worse than {efficiency.control}: at "
        f"most one table in 20 has such a mark by chance (Holm, 5 %).{_one_subset(efficiency, task)}{note}"
    )
    metric = efficiency.metrics.get(task, ", ".join(sorted(set(efficiency.metrics.values()))))
    strong = frozenset(i for i, strategy in enumerate(order) if strategy == efficiency.control)
    header = ("strategy", "seeds", *(f"{b:,}" for b in budgets))
    title = f"Score by strategy and budget: {task} ({metric})"
    return Sheet(title, header, tuple(rows), caption, strong=strong, kind=SCORES, task=task)


def saved_sheet(efficiency: LabelEfficiency, task: str) -> Sheet:
    """Annotation that each strategy saves against the control, by budget, largest saving first."""
    control = efficiency.control
    curve = efficiency.curves[efficiency.curves["task"] == task]["budget"]
    ends = (int(curve.min()), int(curve.max())) if len(curve) else (0, 0)
    texts = _saved_rows(efficiency, efficiency.saved, task)
    caption = (
        f"Saved: what {control} needs for the same score, less the budget; negative: {control} is cheaper. "
        f"Read off {control}'s monotone curve, between {ends[0]:,} and {ends[1]:,} alone. "
        f"An end of an interval that lies beyond them is open. {_readings(len(texts))}"
        f"{_one_subset(efficiency, task)}"
    )
    header = ("strategy", "budget", "saved", "95 % interval", "share", f"{control} needs", "reading")
    title = f"Annotation saved against {control}: {task}"
    return Sheet(title, header, texts, caption, kind=SAVED, task=task)


def saved_cost_sheet(efficiency: LabelEfficiency, task: str) -> Sheet:
    """The same by what the answers cost: a strategy that likes long answers saves prompts and not money."""
    control, unit = efficiency.control, efficiency.unit
    texts = _saved_rows(efficiency, efficiency.saved_cost, task)
    caption = (
        f"Cost of a trial's answers in {unit}, its mean over seeds; saved: what {control}'s answers cost "
        f"that reach the same score, less that. The comparison is {control} at equal cost: its scores are "
        "read against their cost, as they are read against prompts above."
    )
    header = ("strategy", "budget", "cost", "saved", "95 % interval", "share", f"{control} needs", "reading")
    title = f"Saved in {unit} against {control}: {task}"
    return Sheet(title, header, texts, caption, kind=SAVED_COST, task=task)


def _saved_rows(efficiency: LabelEfficiency, saved: pd.DataFrame, task: str) -> tuple[tuple[str, ...], ...]:
    rows = with_marks(efficiency, task, saved)
    place = rows["status"].map({NOT_REACHED: 0, REACHED: 1, FLAT: 2}).fillna(3)
    ordered = rows.assign(place=place).sort_values(
        ["budget", "place", "saved", "strategy"], ascending=[True, True, False, True]
    )
    of_cost = saved is efficiency.saved_cost
    one_budget = (efficiency.curves["task"] == task).sum() == 1
    return tuple(_saved_row(row, efficiency, of_cost, one_budget) for row in ordered.itertuples())


def _readings(rows: int) -> str:
    return (
        f"{SAVES!r}, {COSTS!r}: the score also has a mark of the whole table; 'likely': at most "
        f"{FALSE_SHARE:.0%} of the rows called so are so by chance (Benjamini and Hochberg). Intervals err "
        f"once in 20 of all rows, those without a number included: of {rows} rows about {rows / 20:.1f} "
        f"leave out the truth, so one without 0 may be {NOT_CLEAR!r}."
    )


def difference_sheet(efficiency: LabelEfficiency, task: str) -> Sheet:
    """Difference to the control at the same budget with its interval and p-values."""
    rows = of_task(efficiency.scores, task)
    rows = rows[rows["difference"].notna()].sort_values(
        ["budget", "difference", "strategy"], ascending=[True, False, True]
    )
    texts = tuple(
        (
            row.strategy,
            f"{row.budget:,}",
            f"{row.difference:+.{digits(row.mean)}f}",
            interval_text(row.difference_low, row.difference_high, f"{{:+.{digits(row.mean)}f}}".format),
            p_text(row.p),
            p_text(row.p_holm),
            mark_text(row.mark, row.strategy in efficiency.one_subset),
        )
        for row in rows.itertuples()
    )
    header = ("strategy", "budget", "difference", "95 % interval", "p", "p (Holm)", "mark")
    caption = (
        "Intervals and p are for one cell each; p (Holm) is for the whole table. p is made for that, so it "
        "is a little more careful than the interval: it may lie above 0.05 where the interval leaves out 0."
        f"{_one_subset(efficiency, task)}"
    )
    return Sheet(f"Difference to {efficiency.control}: {task}", header, texts, caption)


def _one_subset(efficiency: LabelEfficiency, task: str) -> str:
    """What marks and readings of strategies with one subset are for; empty where there is none."""
    if not efficiency.one_subset & set(of_task(efficiency.scores, task)["strategy"]):
        return ""
    word = ONE_SUBSET.removeprefix(", ")
    return (
        f" {BETTER_ONE}, {WORSE_ONE} and {word!r}: the strategy has one subset, whatever the seed. Mark and "
        "interval are for that subset; another pool's may do otherwise."
    )


def mark_text(mark: float, one_subset: bool) -> str:
    """The mark of a score against the control's: 1 better, -1 worse, 0 none."""
    filled, hollow = {1: (BETTER, BETTER_ONE), -1: (WORSE, WORSE_ONE)}.get(int(mark), ("", ""))
    return hollow if one_subset else filled


def with_marks(efficiency: LabelEfficiency, task: str, saved: pd.DataFrame | None = None) -> pd.DataFrame:
    """The savings of a task, in prompts by default, with the ``mark`` of their cell's score."""
    saved = efficiency.saved if saved is None else saved
    saved = saved[saved["task"] == task]
    marks = efficiency.scores[["task", "strategy", "budget", "mark"]]
    return saved.merge(marks, on=["task", "strategy", "budget"], how="left")


def rows_sheet(title: str, rows: Rows, caption: str = "") -> Sheet:
    """Any rows as a table; the columns are those of the rows, in the order in which they first occur."""
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    texts = tuple(tuple(plain_text(row.get(name)) for name in header) for row in rows)
    return Sheet(title, header, texts, caption, left=len(header))


def strategy_order(efficiency: LabelEfficiency, task: str) -> list[str]:
    """The strategies of a task: the control, then from the highest mean at the largest budget down."""
    cells = of_task(efficiency.scores, task)
    last = cells[cells["strategy"] != BASE].sort_values("budget").groupby("strategy").last()
    ranked = sorted(
        last.index, key=lambda s: (s != efficiency.control, -last.loc[s, "budget"], -last.loc[s, "mean"], s)
    )
    return [str(s) for s in ranked]


def of_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """The rows of a task; ValueError with the choices where there are none."""
    found = table[table["task"] == task]
    if found.empty:
        raise ValueError(f"task must be one of {', '.join(sorted(set(table['task'])))}; got {task!r}.")
    return found


def score_text(mean: float, se: float) -> str:
    """``0.4763 ± 0.0024``: two decimals from 10 on, else four; no error from one seed."""
    places = digits(mean)
    return f"{mean:.{places}f}" + ("" if math.isnan(se) else f" ± {se:.{places}f}")


def digits(mean: float) -> int:
    return 2 if abs(mean) >= 10 else 4


def interval_text(low: float, high: float, form: Callable[[float], str] | None = None) -> str:
    """``+10 to +90``; an open end says so; empty without an estimate of noise."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return " to ".join("open" if math.isinf(end) else (form or count_text)(end) for end in (low, high))


def p_text(p: float) -> str:
    if math.isnan(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plain_text(value: Any) -> str:
    """A value as a reader wants it: no text for what is missing, thousands set apart, four digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _score_row(trained: pd.DataFrame, strategy: str, budgets: list[int], one_subset: bool) -> tuple[str, ...]:
    rows = trained[trained["strategy"] == strategy].set_index("budget")
    counts = sorted(set(rows["n"]))
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    cells = (_score_cell(rows.loc[b], one_subset) if b in rows.index else "" for b in budgets)
    return (strategy, seeds, *cells)


def _score_cell(row: Any, one_subset: bool) -> str:
    return f"{score_text(row['mean'], row['se'])} {mark_text(row['mark'], one_subset) or ' '}"


def _saved_row(row: Any, efficiency: LabelEfficiency, of_cost: bool, one_budget: bool) -> tuple[str, ...]:
    """A row of numbers, or of words beside the one side of the interval that is known."""
    low, high = row.saved_low, row.saved_high
    first = (row.strategy, f"{row.budget:,}", *([amount_text(row.own)] if of_cost else []))
    if row.status == REACHED:
        said = reading(low, high, row.mark, row.p_fdr)
        fixed = said and said != NOT_CLEAR and row.strategy in efficiency.one_subset
        return (
            *first,
            count_text(row.saved),
            interval_text(low, high) or "no noise known",
            f"{row.share:.0%}".replace("-0%", "0%"),
            amount_text(row.needed) if of_cost else f"{row.needed:,.0f}",
            said + (ONE_SUBSET if fixed else ""),
        )
    known = np.isfinite(low) or np.isfinite(high)
    text = _no_number(row.status, efficiency.control, one_budget)
    return (*first, "", interval_text(low, high) if known else "", "", "", text)


def _no_number(status: str, control: str, one_budget: bool) -> str:
    if one_budget:
        return f"{control} has one budget only"
    if status == NOT_REACHED:
        return f"not reached by {control}'s largest budget"
    return (
        f"{control}'s curve is too flat to tell" if status == FLAT else f"below {control}'s smallest budget"
    )


def reading(low: float, high: float, mark: float, p_fdr: float) -> str:
    """What an interval of annotation saved says, and whether corrections for the table bear it out.

    Args:
        low, high: the interval's ends, NaN where none is known.
        mark: 1 or -1 where the score differs from the control's by the table's corrected test.
        p_fdr: p of no saving, corrected for the false discovery rate.
    """
    if math.isnan(low):
        return ""
    for word, outside, sign in ((SAVES, low > 0, 1), (COSTS, high < 0, -1)):
        if outside and mark == sign:
            return word
        if outside and p_fdr <= FALSE_SHARE:
            return f"likely {word}"
    return NOT_CLEAR


def amount_text(value: float) -> str:
    """A count, or money: whole from 100 on, else four digits at most."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.4g}"


def count_text(value: float) -> str:
    """A signed count with no minus before zero."""
    return f"{value:+,.0f}" if abs(value) >= 0.5 else "0"
