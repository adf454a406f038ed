"""What a judge says of a trial's answers: its weighted win rate against the reference, or its mean rating."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.study import JudgeSettings

WIN_RATE, RATING = "win_rate", "rating"

#: ``n``: instructions with a value. ``invalid``: replies of the wrong form. ``failed``: requests without a
#: reply. ``cost``: of the kept replies that the value rests on, whenever they were bought.
JUDGED = pa.schema(
    [
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("stderr", pa.float64()),
        ("n", pa.int64()),
        ("invalid", pa.int64()),
        ("failed", pa.int64()),
        ("cost", pa.float64()),
        ("reference", pa.string()),
    ]
)


@dataclass(frozen=True)
class Judged:
    """``table``: one row of ``JUDGED``. ``items``: a row per instruction. ``why``: of the first reply that
    gave no value, empty where each gave one. ``spent``: by this home on judges, in all."""

    table: pa.Table
    items: pa.Table
    why: str = ""
    spent: float = 0.0


def judge_answers(
    judge: Any,
    settings: JudgeSettings,
    answers: pa.Table,
    reference: pa.Table | None,
    name: str | None,
) -> Judged:
    """A judge's word on ``answers``.

    Args:
        reference: the answers of the trial called ``name``; None for ratings.

    Raises:
        ValueError: other instructions were answered, or no instruction has a value.
        JudgeError, CostStop: as the settings say; what was paid for is kept.
    """
    if reference is not None and reference["instruction"].to_pylist() != answers["instruction"].to_pylist():
        raise ValueError(
            f"{name} has answered other instructions. Run again: its answers are then made anew."
        )
    value, columns = (
        _preferences(judge, settings, answers, reference)
        if reference is not None
        else _ratings(judge, settings, answers)
    )
    tally = judge.tally
    missing = int(np.isnan(value).sum())
    if missing and settings.on_invalid == "stop" and tally.invalid:
        raise ValueError(f"{tally.invalid} replies are not of the right form: {tally.why}")
    known = value[~np.isnan(value)]
    if not len(known):
        raise ValueError(
            f"no instruction has a valid reply: {tally.why} Use another judge or other settings."
        )
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else float("nan")
    metric = RATING if reference is None else WIN_RATE
    row = _row(metric, known.mean(), error, len(known), name)
    row |= {"invalid": tally.invalid, "failed": tally.failed, "cost": tally.cost}
    items = pa.table({"row": answers["row"], "value": _nullable(value), **columns})
    return Judged(pa.Table.from_pylist([row], schema=JUDGED), items, tally.why, tally.spent)


def itself(answers: pa.Table, name: str) -> Judged:
    """The reference trial against itself: a draw, which nobody is asked about."""
    half = np.full(answers.num_rows, 0.5)
    items = pa.table({"row": answers["row"], "value": half, "answer_first": half, "reference_first": half})
    row = _row(WIN_RATE, 0.5, 0.0, answers.num_rows, name)
    return Judged(pa.Table.from_pylist([row], schema=JUDGED), items)


def _preferences(
    judge: Any, settings: JudgeSettings, answers: pa.Table, reference: pa.Table
) -> tuple[np.ndarray, dict[str, Any]]:
    from edsel_assets.llm import preferences
    from edsel_assets.llm.judging.prompts import PREFERENCE

    texts = (answers["instruction"], answers["answer"], reference["answer"])
    found = preferences(
        judge,
        *(column.to_pylist() for column in texts),
        labels=settings.labels,
        template=settings.question or PREFERENCE,
    )
    orders = {"answer_first": found.answer_first, "reference_first": found.reference_first}
    return found.value, {name: _nullable(values) for name, values in orders.items()}


def _ratings(judge: Any, settings: JudgeSettings, answers: pa.Table) -> tuple[np.ndarray, dict[str, Any]]:
    from edsel_assets.llm import rate_responses
    from edsel_assets.llm.judging.prompts import RATING

    texts = (answers["instruction"].to_pylist(), answers["answer"].to_pylist())
    found = rate_responses(judge, *texts, template=settings.question or RATING)
    return found.value, {"reply": pa.array(found.replies, pa.large_string())}


def _row(metric: str, value: float, error: float, n: int, reference: str | None) -> dict[str, Any]:
    counts = {"n": n, "invalid": 0, "failed": 0, "cost": 0.0}
    return {"metric": metric, "value": float(value), "stderr": float(error), "reference": reference, **counts}


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
