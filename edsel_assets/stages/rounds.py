"""Iterative kMQ (Yu et al. 2024, Algorithm 1): one round's selection, and the weights it leads to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.selection import update_weights
from edsel_assets.selection.strategy import Signals, Strategy, StrategyOptions
from edsel_assets.stages.inputs import money_prices, signals_of, strategy_options
from edsel_assets.stages.rankings import ranking_table
from edsel_assets.study import Study


def round_size(budget: int, round_number: int, rounds: int) -> int:
    """New prompts, or money, of round ``round_number`` (from 1): b/N; all rounds sum to the budget."""
    return budget * round_number // rounds - budget * (round_number - 1) // rounds


def round_options(study: Study, strategy: str, seed: int) -> StrategyOptions:
    """The switches of one seed's rounds; no two rounds of any seeds draw alike."""
    options = strategy_options(study, strategy)
    return replace(options, seed=options.seed + seed * study.rounds.rounds)


def round_signals(
    study: Study,
    strategy: str,
    read_pool: Callable[[list[str]], pa.Table],
    known: pa.Table,
    clusters: Any,
    quality_scores: pa.Table,
    weights: pa.Table | None = None,
) -> Signals:
    """What a round chooses by.

    Args:
        read_pool: columns -> the pool's table.
        known: ``prompt_id`` of every prompt that is asked for or answered.
        clusters: with ``table`` and ``arrays``, as the asset holds them.
        weights: of the round before; None in the first.
    """
    return signals_of(
        study.strategy(strategy),
        read_pool(["prompt_id"]),
        known,
        _no_embeddings,
        None,
        clusters,
        quality_scores,
        None if weights is None else weights["weight"].to_numpy(),
        money_prices(study, read_pool),
    )


def _no_embeddings() -> pa.Table:
    raise AssertionError("iterative kMQ chooses by clusters; it reads no embeddings")


def pick_round(
    strategy: Strategy, signals: Signals, size: float, options: StrategyOptions, earlier: Sequence[pa.Table]
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
    """A round's picks as ordered, ``replicate, rank, prompt_id, gain``; None before its order.

    A rejected pick that was replaced is left out; what was ordered in its place stands after the others.

    Args:
        orders: ``prompt_id, gain, validation, counts_for, replaced``, as the asset ``orders`` has them.
    """
    mine = orders.filter(pc.and_(pc.equal(orders["counts_for"], cell), pc.invert(orders["validation"])))
    if not mine.num_rows:
        return None
    mine = mine.filter(pc.invert(mine["replaced"]))
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
    table = pa.concat_tables(selections, promote_options="default")  # what was ordered was drawn once
    return table.set_column(
        table.schema.get_field_index("rank"), "rank", pa.array(np.arange(table.num_rows, dtype=np.int64))
    )


def replicates(by_seed: Mapping[int, pa.Table]) -> pa.Table:
    """The selections of several seeds' rounds as the replicates of one."""
    tables = []
    for seed, table in sorted(by_seed.items()):
        column = pa.array(np.full(table.num_rows, seed, dtype=np.int32))
        tables.append(table.set_column(table.schema.get_field_index("replicate"), "replicate", column))
    return pa.concat_tables(tables, promote_options="default")


def next_weights(
    before: pa.Table | None,
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    clusters: int,
    temperature: float | None,
    literal: bool,
) -> pa.Table:
    """The clusters' weights after a round: ``cluster, members, score, weight, history``.

    ``history`` is the weight before the first round, after it, and so on to this one.

    Args:
        before: of the round before; None before the first round, when all weights are equal.
        labels: (n,) cluster of each prompt that the round trained on.
        scores: (n,) its score, NaN where it has none; a cluster's is their mean (Eq. 5), null where it has
            none.
        clusters: C.
        temperature: tau of the softmax; None for the standard deviation of the scores, so that their unit
            does not matter.

    Raises:
        ValueError: no prompt has a score, or as ``update_weights``.
    """
    if before is None:
        weights = np.full(clusters, 1 / clusters)
        history = [[float(weight)] for weight in weights]
    else:
        weights, history = before["weight"].to_numpy(), before["history"].to_pylist()
    known = ~np.isnan(scores)
    if not known.any():
        raise ValueError(f"none of the {len(scores)} prompts of the round has a score. Use another scorer.")
    labels, scores = labels[known], scores[known]
    tau = temperature or float(scores.std()) or 1.0  # equal scores: any will do
    members = np.bincount(labels, minlength=clusters)
    sums = np.bincount(labels, weights=scores, minlength=clusters)
    means = np.full(clusters, np.nan)
    np.divide(sums, members, out=means, where=members > 0)
    updated = update_weights(weights, means, temperature=tau, literal=literal)
    return pa.table(
        {
            "cluster": np.arange(clusters, dtype=np.int64),
            "members": members.astype(np.int64),
            "score": pa.array(means, mask=members == 0),
            "weight": updated,
            "history": [[*earlier, float(w)] for earlier, w in zip(history, updated, strict=True)],
        }
    )


@dataclass(frozen=True)
class Spread:
    """How widely weights are spread over C clusters.

    Attributes:
        entropy: -sum w log w, in nats.
        effective: exp(entropy), the number of clusters of equal weight that have this entropy.
        evenness: entropy / log C, in [0, 1]; 1 for equal weights, and for a single cluster.
    """

    entropy: float
    effective: float
    evenness: float


def spread_of(weights: np.ndarray) -> Spread:
    """The spread of (C,) weights that sum to 1."""
    positive = weights[weights > 0]
    entropy = float(-(positive * np.log(positive)).sum())
    evenness = entropy / math.log(len(weights)) if len(weights) > 1 else 1.0
    return Spread(entropy, math.exp(entropy), min(1.0, max(0.0, evenness)))
