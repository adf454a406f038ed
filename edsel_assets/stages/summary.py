"""The report: base, trials and win rates brought together as evidence, plots and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from edsel_assets.report.evidence import Evidence, gather
from edsel_assets.report.sheets import Rows, saved_sheet, score_sheet
from edsel_assets.report.tables import LabelEfficiency, label_efficiency
from edsel_assets.selection import STRATEGIES
from edsel_assets.study import Study


@dataclass(frozen=True)
class Report:
    """What the asset ``label_efficiency`` holds and shows.

    ``evidence`` is what every rendering is made of: ``report.formats`` and ``report.page``.
    """

    table: pa.Table
    plots: dict[str, bytes]
    markdown: str
    evidence: Evidence


def summarise(
    study: Study,
    base_scores: pa.Table,
    benchmark_scores: Mapping[str, pa.Table],
    win_rates: Mapping[str, pa.Table],
    *,
    items: pd.DataFrame | None = None,
    spend: Rows = (),
    staleness: Rows = (),
    missing: Rows = (),
) -> Report:
    """The report of the trials there are.

    Args:
        benchmark_scores, win_rates: by partition key, ``00100|k_center.s0``.
        items: scores by item, as ``label_efficiency`` takes them; sharper intervals.
        spend, staleness, missing: rows of the report's sections of these names.

    Raises:
        ValueError: before any trial of the control is scored.
    """
    efficiency = compare_strategies(study, base_scores, benchmark_scores, items=items)
    evidence = gather(
        efficiency,
        title=f"Label efficiency: {study.name}",
        win_rates=_win_rate_frame(win_rates),
        spend=spend,
        staleness=staleness,
        missing=missing,
    )
    text = "\n".join(f"    {line}" for line in report_text(efficiency, width=150).splitlines())
    table = pa.Table.from_pandas(evidence.table, preserve_index=False).replace_schema_metadata(None)
    return Report(table, evidence.plots, text, evidence)


def compare_strategies(
    study: Study,
    base_scores: pa.Table,
    benchmark_scores: Mapping[str, pa.Table],
    *,
    items: pd.DataFrame | None = None,
) -> LabelEfficiency:
    """Scores and savings by strategy and budget."""
    if not any(parse_cell(key)[1] == study.report.control for key in benchmark_scores):
        raise ValueError(
            f"No trial of the control {study.report.control!r} is scored yet, so there is nothing to compare "
            "with. Make benchmark_scores of it first (edsel run does)."
        )
    frames = [_trial_frame(base_scores, 0, study.report.control, 0)]
    for key, scores in benchmark_scores.items():
        budget, strategy, seed = parse_cell(key)
        frames.append(_trial_frame(scores, budget, strategy, seed))
    wanted = {task.name for task in study.evaluation.tasks}
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["task"].isin(wanted)]
    primary = {task.name: task.metric for task in study.evaluation.tasks if task.metric}
    return label_efficiency(
        frame, items=items, primary=primary, control=study.report.control, one_subset=_one_subset(study)
    )


def _one_subset(study: Study) -> list[str]:
    rows = {name: STRATEGIES.get(name) for name in study.selection.strategies}
    return [name for name, row in rows.items() if row and not row.stochastic and not row.iterative]


def parse_cell(key: str) -> tuple[int, str, int]:
    """(budget, strategy, seed) of ``00100|k_center.s0``."""
    budget, trial = key.split("|")
    strategy, _, seed = trial.rpartition(".s")
    return int(budget), strategy, int(seed)


def report_text(efficiency: LabelEfficiency, width: int = 120) -> str:
    from edsel_assets.report.formats import render_text

    task = efficiency.main_task
    sheets = [sheet for sheet in (saved_sheet(efficiency, task), score_sheet(efficiency, task)) if sheet.rows]
    return render_text(sheets, efficiency.unseen, width=width)


def print_report(study: Study, store: Path) -> None:
    """The report on the console, from the study's stored scores."""
    from edsel_assets.store import read_table

    base = read_table(store / "base_scores.parquet")
    scores = {}
    for path in sorted((store / "benchmark_scores").glob("*/*.parquet")):
        budget, strategy, seed = parse_cell(f"{path.parent.name}|{path.stem}")
        known = budget in study.selection.budgets and strategy in study.selection.strategies
        if known and seed in study.seeds(strategy):
            scores[f"{path.parent.name}|{path.stem}"] = read_table(path)
    print(report_text(compare_strategies(study, base, scores)))


def _trial_frame(scores: pa.Table, budget: int, strategy: str, seed: int) -> pd.DataFrame:
    known = [name for name in ("task", "metric", "value", "stderr", "n") if name in scores.column_names]
    frame = scores.select(known).to_pandas()
    # lm-eval names a metric with its filter: "exact_match,strict-match"; "acc,none" is plain acc.
    frame["metric"] = frame["metric"].str.removesuffix(",none")
    return frame.assign(budget=budget, strategy=strategy, seed=seed)


def _win_rate_frame(win_rates: Mapping[str, pa.Table]) -> pd.DataFrame:
    rows = []
    for key, table in win_rates.items():
        budget, strategy, _ = parse_cell(key)
        rows.append({"strategy": strategy, "budget": budget, "win_rate": table["value"][0].as_py()})
    return pd.DataFrame(rows, columns=["strategy", "budget", "win_rate"])
