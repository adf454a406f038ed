"""From a selection to what training reads: prompts and responses of each replicate, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.keys import budget_key, parse_budget_trial, partition_key
from edsel_assets.stages.rankings import COPIES
from edsel_assets.study import Study
from edsel_assets.study.choosing import AnnotationSettings


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


# -- what the answers of a trial cost

MONEY, CHARACTERS = "money", "characters of answers"
_COLUMNS = {"prompt": ["response"], "length": ["prompt", "response"], "column": ["prompt_id"]}


class Stored(Protocol):
    """A table that is read when it is asked for."""

    def read(self, columns: list[str]) -> pa.Table: ...


def cost_unit(study: Study) -> str:
    """What a cost is counted in: characters where all prompts have one price, as that says no more."""
    return CHARACTERS if study.annotation.price_by == "prompt" else MONEY


def trial_costs(
    study: Study, trials: Iterable[str], training_sets: Mapping[str, Stored], pool: Stored
) -> pd.DataFrame:
    """``strategy, budget, seed, cost`` of each trial whose training set is there.

    By length the price is that of the characters of prompt and answer; by column that of the pool, where a
    prompt without a price costs nothing.

    Args:
        trials: partition keys, ``00100|k_center.s0``.
        training_sets: by partition key, ``00100|k_center``; one is read at a time.
        pool: read where the study takes prices from its column.
    """
    rule, prices, rows = study.annotation, None, []
    if rule.price_by == "column":
        table = pool.read(["prompt_id", "price"])
        prices = dict(zip(table["prompt_id"].to_pylist(), table["price"].to_pylist(), strict=True))
    wanted: dict[str, list[tuple[int, str, int]]] = {}
    for key in trials:
        budget, strategy, seed = parse_budget_trial(key)
        name = partition_key(budget_key(budget), strategy)
        wanted.setdefault(name, []).append((budget, strategy, seed))
    for name in sorted(wanted.keys() & training_sets.keys()):
        table = training_sets[name].read(["replicate", "rank", *_COLUMNS[rule.price_by]])
        for budget, strategy, seed in wanted[name]:
            cost = _cost(rule, _once(replicate_of(table, seed)), prices)
            rows.append({"strategy": strategy, "budget": budget, "seed": seed, "cost": cost})
    return pd.DataFrame(rows, columns=["strategy", "budget", "seed", "cost"])


def _once(table: pa.Table) -> pa.Table:
    """The rows of one replicate without copies: a prompt drawn twice is bought once."""
    return table.take(np.unique(table["rank"].to_numpy(), return_index=True)[1])


def _cost(rule: AnnotationSettings, table: pa.Table, prices: Mapping[str, float | None] | None) -> float:
    if prices is not None:
        return sum(prices[prompt] or 0.0 for prompt in table["prompt_id"].to_pylist())
    characters = {name: _characters(table, name) for name in _COLUMNS[rule.price_by]}
    if rule.price_by == "prompt":
        return characters["response"]
    per_prompt, per_response = rule.per_thousand_prompt, rule.per_thousand_response
    return (per_prompt * characters["prompt"] + per_response * characters["response"]) / 1000


def _characters(table: pa.Table, name: str) -> float:
    return float(pc.sum(pc.utf8_length(table[name])).as_py() or 0)
