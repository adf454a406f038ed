"""Iterative kMQ (Yu et al. 2024, Algorithm 1): one round's selection, and the weights it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.selection import update_weights
from edsel_assets.selection.strategy import Signals, Strategy, StrategyOptions
from edsel_assets.stages.inputs import strategy_options
from edsel_assets.stages.rankings import ranking_table
from edsel_assets.stages.training_sets import examples_of
from edsel_assets.study import Study


def round_size(budget: int, round_number: int, rounds: int) -> int:
    """New prompts, or money, of round ``round_number`` (from 1): b/N; all rounds sum to the budget."""
    return budget * round_number // rounds - budget * (round_number - 1) // rounds


def round_options(study: Study, strategy: str, seed: int) -> StrategyOptions:
    """The switches of one seed's rounds; no two rounds of any seeds draw alike."""
    options = strategy_options(study, strategy)
    return replace(options, seed=options.seed + seed * study.rounds.rounds)


def pick_round(
    strategy: Strategy, signals: Signals, size: int, options: StrategyOptions, earlier: Sequence[pa.Table]
) -> pa.Table:
    """``size`` prompts that no earlier round chose and nobody annotated yet, as ``replicate, rank, ...``.

    With prices among the signals, ``size`` is money.
    """
    taken = set().union(*(table["prompt_id"].to_pylist() for table in earlier)) if earlier else set()
    rows = np.flatnonzero([str(p) in taken for p in signals.prompt_ids])
    known = np.union1d(np.asarray(signals.selected, dtype=np.int64), rows)
    options = replace(options, seed=options.seed + len(earlier))
    ranking = strategy(replace(signals, selected=known), size, options)
    return ranking_table(ranking, signals.prompt_ids, None, 0).drop_columns(["budget"])


def ordered_round(orders: pa.Table, cell: str) -> pa.Table | None:
    """A round's picks as ordered, ``replicate, rank, prompt_id, gain``; None before its order."""
    mine = orders.filter(pc.and_(pc.equal(orders["cell"], cell), pc.invert(orders["validation"])))
    if not mine.num_rows:
        return None
    return pa.table(
        {
            "replicate": pa.array(np.zeros(mine.num_rows, dtype=np.int32)),
            "rank": pa.array(np.arange(mine.num_rows, dtype=np.int64)),
            "prompt_id": mine["prompt_id"].cast(pa.string()),
            "gain": mine["gain"].fill_null(0.0),
        }
    )


def union(selections: Sequence[pa.Table]) -> pa.Table:
    """The rounds' selections one after another, ranked through."""
    table = pa.concat_tables(selections)
    return table.set_column(
        table.schema.get_field_index("rank"), "rank", pa.array(np.arange(table.num_rows, dtype=np.int64))
    )


def replicates(by_seed: Mapping[int, pa.Table]) -> pa.Table:
    """The selections of several seeds' rounds as the replicates of one."""
    tables = []
    for seed, table in sorted(by_seed.items()):
        column = pa.array(np.full(table.num_rows, seed, dtype=np.int32))
        tables.append(table.set_column(table.schema.get_field_index("replicate"), "replicate", column))
    return pa.concat_tables(tables)


def perplexity_scores(model: Any, tokenizer: Any, study: Study, training_set: pa.Table) -> np.ndarray:
    """(n,) S of each prompt a round trained on, in rank order: higher where the model has more left to learn.

    S = -log(PPL(x + generated) / PPL(x + gold)) (Eq. 7), that is log PPL(gold) - log PPL(generated)
    with the perplexity of the response given the prompt. This is Eq. 4 with score = log PPL; with
    score = -log PPL, higher for better text, Eq. 4 would have the opposite sign, and Eq. 7 is the
    one that raises "challenging clusters" (Section 2.2). The end token is scored where an answer ended by
    itself; gold answers always end.
    """
    from edsel_assets.llm import generate_answers, perplexity

    examples = examples_of(training_set, study.model.template)
    prompts, gold = [e.prompt for e in examples], [e.response for e in examples]
    size = study.forward.batch_tokens
    answers = generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=study.rounds.max_new_tokens,
        max_prompt_tokens=study.forward.max_prompt_tokens,
        batch_tokens=size,
    )
    of_gold = perplexity(model, tokenizer, prompts, gold, batch_tokens=size)
    texts, ended = [a.text for a in answers], [a.ended for a in answers]
    of_generated = perplexity(model, tokenizer, prompts, texts, batch_tokens=size, ended=ended)
    return np.log(of_gold) - np.log(of_generated)


def next_weights(
    weights: np.ndarray | None,
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    clusters: int,
    temperature: float,
    literal: bool,
) -> pa.Table:
    """The clusters' weights after a round: ``cluster, members, score, weight``.

    Args:
        weights: (C,) before, summing to 1; None before the first round, when all are equal.
        labels: (n,) cluster of each scored prompt.
        scores: (n,) its score; a cluster's is their mean (Eq. 5), null where it has none.
        clusters: C.
    """
    if weights is None:
        weights = np.full(clusters, 1 / clusters)
    members = np.bincount(labels, minlength=clusters)
    sums = np.bincount(labels, weights=scores, minlength=clusters)
    means = np.full(clusters, np.nan)
    np.divide(sums, members, out=means, where=members > 0)
    updated = update_weights(weights, means, temperature=temperature, literal=literal)
    return pa.table(
        {
            "cluster": np.arange(clusters, dtype=np.int64),
            "members": members.astype(np.int64),
            "score": pa.array(means, mask=members == 0),
            "weight": updated,
        }
    )
