"""Scores by target, read from the scores by item: on a target's held-out prompts, and on the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from edsel_assets.report.evidence import target_sheet
from edsel_assets.report.sheets import Sheet
from edsel_assets.report.tables import LabelEfficiency, label_efficiency
from edsel_assets.stages.evaluation.items import NLL, TOKENS
from edsel_assets.stages.held_out import ANSWER_METRICS, METRICS, TASK

Key = tuple[int, str, int]  # budget, strategy, seed
Items = Mapping[Key, Mapping[str, pd.Series]]


@dataclass(frozen=True)
class Part:
    """Held-out prompts as a target or the rest of the pool weighs them.

    Attributes:
        task: the name under which its scores are reported.
        weights: at least 0, by item.
    """

    task: str
    weights: pd.Series

    @property
    def effective_size(self) -> float:
        """(sum w)^2 / sum w^2: so many equal weights vary as much."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())


def parts_of(target: str, weights: pa.Table, *, by_tasks: bool) -> tuple[Part, Part]:
    """The target's part of the held-out prompts and the rest.

    The rest weighs 1 - w / max w; of a target by tasks that leaves some out, plainly the prompts of those.

    Args:
        weights: ``prompt_id, weight`` of the held-out prompts.
    """
    values = weights["weight"].to_numpy()
    own = pd.Series(values, index=[f"{TASK}/{each}" for each in weights["prompt_id"].to_pylist()])
    others = (own == 0).astype(float)
    rest = others if by_tasks and others.any() else 1 - own / own.max()
    return Part(f"{TASK}_{target}", own), Part(f"{TASK}_{target}_rest", rest)


def part_scores(part: Part, models: Items, measure: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every model on a part, and their linear parts by item: what ``label_efficiency`` reads.

    The mean is self-normalised, sum w v / sum w, of the loss by token sum w nll / sum w tokens; its standard
    error is that of a ratio by the delta method. A model that was scored on other prompts is left out.
    """
    rows, items = [], []
    for (budget, strategy, seed), values in models.items():
        ratio = _ratio(part, values, measure)
        if ratio is None:
            continue
        mean = ratio[0].sum() / ratio[1].sum()
        linear = mean + (ratio[0] - mean * ratio[1]) / ratio[1].mean()
        trial = {"task": part.task, "budget": budget, "strategy": strategy, "seed": seed}
        error = linear.std(ddof=1) / np.sqrt(len(linear))
        rows.append(trial | {"metric": measure, "value": mean, "stderr": error, "n": len(linear)})
        items.append(pd.DataFrame({"item": linear.index, "value": linear.to_numpy()}).assign(**trial))
    return pd.DataFrame(rows), pd.concat(items, ignore_index=True) if items else pd.DataFrame()


def _ratio(part: Part, values: Mapping[str, pd.Series], measure: str) -> tuple[pd.Series, pd.Series] | None:
    """Numerator and denominator of the weighted mean by item; None where they are not those of the part."""
    losses = measure == METRICS[0]
    found = [values.get(f"{TASK}/{name}") for name in ((NLL, TOKENS) if losses else (measure,))]
    if any(each is None or not each.index.isin(part.weights.index).all() for each in found):
        return None
    weights = part.weights.reindex(found[0].index)  # type: ignore[union-attr]
    return (-weights * found[0], weights * found[1]) if losses else (weights * found[0], weights)


@dataclass(frozen=True)
class Aimed:
    """A comparison on a target, and the table that puts the rest beside it."""

    own: LabelEfficiency
    sheet: Sheet


def compare_parts(
    parts: Mapping[str, tuple[Part, Part]], models: Items, control: str, one_subset: Collection[str]
) -> list[Aimed]:
    """Of each target by each measure that its held-out prompts have in trials of the control."""
    found = []
    for name, (own, rest) in parts.items():
        for measure in (METRICS[0], *ANSWER_METRICS):
            target, others = (_compare(part, models, measure, control, one_subset) for part in (own, rest))
            if target is not None and others is not None:
                found.append(Aimed(target, target_sheet(target, others, name, _sizes(own, rest))))
    return found


def _compare(
    part: Part, models: Items, measure: str, control: str, one_subset: Collection[str]
) -> LabelEfficiency | None:
    """Scores and savings on a part; None where no trial of the control has any."""
    frame, items = part_scores(part, models, measure)
    if not len(frame) or not ((frame["strategy"] == control) & (frame["budget"] > 0)).any():
        return None
    if measure in ANSWER_METRICS:
        frame, items = (each.assign(task=f"{part.task}_{measure}") for each in (frame, items))
    trained = items[items["budget"] > 0]
    return label_efficiency(frame, items=trained, control=control, one_subset=one_subset)


def _sizes(own: Part, rest: Part) -> str:
    return (
        f"{len(own.weights):,} held-out prompts; weighted as the target they vary as "
        f"{own.effective_size:,.0f} equal ones, and as the rest as {rest.effective_size:,.0f}."
    )
