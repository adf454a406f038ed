from edsel_assets.report.tables import label_efficiency
from edsel_assets.report.text import render, saved_table, score_table, score_text
from edsel_assets_tests.report.paper import mmlu


def line(text: str, *words: str) -> list[str]:
    """The cells of the one line that holds all ``words``."""
    lines = [each for each in text.splitlines() if all(word in each for word in words)]
    assert len(lines) == 1, text
    return [each.strip() for each in lines[0].strip("│").split("│")]


def test_scores_are_mean_and_error_with_the_control_first():
    text = render(score_table(label_efficiency(mmlu())))
    assert line(text, "random", "│") == [
        "random", "6", "44.33 ± 0.32", "44.91 ± 0.50", "45.99 ± 0.37", "47.76 ± 0.57",
    ]  # fmt: skip
    # At 30K the difference is 2.21 and its error sqrt(0.35^2 + 0.50^2) = 0.61: more than two.
    assert line(text, "fl_rbf")[2:5] == ["45.08 ± 0.33", "47.12 ± 0.35 ▲", "47.63 ± 0.24 ▲"]
    assert "37.58" in text
    first_rows = [each for each in text.splitlines() if "±" in each]
    assert "random" in first_rows[0]
    assert "fl_rbf" in first_rows[1]


def test_savings_say_bounds_and_losses():
    scores = mmlu()
    text = render(saved_table(label_efficiency(scores)))
    assert line(text, "fl_rbf", "45,000 ")[:5] == ["fl_rbf", "45,000", "86,695", "+41,695", "48%"]
    assert line(text, "min_margin", " 45,000 ")[3:5] == ["-9,444", "-27%"]
    short = render(saved_table(label_efficiency(scores[scores["budget"] <= 45_000])))
    assert line(short, "fl_rbf", " 30,000 ")[2:5] == ["≥ 45,000", "≥ +15,000", "≥ 33%"]


def test_without_a_control_the_tables_still_print():
    found = label_efficiency(mmlu().query("strategy == 'fl_rbf'"))
    assert "47.63" in render(score_table(found), saved_table(found))


def test_digits_follow_the_scale():
    assert score_text(0.45678, 0.01234) == "0.4568 ± 0.0123"
    assert score_text(45.678, float("nan")) == "45.68"
