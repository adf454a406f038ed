"""Scores by item: one table for all that a model is scored on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.stages import held_out
from edsel_assets.study.trials import HUMANEVAL

if TYPE_CHECKING:
    import pandas as pd

    from edsel_assets.llm import Answer
    from edsel_assets.llm.scoring.evaluation import ItemScore
    from edsel_assets.llm.scoring.humaneval import HumanEval

#: ``task``: as the study names it. ``subtask``: the task of lm-eval that the item is of. ``item``: its number
#: in that task's data, its name in HumanEval, or the id of a held-out prompt. ``sample``: which of an item's
#: programs. ``text``: what the model wrote. ``note``: why a program failed, or that an answer was cut.
ITEMS = pa.schema(
    [
        ("task", pa.string()),
        ("subtask", pa.string()),
        ("item", pa.string()),
        ("sample", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("text", pa.large_string()),
        ("note", pa.large_string()),
    ]
)
NLL, TOKENS = "nll", "tokens"
PASSED = "passed"
CUT = "cut"  # an answer that did not end within the tokens that it may have


def task_items(scores: Iterable[ItemScore], names: Mapping[str, str]) -> pa.Table:
    """Of lm-eval's tasks; ``names``: as the study shows each task that was asked for."""
    rows = [asdict(score) | {"task": names[score.task], "sample": None, "note": None} for score in scores]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def held_out_items(
    ids: list[str], values: Mapping[str, np.ndarray], answers: Sequence[Answer] | None = None
) -> pa.Table:
    """Of held-out prompts: ``values`` by metric, and the answers that they are of, if they are of answers."""
    written: Sequence[Answer | None] = answers or [None] * len(ids)
    rows = [
        _row(held_out.TASK, item, metric, float(value)) | _written(answer)
        for metric, column in values.items()
        for item, value, answer in zip(ids, column, written, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def _written(answer: Answer | None) -> dict[str, Any]:
    if answer is None:
        return {}
    return {"text": answer.text, "note": None if answer.ended else CUT}


def program_items(found: HumanEval, by_problem: Mapping[str, float], metric: str) -> pa.Table:
    """Of HumanEval: pass@k by problem, and every program with its verdict."""
    rows = [_row(HUMANEVAL, item, metric, value) for item, value in by_problem.items()]
    numbers: dict[str, int] = {}
    for sample in found.samples:
        number = numbers[sample.task_id] = numbers.get(sample.task_id, -1) + 1
        verdict = _row(HUMANEVAL, sample.task_id, PASSED, float(sample.passed))
        rows.append(verdict | {"sample": number, "text": sample.completion, "note": sample.reason or None})
    return pa.Table.from_pylist(rows, schema=ITEMS)


def _row(task: str, item: str, metric: str, value: float) -> dict[str, Any]:
    return {"task": task, "subtask": task, "item": item, "metric": metric, "value": value}


def item_values(items: pa.Table | None) -> dict[str, pd.Series]:
    """``TASK/METRIC`` to the values by ``SUBTASK/ITEM``, ordered by both; single programs are left out."""
    if items is None or not items.num_rows:
        return {}
    whole = items.filter(pc.is_null(items["sample"]))
    frame = whole.select(["task", "metric", "subtask", "item", "value"]).to_pandas()
    frame = frame.sort_values(["subtask", "item"], kind="stable")
    frame.index = frame["subtask"] + "/" + frame["item"]
    return {
        f"{task}/{metric}": rows["value"]
        for (task, metric), rows in frame.groupby(["task", "metric"], sort=False)
    }
