import pyarrow as pa
import pytest

from edsel_assets.report.page import render_html
from edsel_assets.stages.summary import compare_strategies, report_text, summarise
from edsel_assets.study import Study
from edsel_assets_tests.report.simulated import rising, simulate

COLUMNS = ["task", "metric", "value", "stderr", "n"]


@pytest.fixture(scope="module")
def results():
    """The demo study with simulated scores: k_center as good as twice the random prompts."""
    study = Study.load("demo")
    truth = {"random": rising([50, 100, 200, 400, 800]), "k_center": rising([100, 200], shift=2.0)}
    scores, items = simulate(truth, {"random": 6, "k_center": 3}, tasks=2, items=200)
    names = {f"task_{i}": task.name for i, task in enumerate(study.evaluation.tasks)}
    scores["task"], items["task"] = scores["task"].map(names), items["task"].map(names)
    tables = {
        f"{budget:05}|{strategy}.s{seed}": pa.Table.from_pandas(rows[COLUMNS].assign(metric="acc,none"))
        for (budget, strategy, seed), rows in scores.groupby(["budget", "strategy", "seed"])
    }
    base = pa.table({"task": list(names.values()), "metric": ["acc"] * 2, "value": [0.2, 0.22]})
    wins = {"00100|k_center.s0": pa.table({"value": [0.6]}), "00100|k_center.s1": pa.table({"value": [0.7]})}
    return study, base, tables, wins, items


def test_the_report_of_a_study(results):
    study, base, tables, wins, items = results
    report = summarise(study, base, tables, wins, items=items, missing=[{"cell": "00400|kmq.s0"}])
    rows = {(r["task"], r["strategy"], r["budget"]): r for r in report.table.to_pylist()}
    assert rows["average", "k_center", 100]["win_rate"] == pytest.approx(0.65)
    assert rows["average", "base", 0]["mean"] == pytest.approx(0.21)
    saved = rows["average", "k_center", 100]
    assert saved["status"] == "reached"
    assert saved["saved_low"] < 100 < saved["saved_high"]
    assert set(report.plots) == {"score_by_budget", "annotation_saved", "differences"}
    assert all(line.startswith("    ") for line in report.markdown.splitlines())
    assert "Annotation saved against random: average" in report.markdown
    page = render_html(report.evidence)
    assert "Label efficiency: demo" in page
    assert "00400|kmq.s0" in page
    assert any(
        sentence.startswith("One subset, whatever the seed: k_center.") for sentence in report.evidence.unseen
    )


def test_scores_without_the_control_are_refused(results):
    study, base, tables, _, _ = results
    alone = {key: table for key, table in tables.items() if "k_center" in key}
    with pytest.raises(ValueError, match="No trial of the control 'random' is scored yet"):
        compare_strategies(study, base, alone)


def test_the_console_shows_savings_before_scores(results):
    study, base, tables, _, items = results
    text = report_text(compare_strategies(study, base, tables, items=items))
    assert text.index("Annotation saved against random") < text.index("Score by strategy and budget")
