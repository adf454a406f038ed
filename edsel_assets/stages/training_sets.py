"""From a selection to what training reads: prompts and responses of each replicate, in rank order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.stages.rankings import COPIES


class MissingResponses(ValueError):
    """Selected prompts that nobody has annotated yet."""


TRAINING_SET = pa.schema(
    [
        ("replicate", pa.int32()),
        ("rank", pa.int64()),
        ("prompt_id", pa.string()),
        ("prompt", pa.large_string()),
        ("response", pa.large_string()),
    ]
)


def training_set(selection: pa.Table, pool: pa.Table, annotations: pa.Table) -> pa.Table:
    """``replicate, rank, prompt_id, prompt, response`` of what was selected.

    An annotation counts before the pool's response. A prompt that was drawn several times is there as often.

    Raises:
        MissingResponses: when a prompt has neither.
    """
    prompts, responses = known_responses(pool, annotations)
    selection = _as_often_as_drawn(selection)
    ids = selection["prompt_id"].to_pylist()
    absent = sorted({p for p in ids if responses.get(p) is None})
    if absent:
        raise MissingResponses(
            f"{len(absent)} of {len(set(ids))} selected prompts have no response (first: {absent[0]}). "
            "Annotate them and name the file in pool.annotations, or set pool.annotated_only to choose among "
            "the prompts that have one."
        )
    return pa.table(
        [
            selection["replicate"].cast(pa.int32()),
            selection["rank"].cast(pa.int64()),
            selection["prompt_id"].cast(pa.string()),
            pa.array([prompts[p] for p in ids], pa.large_string()),
            pa.array([responses[p] for p in ids], pa.large_string()),
        ],
        schema=TRAINING_SET,
    )


def _as_often_as_drawn(selection: pa.Table) -> pa.Table:
    if COPIES not in selection.column_names:
        return selection
    copies = selection[COPIES].fill_null(1).to_numpy()
    return selection.take(np.repeat(np.arange(len(copies)), copies))


def replicate_of(table: pa.Table, seed: int) -> pa.Table:
    """The rows of the replicate that a trial's seed picks, in rank order."""
    replicates = int(pc.max(table["replicate"]).as_py()) + 1
    return table.filter(pc.equal(table["replicate"], seed % replicates)).sort_by("rank")


def examples_of(table: pa.Table, template: str, seed: int = 0) -> list[Any]:
    """An ``Example`` per prompt of the replicate that ``seed`` picks, in rank order."""
    from edsel_assets.llm import Example, format_prompt

    rows = replicate_of(table, seed).to_pylist()
    return [Example(format_prompt(template, row["prompt"]), row["response"]) for row in rows]


def known_responses(pool: pa.Table, annotations: pa.Table) -> tuple[dict[str, str], dict[str, str | None]]:
    """Prompt and response by ``prompt_id``."""
    ids = pool["prompt_id"].to_pylist()
    prompts = dict(zip(ids, pool["prompt"].to_pylist(), strict=True))
    responses = dict(zip(ids, pool["response"].to_pylist(), strict=True))
    responses.update(
        zip(annotations["prompt_id"].to_pylist(), annotations["response"].to_pylist(), strict=True)
    )
    return prompts, responses
