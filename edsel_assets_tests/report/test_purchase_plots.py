"""What the plots of purchases draw, read off the figure itself."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from edsel_assets.annotation import EVENTS
from edsel_assets.report import purchase_plots
from edsel_assets.report.purchase_plots import purchases_by_day, score_by_spend


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are made into PNGs."""
    made: list[Figure] = []
    real = purchase_plots.png
    monkeypatch.setattr(purchase_plots, "png", lambda figure: (made.append(figure), real(figure))[1])
    return made


def day(name: str, spent: float = 0.0, **counts: int) -> dict[str, Any]:
    return {"day": name, **dict.fromkeys(EVENTS, 0), "spent": spent, **counts}


def lines(figure: Figure, panel: int) -> dict[str, list[float]]:
    return {
        str(line.get_label()): [float(y) for y in line.get_ydata()] for line in figure.axes[panel].get_lines()
    }


def test_purchases_add_up_by_day_and_money_has_its_own_panel(drawn) -> None:
    days = [
        day("2026-01-01", asked=40),
        day("2026-01-05", 6.0, answered=12, paid=12, rejected=4),
        day("2026-02-01", 3.0, answered=5, late=1, paid=6),
    ]
    assert purchases_by_day(days).startswith(b"\x89PNG")
    (figure,) = drawn
    assert lines(figure, 0) == {
        "asked: 40": [40, 40, 40],
        "answered: 18": [0, 12, 18],  # a late answer is one
        "paid: 18": [0, 12, 18],
        "rejected: 4": [0, 4, 4],
    }
    assert list(lines(figure, 1).values()) == [[0, 6, 9]]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == [
        "01 Jan 2026",
        "05 Jan 2026",
        "01 Feb 2026",
    ]


def test_many_days_do_not_crowd_the_axis(drawn) -> None:
    purchases_by_day([day(f"2026-03-{n:02d}", asked=1) for n in range(1, 31)])
    assert 3 <= len(drawn[0].axes[1].get_xticklabels()) <= 10


def test_each_score_has_a_panel_by_money(drawn) -> None:
    rows = [
        {"order": order, "spent": spent, "task": task, "metric": "acc", "value": value, "stderr": error}
        for task, scale in (("a", 1.0), ("b", -10.0))
        for order, spent, value, error in (
            ("order-0002", 9.0, 0.4 * scale, 0.1),
            ("", 0.0, 0.1 * scale, None),
            ("order-0001", 4.0, 0.3 * scale, 0.1),
        )
    ]
    assert score_by_spend(rows).startswith(b"\x89PNG")
    (figure,) = drawn
    assert [axes.get_title("left") for axes in figure.axes] == ["a acc", "b acc"]
    for axes, scale in zip(figure.axes, (1.0, -10.0), strict=True):
        line = axes.get_lines()[0]
        assert list(line.get_xdata()) == [0.0, 4.0, 9.0]
        assert list(line.get_ydata()) == [pytest.approx(x * scale) for x in (0.1, 0.3, 0.4)]
        assert [text.get_text() for text in axes.texts] == ["base model", "order-0001", "order-0002"]
