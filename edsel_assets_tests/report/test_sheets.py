import math

import numpy as np
import pandas as pd
import pytest

from edsel_assets.report.sheets import (
    amount_text,
    count_text,
    difference_sheet,
    interval_text,
    p_text,
    plain_text,
    reading,
    rows_sheet,
    saved_cost_sheet,
    saved_sheet,
    score_sheet,
    score_text,
)
from edsel_assets.report.tables import label_efficiency
from edsel_assets_tests.report.paper import cell, mmlu


def line(sheet, *first: str) -> tuple[str, ...]:
    """The one row that begins with ``first``."""
    found = [row for row in sheet.rows if row[: len(first)] == first]
    assert len(found) == 1
    return found[0]


def test_scores_are_mean_and_error_with_the_control_first():
    sheet = score_sheet(label_efficiency(mmlu()), "mmlu")
    assert [text.strip() for text in sheet.rows[0]] == [
        "random", "6", "44.33 ± 0.32", "44.91 ± 0.50", "45.99 ± 0.37", "47.76 ± 0.57",
    ]  # fmt: skip
    assert sheet.strong == {0}
    assert sheet.rows[1][0] == "fl_rbf"  # best at the largest budget
    assert line(sheet, "fl_rbf")[5] == ""
    assert "Base model, no finetuning: 37.58." in sheet.caption


def test_a_mark_stands_where_holm_bears_it_out():
    rows = mmlu().to_dict("records")
    rows += cell("best", 20_000, 6, 60.0, 0.3) + cell("worst", 20_000, 6, 30.0, 0.3)
    sheet = score_sheet(label_efficiency(pd.DataFrame(rows)), "mmlu")
    assert line(sheet, "best")[2].endswith("▲")
    assert line(sheet, "worst")[2].endswith("▼")
    assert line(sheet, "min_margin")[2].endswith(" ")


def test_savings_are_numbers_or_words():
    scores = pd.concat([mmlu(), pd.DataFrame(cell("bad", 45_000, 3, 40.0, 0.3))])
    sheet = saved_sheet(label_efficiency(scores), "mmlu")
    assert "once in 20 of all rows, those without a number included" in sheet.caption
    found = line(sheet, "fl_rbf", "45,000")
    assert found[2] == "+40,422"
    assert found[3].endswith("to open")
    assert found[4:] == ("47%", "85,422", "likely saves")
    words = line(sheet, "bad", "45,000")
    assert words[2:] == ("", "open to -25,000", "", "", "below random's smallest budget")
    short = saved_sheet(label_efficiency(scores[scores["budget"] <= 45_000]), "mmlu")
    words = line(short, "fl_rbf", "45,000")
    assert (words[2], words[4:]) == ("", ("", "", "not reached by random's largest budget"))
    assert words[3].endswith(" to open"), "its one side is known"
    one = [*cell("random", 100, 3, 5.0, 0.3), *cell("s", 100, 3, 5.1, -0.3)]  # not paired
    for better in (one, [*one[:3], *cell("s", 100, 3, 4.9, -0.3)], [*one[:3], *cell("s", 100, 3, 9.0, 0.1)]):
        sheet = saved_sheet(label_efficiency(pd.DataFrame(better)), "mmlu")
        assert sheet.rows[0][-1] == "random has one budget only"
    flat = [*one, *cell("random", 200, 3, 5.2, 0.3)]
    assert (
        saved_sheet(label_efficiency(pd.DataFrame(flat)), "mmlu").rows[0][-1]
        == "random's curve is too flat to tell"
    )


def test_differences_hold_their_intervals():
    sheet = difference_sheet(label_efficiency(mmlu()), "mmlu")
    assert line(sheet, "fl_rbf", "30,000")[2] == "+2.21"
    assert [row[1] for row in sheet.rows] == sorted((row[1] for row in sheet.rows), key=len)
    assert all(row[1] != "90,000" for row in sheet.rows)


@pytest.mark.parametrize(
    ("low", "high", "mark", "p", "said"),
    [
        (1, 9, 1, 0.01, "saves"), (1, 9, 0, 0.09, "likely saves"), (1, 9, 0, 0.11, "not clear"),
        (-9, -1, -1, 0.5, "costs more"), (-math.inf, -1, 0, 0.1, "likely costs more"),
        (-1, math.inf, 1, 0.01, "not clear"), (math.nan, math.nan, 0, math.nan, ""),
        (1, 9, 0, math.nan, "not clear"),
    ],
)  # fmt: skip
def test_readings(low, high, mark, p, said):
    assert reading(low, high, mark, p) == said


def test_a_strategy_with_one_subset_says_so_in_marks_words_and_captions():
    rows = (
        mmlu().to_dict("records") + cell("best", 20_000, 6, 46.0, 0.3) + cell("worst", 20_000, 6, 30.0, 0.3)
    )
    fixed = label_efficiency(pd.DataFrame(rows), one_subset=["best", "worst"])
    scores, differences = score_sheet(fixed, "mmlu"), difference_sheet(fixed, "mmlu")
    assert line(scores, "best")[2].endswith("△")
    assert line(scores, "worst")[2].endswith("▽")
    assert line(differences, "worst", "20,000")[-1] == "▽"
    saved = saved_sheet(fixed, "mmlu")
    assert line(saved, "best", "20,000")[-1] == "saves, this subset"
    for sheet in (scores, differences, saved):
        assert "one subset, whatever the seed" in sheet.caption
    assert "one subset" not in saved_sheet(label_efficiency(mmlu()), "mmlu").caption


def test_texts():
    assert score_text(0.45678, 0.01234) == "0.4568 ± 0.0123"
    assert score_text(45.678, math.nan) == "45.68"
    assert interval_text(-12.4, math.inf) == "-12 to open"
    assert interval_text(-math.inf, 1234) == "open to +1,234"
    assert interval_text(math.nan, 1.0) == ""
    assert [count_text(v) for v in (-0.4, 0.4, -3.0)] == ["0", "0", "-3"]
    assert [p_text(p) for p in (0.00099, 0.04, math.nan)] == ["< 0.001", "0.040", ""]
    assert [plain_text(v) for v in (None, math.nan, True, 12345, 1234.5678, "x")] == [
        "", "", "yes", "12,345", "1,235", "x",
    ]  # fmt: skip
    sheet = rows_sheet("t", [{"a": 1}, {"b": 2.5, "a": None}])
    assert (sheet.header, sheet.rows) == (("a", "b"), (("1", ""), ("", "2.5")))


def test_savings_in_cost_have_a_sheet_of_their_own():
    scores = mmlu()
    costs = scores[["strategy", "budget"]].drop_duplicates()
    costs = costs.assign(cost=costs["budget"] * np.where(costs["strategy"] == "fl_rbf", 0.02, 0.01))
    found = label_efficiency(scores, costs=costs[costs["budget"] > 0], unit="money")
    sheet = saved_cost_sheet(found, "mmlu")
    assert sheet.title == "Saved in money against random: mmlu"
    # 45,000 prompts at 0.02 cost 900; random's 85,422 at 0.01 cost 854.
    assert line(sheet, "fl_rbf", "45,000")[:4] == ("fl_rbf", "45,000", "900", "-46")
    assert len(saved_cost_sheet(label_efficiency(scores), "mmlu").rows) == 0
    assert [amount_text(v) for v in (1234.5, 12.345, 7.0)] == ["1,234", "12.35", "7"]
