"""Scores against what a method was given: the number of clusters, the rounds (Yu et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from edsel_assets.kinds.dimensions import in_rounds
from edsel_assets.kinds.making import Made, Making
from edsel_assets.kinds.rows.report import by_clusters
from edsel_assets.report.statistics.trials import AVERAGE, primary_metrics, trial_values
from edsel_assets.selection import elbow_point
from edsel_assets.stages import held_out
from edsel_assets.stages.summary import averaged_tasks, primary_of, trial_frames
from edsel_assets.study import Study

_CELL = ["strategy", "budget"]
_NONE = "No trial that it compares is scored yet."


def averages(study: Study, trials: Mapping[str, Any]) -> pd.DataFrame:
    """``strategy, budget, score, se, n``: the mean over trials of the average that the report shows.

    Of a study without tasks, of the held-out prompts' token mean. ``se``: over trials, NaN of one.

    Args:
        trials: scores by partition key.
    """
    frame = trial_frames(study, {key: getattr(value, "table", value) for key, value in trials.items()})
    if not len(frame):
        return pd.DataFrame(columns=[*_CELL, "score", "se", "n"])
    held = frame["task"] == held_out.TASK
    tasks, primary = frame[~held], primary_of(study)
    if not len(tasks):
        tasks, primary = frame[held], {held_out.TASK: held_out.METRICS[0]}
    metrics = primary_metrics(tasks, primary)
    members = averaged_tasks(study, tasks) or list(metrics)
    values, _ = trial_values(tasks, metrics, members)
    cells = values[values["task"] == AVERAGE].groupby(_CELL)["value"]
    found = cells.agg(["mean", "sem", "count"]).reset_index()
    return found.rename(columns={"mean": "score", "sem": "se", "count": "n"})


def score_by_clusters(making: Making, cluster_count: pa.Table, benchmark_scores: Mapping[str, Any]) -> Made:
    """Score by number of clusters of each strategy that was tried at several, beside silhouette and elbow.

    The table: ``strategy, clusters, budget, score, se, n, silhouette, inertia``; variants are under their
    strategy.
    """
    from edsel_assets.report.round_plots import score_by_clusters as picture

    scores, geometry = averages(making.study, benchmark_scores), cluster_count.to_pandas()
    parts = []
    for strategy, names in by_clusters(making.study).items():
        mine = scores[scores["strategy"].isin(names)]
        parts.append(mine.assign(clusters=mine["strategy"].map(names), strategy=strategy))
    joined = pd.concat(parts).merge(geometry.drop(columns="silhouette_stderr"), on="clusters")
    joined = joined.sort_values(["strategy", "budget", "clusters"], ignore_index=True)
    bend = elbow_point(dict(zip(geometry["clusters"], geometry["inertia"], strict=True)))
    if not len(joined):
        return Made(cluster_count, {"elbow": bend, "note": _NONE})
    table = pa.Table.from_pandas(joined, preserve_index=False).replace_schema_metadata(None)
    shown: dict[str, Any] = {"elbow": bend, "preview": table}
    for strategy, rows in joined[joined["budget"] == joined["budget"].max()].groupby("strategy"):
        best = rows.loc[rows["score"].idxmax()]
        shown[f"best_{strategy}"] = f"{best['score']:.4g} at {best['clusters']:,} clusters"
        if len(rows) > 2:
            r = np.corrcoef(rows["score"], rows["silhouette"])[0, 1]
            shown[f"correlation_with_silhouette_{strategy}"] = float(r)
    return Made(table, {**shown, "scores": picture(joined, geometry, bend)})


def score_by_round(making: Making, benchmark_scores: Mapping[str, Any], **rounds: Mapping[str, Any]) -> Made:
    """Score of the model after each round, by strategy, and of the strategies that choose at once.

    The table: ``strategy, budget, round`` (0 of those that choose at once), ``score, se, n``.
    """
    from edsel_assets.report.round_plots import score_by_round as picture

    study = making.study
    chosen = in_rounds(study)
    parts = [
        averages(study, scores).assign(round=int(name.rpartition("_")[2]))
        for name, scores in sorted(rounds.items())
        if scores
    ]
    last = averages(study, benchmark_scores)
    numbers = np.where(last["strategy"].isin(chosen), study.rounds.rounds, 0)
    joined = pd.concat([*parts, last.assign(round=numbers)])
    if not (joined["round"] > 0).any():
        return Made(pa.table({"strategy": pa.array([], pa.string())}), {"note": _NONE})
    joined = joined.sort_values(["strategy", "budget", "round"], ignore_index=True)
    table = pa.Table.from_pandas(joined, preserve_index=False).replace_schema_metadata(None)
    table = table.select([*_CELL, "round", "score", "se", "n"])
    return Made(table, {"scores": picture(joined, study.rounds.rounds), "preview": table})
