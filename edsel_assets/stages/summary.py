"""The report: base, trials and win rates brought together as evidence, plots and text, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from edsel_assets.keys import parse_budget_trial
from edsel_assets.report.evidence import Evidence, gather, judged_sheets, section_sheets
from edsel_assets.report.sheets import Rows, Sheet, rows_sheet, saved_sheet, score_sheet
from edsel_assets.report.statistics.trials import AVERAGE, primary_metrics
from edsel_assets.report.tables import LabelEfficiency, label_efficiency
from edsel_assets.stages import held_out
from edsel_assets.stages.evaluation.items import HUMANEVAL, NLL, TOKENS
from edsel_assets.stages.evaluation.judged import WIN_RATE
from edsel_assets.stages.evaluation.programs import metric_of
from edsel_assets.study import Study

_Key = tuple[int, str, int]  # budget, strategy, seed
_WIDTH = 150  # characters of the text for a terminal


@dataclass(frozen=True)
class Report:
    """What the asset ``label_efficiency`` holds and shows.

    Attributes:
        table: one row per task, strategy and budget.
        plots: PNG files by name.
        sheets: tables of text, scores and savings of each comparison first.
        texts: the report by the suffix of its file: .txt, .md, .tex, .csv, .html.
    """

    table: pa.Table
    plots: dict[str, bytes]
    texts: dict[str, str]
    sheets: Sequence[Sheet] = ()


@dataclass(frozen=True)
class Scores:
    """Scores of one model: ``task, metric, value, stderr, n``, and ``TASK/METRIC`` to the values by item."""

    table: pa.Table
    items: Mapping[str, np.ndarray]


def summarise(
    study: Study,
    base: Scores,
    trials: Mapping[str, Scores],
    win_rates: Mapping[str, pa.Table],
    *,
    spend: Rows = (),
    staleness: Rows = (),
    missing: Rows = (),
) -> Report:
    """The report of the trials there are.

    Benchmark tasks and each measure of the held-out prompts are compared apart: an accuracy and a loss have
    no mean. Where the study has no control, or no trial of it is scored yet, the scores are shown without a
    comparison.

    Args:
        trials, win_rates: by partition key, ``00100|k_center.s0``.
        spend, staleness, missing: rows of the report's sections of these names.
    """
    title = f"Label efficiency: {study.name}"
    compared = [
        efficiency
        for measure in (None, held_out.METRICS[0], *held_out.ANSWER_METRICS)
        if (efficiency := _compare(study, base, trials, measure)) is not None
    ]
    sections = section_sheets(spend, staleness, missing)
    if not compared:
        return _without_comparison(study, base, trials, win_rates, sections)
    rates, ratings = (_judged_frame(win_rates, wins) for wins in (True, False))
    parts = [
        gather(compared[0], title=title, win_rates=rates, ratings=ratings),
        *(gather(efficiency, title=title) for efficiency in compared[1:]),
    ]
    return _written(_joined(parts, sections), _text(compared, judged_sheets(rates, ratings)))


def _compare(
    study: Study, base: Scores, trials: Mapping[str, Scores], measure: str | None
) -> LabelEfficiency | None:
    """Scores and savings on the benchmark tasks (None), or by one measure of the held-out prompts.

    A measure of answers is shown as a task of its own. None where nothing was scored so.
    """
    control = study.control
    if control is None or not any(parse_budget_trial(key)[1] == control for key in trials):
        return None
    frame = _frame(study, base, trials, control)
    held = frame["task"] == held_out.TASK
    frame = frame[~held if measure is None else held & (frame["metric"] == measure)]
    if not len(frame):
        return None
    primary = primary_of(study) if measure is None else {held_out.TASK: measure}
    models: dict[_Key, Scores] = {(0, control, 0): base}
    models |= {parse_budget_trial(key): scores for key, scores in trials.items()}
    of_loss = measure == held_out.METRICS[0]
    items = _held_out_items(models) if of_loss else _task_items(models, frame, primary)
    if measure in held_out.ANSWER_METRICS:
        task = f"{held_out.TASK}_{measure}"
        frame, primary = frame.assign(task=task), {task: measure}
        items = None if items is None else items.assign(task=task)
    return label_efficiency(
        frame,
        items=items,
        primary=primary,
        control=control,
        one_subset=_one_subset(study),
    )


def primary_of(study: Study) -> dict[str, str]:
    """The metrics that the study names, by task as it is shown."""
    named = {task.shown: task.metric for task in study.evaluation.tasks if task.metric}
    programs = study.evaluation.humaneval
    return named | ({HUMANEVAL: metric_of(programs)} if programs is not None else {})


def _frame(study: Study, base: Scores, trials: Mapping[str, Scores], control: str) -> pd.DataFrame:
    frames = [_trial_frame(base.table, 0, control, 0)]
    for key, scores in trials.items():
        frames.append(_trial_frame(scores.table, *parse_budget_trial(key)))
    wanted = {task.shown for task in study.evaluation.tasks} | {held_out.TASK, HUMANEVAL}
    frame = pd.concat(frames, ignore_index=True)
    return frame[frame["task"].isin(wanted)]


def _held_out_items(models: Mapping[_Key, Scores]) -> pd.DataFrame | None:
    """The token mean by held-out prompt, as the linear parts of a ratio whose mean it is."""
    frames = []
    names = [f"{held_out.TASK}/{metric}" for metric in (NLL, TOKENS)]
    for key, scores in models.items():
        if names[0] not in scores.items:
            return None
        nll, tokens = (scores.items[name] for name in names)
        mean = -nll.sum() / tokens.sum()
        value = mean + (-nll - mean * tokens) / tokens.mean()
        frames.append(_item_frame(key, held_out.TASK, value))
    return pd.concat(frames, ignore_index=True)


def _task_items(
    models: Mapping[_Key, Scores], frame: pd.DataFrame, primary: Mapping[str, str]
) -> pd.DataFrame | None:
    """The primary metric by item, of the tasks whose score is the mean over items in every model."""
    frames = []
    for task, metric in primary_metrics(frame, primary).items():
        rows = frame[(frame["task"] == task) & (frame["metric"] == metric)]
        values = {
            tuple(row[:3]): row[3]
            for row in rows[["budget", "strategy", "seed", "value"]].itertuples(index=False)
        }
        found = {key: scores.items.get(f"{task}/{metric}") for key, scores in models.items()}
        if all(v is not None and np.isclose(v.mean(), values[key], atol=1e-9) for key, v in found.items()):
            frames += [_item_frame(key, task, value) for key, value in found.items()]
    return pd.concat(frames, ignore_index=True) if frames else None


def _item_frame(key: _Key, task: str, value: Any) -> pd.DataFrame:
    budget, strategy, seed = key
    frame = pd.DataFrame({"item": np.arange(len(value)), "value": value})
    return frame.assign(budget=budget, strategy=strategy, seed=seed, task=task)


def _one_subset(study: Study) -> list[str]:
    rows = map(study.strategy, study.selection.names)
    return [row.name for row in rows if not row.stochastic and not row.iterative]


def _trial_frame(scores: pa.Table, budget: int, strategy: str, seed: int) -> pd.DataFrame:
    known = [name for name in ("task", "metric", "value", "stderr", "n") if name in scores.column_names]
    frame = scores.select(known).to_pandas()
    # lm-eval names a metric with its filter: "exact_match,strict-match"; "acc,none" is plain acc.
    frame["metric"] = frame["metric"].str.removesuffix(",none")
    return frame.assign(budget=budget, strategy=strategy, seed=seed)


def _judged_frame(judged: Mapping[str, pa.Table], wins: bool) -> pd.DataFrame:
    """One row per trial: its win rate, or its mean rating."""
    name = "win_rate" if wins else "rating"
    rows = []
    for key, table in judged.items():
        budget, strategy, seed = parse_budget_trial(key)
        row = table.to_pylist()[0]
        if (row["metric"] == WIN_RATE) == wins:
            found = {name: row["value"], "n": row["n"], "lost": row["invalid"] + row["failed"]}
            rows.append({"strategy": strategy, "budget": budget, "seed": seed, **found})
    return pd.DataFrame(rows, columns=["strategy", "budget", "seed", name, "n", "lost"])


def _joined(parts: Sequence[Evidence], sections: Sequence[Sheet]) -> Evidence:
    """Several comparisons as one report; the plots of each further one carry its task's name.

    ``sections`` come last. AVERAGE is that of the first comparison: a further one has one task.
    """
    first = parts[0]
    tables = [first.table, *(part.table[part.table["task"] != AVERAGE] for part in parts[1:])]
    plots, captions = dict(first.plots), dict(first.captions)
    for part in parts[1:]:
        task = next(each for each in part.table["task"] if each != AVERAGE)
        plots |= {f"{name}_{task}": png for name, png in part.plots.items()}
        captions |= {f"{name}_{task}": text for name, text in part.captions.items()}
    return replace(
        first,
        sheets=(*(sheet for part in parts for sheet in part.sheets), *sections),
        plots=plots,
        captions=captions,
        unseen=tuple(dict.fromkeys(sentence for part in parts for sentence in part.unseen)),
        table=pd.concat(tables, ignore_index=True),
    )


def _text(compared: Sequence[LabelEfficiency], judged: Sequence[Sheet]) -> str:
    from edsel_assets.report.formats import render_text

    sheets = [
        sheet
        for efficiency in compared
        for sheet in (
            saved_sheet(efficiency, efficiency.main_task),
            score_sheet(efficiency, efficiency.main_task),
        )
        if sheet.rows
    ]
    unseen = dict.fromkeys(sentence for efficiency in compared for sentence in efficiency.unseen)
    return render_text([*sheets, *judged], unseen, width=_WIDTH)


def _written(evidence: Evidence, text: str) -> Report:
    from edsel_assets.report.formats import render_latex, render_markdown, to_csv
    from edsel_assets.report.page import render_html

    table = pa.Table.from_pandas(evidence.table, preserve_index=False).replace_schema_metadata(None)
    texts = {
        ".txt": text,
        ".md": render_markdown(evidence),
        ".tex": render_latex(evidence),
        ".csv": to_csv(evidence),
        ".html": render_html(evidence),
    }
    return Report(table, evidence.plots, texts, evidence.sheets)


def _without_comparison(
    study: Study,
    base: Scores,
    trials: Mapping[str, Scores],
    win_rates: Mapping[str, pa.Table],
    sections: Sequence[Sheet],
) -> Report:
    """Means over seeds, and why nothing is compared."""
    frame = _frame(study, base, trials, "base model").rename(columns={"value": "score"})
    means = frame.groupby(["task", "metric", "strategy", "budget"])["score"].agg(["mean", "count"])
    table = means.reset_index().rename(columns={"mean": "score", "count": "n"})
    why = (
        "The study has no control, so nothing is compared."
        if study.control is None
        else f"No trial of the control {study.control!r} is scored yet, so nothing is compared."
    )
    sheets = [rows_sheet("Scores", table.to_dict("records"))] if len(table) else []
    sheets += judged_sheets(*(_judged_frame(win_rates, wins) for wins in (True, False)))
    sheets += sections
    evidence = Evidence(f"Scores: {study.name}", tuple(sheets), {}, {}, (why,), table)
    from edsel_assets.report.formats import render_text

    return _written(evidence, render_text(sheets, (why,), width=_WIDTH))
