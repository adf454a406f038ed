"""The report: base, trials and win rates brought together as evidence, plots and text, computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from edsel_assets.keys import parse_budget_trial
from edsel_assets.report.evidence import (
    STALE,
    Evidence,
    gather,
    judged_plots,
    judged_sheets,
    mean_of_trials,
    section_sheets,
)
from edsel_assets.report.sheets import (
    Rows,
    Sheet,
    rows_sheet,
    saved_cost_sheet,
    saved_sheet,
    score_sheet,
)
from edsel_assets.report.statistics.trials import primary_metrics
from edsel_assets.report.tables import LabelEfficiency, label_efficiency
from edsel_assets.stages import held_out
from edsel_assets.stages.evaluation.by_target import Aimed, compare_parts, parts_of
from edsel_assets.stages.evaluation.items import NLL, TOKENS
from edsel_assets.stages.evaluation.judged import WIN_RATE
from edsel_assets.stages.evaluation.programs import metric_of
from edsel_assets.stages.training_sets import cost_unit
from edsel_assets.study import Study
from edsel_assets.study.trials import HUMANEVAL

_Key = tuple[int, str, int]  # budget, strategy, seed
_WIDTH = 150  # characters of the text for a terminal
_ROWS_OF_TEXT = 10  # of a section in it
_SCORED = {"base_scores", "benchmark_scores", "win_rates"}


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
    """Scores of one model: ``task, metric, value, stderr, n``, and ``TASK/METRIC`` to the values by item.

    Items are known by the index of their values: those of one name are paired, in whatever model they are.
    """

    table: pa.Table
    items: Mapping[str, pd.Series]


def summarise(
    study: Study,
    base: Scores,
    trials: Mapping[str, Scores],
    win_rates: Mapping[str, pa.Table],
    *,
    costs: pd.DataFrame | None = None,
    spend: Rows = (),
    staleness: Rows = (),
    missing: Rows = (),
    weights: Mapping[str, pa.Table] | None = None,
) -> Report:
    """The report of the trials there are.

    Benchmark tasks and each measure of the held-out prompts are compared apart: an accuracy and a loss have
    no mean. Of each target the held-out prompts are compared as it weighs them, beside the rest. Where the
    study has no control, or no trial of it is scored yet, the scores are shown without a comparison.

    Args:
        trials, win_rates: by partition key, ``00100|k_center.s0``.
        weights: ``prompt_id, weight`` of the held-out prompts by target.
        costs: ``strategy, budget, cost`` of the answers of each trial, as ``trial_costs`` gives them.
        spend, staleness, missing: rows of the report's sections of these names; the latter with ``asset`` and
            the number of its ``cells``.
    """
    title = f"Label efficiency: {study.name}"
    compared = [
        efficiency
        for measure in (None, held_out.METRICS[0], *held_out.ANSWER_METRICS)
        if (efficiency := _compare(study, base, trials, measure, costs)) is not None
    ]
    aimed = _aimed(study, base, trials, weights or {})
    rates, ratings = (_judged_frame(win_rates, wins) for wins in (True, False))
    judged = judged_sheets(rates, ratings)
    if compared:
        parts = [
            gather(compared[0], title=title, win_rates=rates, ratings=ratings),
            *(gather(each, title=title) for each in (*compared[1:], *(found.own for found in aimed))),
        ]
        evidence, first = _joined(parts), [found.sheet for found in aimed]
        evidence = replace(evidence, sheets=(*first, *evidence.sheets))
        shown = [*first, *_main_sheets(compared), *judged]
    else:
        means = mean_of_trials(rates, "win_rate"), mean_of_trials(ratings, "rating")
        evidence = _without_comparison(study, base, trials, judged, judged_plots(*means))
        shown = [*evidence.sheets]
    listed = (spend, staleness, missing)
    evidence = replace(
        evidence, sheets=(*evidence.sheets, *section_sheets(*listed)), notice=_notice(staleness)
    )
    return _written(evidence, [*shown, *section_sheets(*listed, shown=_ROWS_OF_TEXT)])


def _notice(staleness: Rows) -> str:
    """That some of the scores are stale, and how many; empty where none is."""
    counts = Counter[str]()
    for row in staleness:
        if row["asset"] in _SCORED:
            counts[row["asset"]] += row["cells"]
    if not counts:
        return ""
    named = ", ".join(f"{count:,} of {asset}" for asset, count in counts.items())
    return (
        f"Stale, or made from what is stale: {named}. They are compared below with fresh scores; see "
        f"{STALE!r}. edsel run makes them again."
    )


def _compare(
    study: Study,
    base: Scores,
    trials: Mapping[str, Scores],
    measure: str | None,
    costs: pd.DataFrame | None,
) -> LabelEfficiency | None:
    """Scores and savings on the benchmark tasks (None), or by one measure of the held-out prompts.

    A measure of answers is shown as a task of its own. None where nothing was scored so.
    """
    control = _control(study, trials)
    if control is None:
        return None
    frame = _frame(study, base, trials, control)
    trained = frame.loc[frame["budget"] > 0, "task"]  # a task that is new has the base model's score alone
    held = frame["task"] == held_out.TASK
    frame = frame[~held if measure is None else held & (frame["metric"] == measure)]
    frame = frame[frame["task"].isin(trained)]
    if not len(frame):
        return None
    primary = primary_of(study) if measure is None else {held_out.TASK: measure}
    models: dict[_Key, Scores] = {parse_budget_trial(key): scores for key, scores in trials.items()}
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
        average=averaged_tasks(study, frame) if measure is None else (),
        control=control,
        one_subset=_one_subset(study),
        costs=costs,
        unit=cost_unit(study),
    )


def _aimed(
    study: Study, base: Scores, trials: Mapping[str, Scores], weights: Mapping[str, pa.Table]
) -> list[Aimed]:
    """The comparisons by target; none where no trial of the control is scored."""
    control = _control(study, trials)
    if control is None:
        return []
    items = {parse_budget_trial(key): scores.items for key, scores in trials.items()}
    parts = {
        name: parts_of(name, table, by_tasks=study.targets[name].tasks is not None)
        for name, table in weights.items()
    }
    return compare_parts(parts, items | {(0, control, 0): base.items}, control, _one_subset(study))


def _control(study: Study, trials: Mapping[str, Scores]) -> str | None:
    """The study's control where it has one and a trial of it is scored."""
    scored = any(parse_budget_trial(key)[1] == study.control for key in trials)
    return study.control if scored else None


