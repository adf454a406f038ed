"""The cards of a selection as Markdown."""

from __future__ import annotations

import pyarrow.compute as pc

from edsel_assets.report.cards import Cards
from edsel_assets.report.formats import markdown_table
from edsel_assets.report.sheets import Sheet, p_text

_EXCERPT = 90


def cards_markdown(cards: Cards, *, title: str = "Selection", picks: int = 20, values: int = 10) -> str:
    """Coverage, skew, and the first picks with the reason for each.

    Args:
        picks: rows shown of the picks, by rank.
        values: rows shown of a field's skew: the largest departures from the pool.
    """
    sheets = [_coverage_sheet(cards, title), _test_sheet(cards), *_skew_sheets(cards, values)]
    sheets.append(_pick_sheet(cards, picks))
    overlap = "What other strategies picked as well: the asset selection_overlap, of this budget."
    return "\n\n".join([*map(markdown_table, sheets), overlap.replace("_", "\\_")]) + "\n"


def _coverage_sheet(cards: Cards, title: str) -> Sheet:
    row = cards.coverage.to_pylist()[0]
    header = ("picks", "prompts", "mean distance", "largest distance", "largest share of one pick")
    texts = (
        f"{row['picks']:,}",
        f"{row['prompts']:,}",
        f"{row['mean_distance']:.3f}",
        f"{row['max_distance']:.3f}",
        f"{row['largest_share']:.1%}",
    )
    caption = (
        "Distance of a prompt to its nearest pick: 0 the same direction, 1.41 at right angles, 2 opposite. "
        f"Farthest: {row['farthest']}."
    )
    return Sheet(f"{title}: coverage of the pool", header, (texts,), caption, left=0)


def _test_sheet(cards: Cards) -> Sheet:
    rows = tuple(
        (row["field"], f"{row['values']:,}", f"{row['statistic']:,.1f}", p_text(row["p"]))
        for row in cards.skew_tests.to_pylist()
    )
    caption = "p: share of random selections of this size that differ from the pool as much."
    return Sheet("Skew against the pool", ("field", "values", "statistic", "p"), rows, caption)


def _skew_sheets(cards: Cards, values: int) -> list[Sheet]:
    sheets = []
    for field in cards.skew_tests["field"].to_pylist():
        found = cards.skew.filter(pc.equal(cards.skew["field"], field)).to_pylist()
        gap = sorted(found, key=lambda row: -abs(row["selected_share"] - row["pool_share"]))[:values]
        shown = [row for row in found if row in gap]
        rows = tuple(
            (row["value"], f"{row['pool_share']:.1%}", f"{row['selected_share']:.1%}", f"{row['ratio']:.2f}")
            for row in shown
        )
        rest = len(found) - len(shown)
        caption = f"{rest:,} more differ less." if rest else ""
        sheets.append(Sheet(f"Skew by {field}", (field, "pool", "selection", "ratio"), rows, caption))
    return sheets


def _pick_sheet(cards: Cards, picks: int) -> Sheet:
    shown = cards.picks.slice(0, picks)
    rows = tuple((str(row["rank"] + 1), excerpt(row["prompt"]), row["why"]) for row in shown.to_pylist())
    rest = cards.picks.num_rows - shown.num_rows
    caption = f"{rest:,} more picks follow." if rest else ""
    return Sheet("Why each prompt was picked", ("pick", "prompt", "why"), rows, caption, left=3)


def excerpt(prompt: str, length: int = _EXCERPT) -> str:
    """The prompt on one line, cut with an ellipsis."""
    line = " ".join(prompt.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
