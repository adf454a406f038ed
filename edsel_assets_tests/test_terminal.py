"""What a run says of long steps where there is no terminal."""

import pytest

from edsel_assets import terminal
from edsel_assets.planning.plan import Plan


def test_long_steps_have_a_line_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    clock = {"now": 0.0}
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: clock["now"])
    pace = terminal.Pace(lines.append, seconds=30)
    for second, done in [(0, 0), (10, 100), (31, 310), (40, 400), (65, 650), (100, 1000)]:
        clock["now"] = float(second)
        pace("embeddings", done, 1000)
    # 310 in 31 s are 10 a second, so 690 more take 69 s; the next line comes 30 s later at the earliest.
    assert lines == [
        "embeddings: 310 of 1,000, 10 a second, 69.0 s left",
        "embeddings: 650 of 1,000, 10 a second, 35.0 s left",
        "embeddings: 1,000 of 1,000, 10 a second",
    ]


def test_short_steps_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    pace = terminal.Pace(lines.append, seconds=30)
    for done in range(11):
        pace("rankings", done, 10)
    assert not lines


def test_a_plan_says_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_plan(Plan((), (), ("kernel_width", "token_probabilities")), every=False)
    said = (
        "Left out, as nothing of the study reads them: kernel_width, token_probabilities. --only makes them."
    )
    assert said in capsys.readouterr().out
