"""From losses by item to tables: the same functions that make a study's report.

``losses`` are ``seed, target, strategy, budget, item, nll, tokens``, one row per held-out prompt of a trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.evidence.targets.design import AIMED, ALL, CONTROL, RANDOM, Data
from edsel_assets.report.statistics.inference import holm
from edsel_assets.report.tables import REACHED, LabelEfficiency, label_efficiency
from edsel_assets.stages.evaluation.by_target import Part, part_scores

CELL = ["strategy", "budget"]


@dataclass(frozen=True)
class Reading:
    """One target: the comparison on it and that on the rest."""

    target: str
    share: float
    own: LabelEfficiency
    rest: LabelEfficiency


def read(data: Data, losses: pd.DataFrame, seeds: list[int]) -> list[Reading]:
    """The targets by their share of the pool, the smallest first."""
    found = []
    for target in data.design.targets:
        share = float(np.mean([data.members(target)[data.pool(seed)].mean() for seed in seeds]))
        trials = trials_of(data, losses, target)
        parts = {"own": data.held_out[target], "rest": data.rest(target)}
        read_by = {name: _compared(trials, np.searchsorted(data.items, rows)) for name, rows in parts.items()}
        found.append(Reading(target, share, **read_by))
    return sorted(found, key=lambda each: each.share)


def trials_of(data: Data, losses: pd.DataFrame, target: str) -> pd.DataFrame:
    """The trials that are read for a target; the negative control under its own name."""
    other = losses[(losses["target"] == data.design.other(target)) & (losses["strategy"] == AIMED)]
    own = losses[losses["target"].isin([ALL, target])]
    return pd.concat([own, other.assign(strategy=CONTROL)], ignore_index=True)


def _compared(trials: pd.DataFrame, items: np.ndarray) -> LabelEfficiency:
    part = Part("held_out", pd.Series(1.0, index=items))
    kept = trials[trials["item"].isin(items)].set_index("item").sort_index()
    models = {
        (int(budget), str(strategy), int(seed)): {
            "held_out/nll": rows["nll"].astype(float),
            "held_out/tokens": rows["tokens"],
        }
        for (budget, strategy, seed), rows in kept.groupby(["budget", "strategy", "seed"])
    }
    frame, linear = part_scores(part, models, "token_mean")
    return label_efficiency(frame, items=linear[linear["budget"] > 0], control=RANDOM)


def table(readings: list[Reading], inside: pd.DataFrame) -> pd.DataFrame:
    """One row per target, strategy and budget: losses, what random needs, the price on the rest.

    Args:
        inside: ``target, strategy, budget, inside``: the share of the picks that are the target's own.

    Returns:
        ``loss``, ``rest_loss`` are means over seeds in nats per token, ``_se`` their standard errors;
        ``difference`` and ``rest_difference`` are to random at the same budget, lower is better, with 95 %
        intervals; ``needed`` are random's answers of the same loss. ``p`` is of no difference on the target,
        ``p_claims`` that of the plan's claims, corrected for all of them by Holm.
    """
    rows = pd.concat([_rows(each) for each in readings], ignore_index=True)
    claims = (rows["strategy"] == AIMED) & rows["p"].notna()
    rows["p_claims"] = np.nan
    rows.loc[claims, "p_claims"] = holm(rows.loc[claims, "p"].to_numpy())
    rows["saves"] = (rows["p_claims"] <= 0.05) & (rows["difference"] < 0) & (rows["saved_low"] > 0)
    return rows.merge(inside, on=["target", *CELL], how="left")


def _rows(reading: Reading) -> pd.DataFrame:
    own, rest = (_minus(each.scores) for each in (reading.own, reading.rest))
    names = ["loss", "se", "difference", "difference_low", "difference_high"]
    rows = own[[*CELL, "n", *names, "p"]].merge(
        rest[[*CELL, *names]].rename(columns={name: f"rest_{name}" for name in names}), on=CELL
    )
    saved = reading.own.saved[[*CELL, "status", "needed", "saved", "saved_low", "saved_high"]]
    rows = rows.merge(saved, on=CELL, how="left")
    rows.insert(0, "target", reading.target)
    rows.insert(1, "share", reading.share)
    return rows


def _minus(scores: pd.DataFrame) -> pd.DataFrame:
    """Losses from scores, which are minus losses: the ends of an interval change places."""
    turned = {
        "loss": -scores["mean"],
        "difference": -scores["difference"],
        "difference_low": -scores["difference_high"],
        "difference_high": -scores["difference_low"],
    }
    return scores.assign(**turned)


def worth(row: pd.Series) -> str:
    """How many random answers a cell is worth, with its interval; in words where no number can be read."""
    ends = (row["saved_low"] + row["budget"], row["saved_high"] + row["budget"])
    low, high = ("open" if not np.isfinite(end) else f"{end:,.0f}" for end in ends)
    if row["status"] == REACHED:
        return f"{row['needed']:,.0f} ({low} to {high})"
    return f"{row['status']} ({low} to {high})" if isinstance(row["status"], str) else ""