def primary_of(study: Study) -> dict[str, str]:
    """The metrics that the study names, by task as it is shown."""
    named = {task.shown: task.metric for task in study.evaluation.tasks if task.metric}
    programs = study.evaluation.humaneval
    return named | ({HUMANEVAL: metric_of(programs)} if programs is not None else {})


def averaged_tasks(study: Study, frame: pd.DataFrame) -> list[str]:
    """The tasks that the study names for its average; else those that have scores, each task once."""
    return study.report.average or [task for task in study.evaluation.once if task in set(frame["task"])]


def _frame(study: Study, base: Scores, trials: Mapping[str, Scores], control: str) -> pd.DataFrame:
    own = trial_frames(study, {key: scores.table for key, scores in trials.items()})
    return pd.concat([_wanted(study, _trial_frame(base.table, 0, control, 0)), own], ignore_index=True)


def trial_frames(study: Study, trials: Mapping[str, pa.Table]) -> pd.DataFrame:
    """``strategy, budget, seed, task, metric, value, stderr, n`` of trials by key, on the study's tasks."""
    frames = [_trial_frame(table, *parse_budget_trial(key)) for key, table in trials.items()]
    columns = ["task", "metric", "value", "strategy", "budget", "seed"]
    return _wanted(study, pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns))


def _wanted(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["task"].isin({*study.evaluation.shown, held_out.TASK, HUMANEVAL})]


