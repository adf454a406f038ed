"""The report: base, trials and win rates brought together, as tables, plots and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from edsel_assets.report.tables import AVERAGE, LabelEfficiency, label_efficiency
from edsel_assets.study import Study

_CELL = ["task", "strategy", "budget"]


@dataclass(frozen=True)
class Report:
    """What the asset ``label_efficiency`` holds and shows."""

    table: pa.Table
    plots: dict[str, bytes]
    markdown: str


def summarise(
    study: Study,
    base_scores: pa.Table,
    benchmark_scores: Mapping[str, pa.Table],
    win_rates: Mapping[str, pa.Table],
) -> Report:
    """The report of the trials there are.

    Args:
        benchmark_scores, win_rates: by partition key, ``00100|k_center.s0``.

    Raises:
        ValueError: before any trial of the control is scored.
    """
    from edsel_assets.report import plots

    efficiency = compare_strategies(study, base_scores, benchmark_scores)
    table = efficiency.scores.merge(
        efficiency.saved.drop(columns="score"), on=_CELL, how="left", validate="one_to_one"
    ).merge(_mean_win_rates(win_rates), on=_CELL, how="left", validate="one_to_one")
    pictures = {"score_by_budget": plots.score_by_budget(efficiency)}
    if len(efficiency.saved):
        pictures["annotation_saved"] = plots.annotation_saved(efficiency)
    text = "\n".join(f"    {line}" for line in report_text(efficiency, width=110).splitlines())
    return Report(
        pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None), pictures, text
    )


def compare_strategies(
    study: Study, base_scores: pa.Table, benchmark_scores: Mapping[str, pa.Table]
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
    return label_efficiency(frame, primary=primary, control=study.report.control)


def parse_cell(key: str) -> tuple[int, str, int]:
    """(budget, strategy, seed) of ``00100|k_center.s0``."""
    budget, trial = key.split("|")
    strategy, _, seed = trial.rpartition(".s")
    return int(budget), strategy, int(seed)


def report_text(efficiency: LabelEfficiency, width: int = 120) -> str:
    from edsel_assets.report.text import render, saved_table, score_table

    tables = [score_table(efficiency)]
    if len(efficiency.saved):
        tables.append(saved_table(efficiency))
    return render(*tables, width=width)


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
    frame = scores.select(["task", "metric", "value"]).to_pandas()
    # lm-eval names a metric with its filter: "exact_match,strict-match"; "acc,none" is plain acc.
    frame["metric"] = frame["metric"].str.removesuffix(",none")
    return frame.assign(budget=budget, strategy=strategy, seed=seed)


def _mean_win_rates(win_rates: Mapping[str, pa.Table]) -> pd.DataFrame:
    rows = []
    for key, table in win_rates.items():
        budget, strategy, _ = parse_cell(key)
        rows.append({"strategy": strategy, "budget": budget, "win_rate": table["value"][0].as_py()})
    frame = pd.DataFrame(rows, columns=["strategy", "budget", "win_rate"])
    means = frame.groupby(["strategy", "budget"])["win_rate"].agg(["mean", "sem"]).reset_index()
    means = means.rename(columns={"mean": "win_rate", "sem": "win_rate_se"})
    return means.assign(task=AVERAGE)