def _held_out_items(models: Mapping[_Key, Scores]) -> pd.DataFrame | None:
    """The token mean by held-out prompt, as the linear parts of a ratio whose mean it is."""
    frames = []
    names = [f"{held_out.TASK}/{metric}" for metric in (NLL, TOKENS)]
    for key, scores in models.items():
        if names[0] in scores.items:
            nll, tokens = (scores.items[name] for name in names)
            mean = -nll.sum() / tokens.sum()
            value = mean + (-nll - mean * tokens) / tokens.mean()
            frames.append(_item_frame(key, held_out.TASK, value))
    return pd.concat(frames, ignore_index=True) if frames else None


def _task_items(
    models: Mapping[_Key, Scores], frame: pd.DataFrame, primary: Mapping[str, str]
) -> pd.DataFrame | None:
    """The primary metric by item, of the tasks whose score is the mean over items in every model with it."""
    frames = []
    for task, metric in primary_metrics(frame, primary).items():
        rows = frame[(frame["task"] == task) & (frame["metric"] == metric)]
        values = {
            tuple(row[:3]): row[3]
            for row in rows[["budget", "strategy", "seed", "value"]].itertuples(index=False)
        }
        found = {key: models[key].items.get(f"{task}/{metric}") for key in values if key in models}
        if all(v is not None and np.isclose(v.mean(), values[key], atol=1e-9) for key, v in found.items()):
            frames += [_item_frame(key, task, value) for key, value in found.items()]
    return pd.concat(frames, ignore_index=True) if frames else None


def _item_frame(key: _Key, task: str, value: pd.Series) -> pd.DataFrame:
    budget, strategy, seed = key
    frame = pd.DataFrame({"item": value.index, "value": value.to_numpy()})
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
    """One row per trial: its win rate, or its mean rating; the reference, a draw with itself, is left out."""
    name = "win_rate" if wins else "rating"
    rows = []
    for key, table in judged.items():
        budget, strategy, _ = parse_budget_trial(key)
        row = table.to_pylist()[0]
        if (row["metric"] == WIN_RATE) == wins and row["reference"] != key:
            lost = row["invalid"] + row["failed"]
            rows.append((strategy, budget, row["value"], row["stderr"], lost))
    return pd.DataFrame(rows, columns=["strategy", "budget", name, "stderr", "lost"])


def _joined(parts: Sequence[Evidence]) -> Evidence:
    """Several comparisons as one report; the plots of each further one carry its task's name."""
    first = parts[0]
    plots, captions = dict(first.plots), dict(first.captions)
    for part in parts[1:]:
        task = part.table["task"].iloc[0]  # each further part has one
        plots |= {f"{name}_{task}": png for name, png in part.plots.items()}
        captions |= {f"{name}_{task}": text for name, text in part.captions.items()}
    return replace(
        first,
        sheets=tuple(sheet for part in parts for sheet in part.sheets),
        plots=plots,
        captions=captions,
        unseen=tuple(dict.fromkeys(sentence for part in parts for sentence in part.unseen)),
        table=pd.concat([part.table for part in parts], ignore_index=True),
    )


def _main_sheets(compared: Sequence[LabelEfficiency]) -> list[Sheet]:
    """Savings and scores of each comparison's main task: what a terminal shows."""
    return [
        sheet
        for efficiency in compared
        for sheet in (
            saved_sheet(efficiency, efficiency.main_task),
            saved_cost_sheet(efficiency, efficiency.main_task),
            score_sheet(efficiency, efficiency.main_task),
        )
        if sheet.rows
    ]


def _written(evidence: Evidence, shown: Sequence[Sheet]) -> Report:
    """``shown``: the tables of the text for a terminal."""
    from edsel_assets.report.formats import render_latex, render_markdown, render_text, to_csv
    from edsel_assets.report.page import render_html

    table = pa.Table.from_pandas(evidence.table, preserve_index=False).replace_schema_metadata(None)
    texts = {
        ".txt": render_text(shown, evidence.unseen, _WIDTH, evidence.notice),
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
    judged: Sequence[Sheet],
    plots: tuple[dict[str, bytes], dict[str, str]],
) -> Evidence:
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
    return Evidence(f"Scores: {study.name}", (*sheets, *judged), *plots, (why,), table)
