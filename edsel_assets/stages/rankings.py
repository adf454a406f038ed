"""From signals to rankings, once per strategy, and from rankings to selections, once per budget."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.selection import Ranking
from edsel_assets.selection.strategy import Signals, Strategy, StrategyOptions

RANKINGS = pa.schema(
    [
        ("budget", pa.int64()),
        ("replicate", pa.int32()),
        ("rank", pa.int64()),
        ("prompt_id", pa.string()),
        ("gain", pa.float64()),
    ]
)
_SUMMARY = b"edsel.rankings"
#: Column of how often a prompt was drawn, where draws may repeat one.
COPIES = "copies"


def rank(
    strategy: Strategy,
    signals: Signals,
    budgets: Sequence[int],
    options: StrategyOptions,
    *,
    replicates: int = 1,
    begun: pa.Table | None = None,
) -> pa.Table:
    """Every ranking of one strategy that its selections are cut from.

    A nested strategy ranks once, to the largest budget (``budget`` is null); another one once
    per budget, as does every strategy whose budgets are money. A stochastic strategy does so per replicate,
    replicate r with ``seed + r``. A ranking ends where nothing is left that was not selected before.

    Args:
        begun: what a nested strategy gave for the same signals and options with a smaller largest budget.

    Returns:
        The schema ``RANKINGS``, rank counted from 0. ``ranking_summaries`` reads back each
        ranking's objective, upper bound and details.

    Raises:
        ValueError: every prompt was selected before.
    """
    free = len(signals.prompt_ids) - len(signals.selected)
    if not free:
        raise ValueError(
            f"All {len(signals.prompt_ids)} prompts of the pool are asked for or answered, so that none is "
            "left to choose. Add prompts to the pool."
        )
    nested = strategy.nested and signals.prices is None
    cuts: list[int | None] = [None] if nested else [*sorted(budgets)]
    pieces, summaries = [], []
    for replicate in range(replicates if strategy.stochastic else 1):
        for cut in cuts:
            budget = max(budgets) if cut is None else cut
            if signals.prices is None:
                budget = min(budget, free)
            start = None if begun is None else _begun(begun, replicate, signals.prompt_ids)
            own = replace(options, seed=options.seed + replicate, begun=start)
            ranking = strategy(signals, budget, own)
            pieces.append(ranking_table(ranking, signals.prompt_ids, cut, replicate))
            summaries.append(_summary(ranking, cut, replicate))
    table = pa.concat_tables(pieces)
    return table.replace_schema_metadata({_SUMMARY: json.dumps(summaries, sort_keys=True)})


def _begun(table: pa.Table, replicate: int, prompt_ids: np.ndarray) -> Ranking:
    """One stored ranking of a nested strategy, over the rows of ``prompt_ids``."""
    mine = table.filter(pc.equal(table["replicate"], replicate)).sort_by("rank")
    rows = pc.index_in(mine["prompt_id"], value_set=pa.array(prompt_ids.astype(str)))
    (summary,) = [s for s in ranking_summaries(table) if s["replicate"] == replicate]
    indices = rows.to_numpy().astype(np.int64)
    return Ranking(indices, mine["gain"].to_numpy(), summary["objective"], None, summary["details"])


def cuts(rankings: pa.Table, budgets: Sequence[int]) -> dict[str, pa.Table]:
    """The selection at each budget, by the name under which a ranking's ledger has its hash."""
    return {cut_name(budget): cut(rankings, budget) for budget in budgets}


def cut_name(budget: int) -> str:
    return f"cut at {budget}"


def ranking_table(ranking: Ranking, prompt_ids: np.ndarray, budget: int | None, replicate: int) -> pa.Table:
    """One ranking in the schema ``RANKINGS``; of draws with replacement with how often each was drawn."""
    rows = len(ranking)
    table = pa.table(
        [
            pa.array([budget] * rows, pa.int64()),
            pa.array(np.full(rows, replicate, dtype=np.int32)),
            pa.array(np.arange(rows, dtype=np.int64)),
            pa.array([str(p) for p in prompt_ids[ranking.indices]], pa.string()),
            pa.array(ranking.gains.astype(np.float64)),
        ],
        schema=RANKINGS,
    )
    copies = ranking.details.get(COPIES)
    return table if copies is None else table.append_column(COPIES, pa.array(copies, pa.int64()))


def ranking_summaries(table: pa.Table) -> list[dict[str, Any]]:
    """Per ranking: budget, replicate, objective, upper_bound, guarantee, details."""
    return json.loads((table.schema.metadata or {}).get(_SUMMARY, b"[]"))


def _summary(ranking: Ranking, budget: int | None, replicate: int) -> dict[str, Any]:
    return {
        "budget": budget,
        "replicate": replicate,
        "objective": ranking.objective,
        "upper_bound": ranking.upper_bound,
        "guarantee": ranking.guarantee,
        "details": ranking.details,
    }


def cut(rankings: pa.Table, budget: int) -> pa.Table:
    """The selection at ``budget``: ``replicate, rank, prompt_id, gain``, of every replicate."""
    nested = rankings["budget"].null_count == rankings.num_rows
    if nested:
        rows = pc.less(rankings["rank"], budget)
    else:
        rows = pc.fill_null(pc.equal(rankings["budget"], budget), False)
    return rankings.filter(rows).drop_columns(["budget"]).replace_schema_metadata(None)


def prefix_guarantee(rankings: pa.Table, budget: int) -> float | None:
    """Certified fraction of the best objective at ``budget``, from a submodular ranking's gains.

    For greedy gains g of a monotone submodular F, any S of b prompts has
    F(S) <= F(S_t) + b g_{t+1} for every t, and F(S) <= F(S_b) / (1 - 1/e) (Nemhauser et al.
    1978). The stored bound is used where the budget is the whole ranking's.
    None for strategies without such an objective. For a budget of money it is the ranking's own.
    """
    for money in (s for s in ranking_summaries(rankings) if "spent" in s["details"]):
        if money["budget"] == budget and money["replicate"] == 0:
            return money["guarantee"]
    summaries = [s for s in ranking_summaries(rankings) if s["budget"] is None]
    if not summaries or summaries[0]["upper_bound"] is None or summaries[0]["details"].get("engine") is None:
        return None
    summary = summaries[0]
    gains = rankings.filter(pc.equal(rankings["replicate"], 0))["gain"].to_numpy()
    if budget >= len(gains):
        return summary["guarantee"]
    start = summary["objective"] - math.fsum(gains)
    values = start + np.concatenate([[0.0], np.cumsum(gains)])  # F(S_0) ... F(S_k)
    bounds = values[:-1] + budget * gains
    reached = values[budget]
    limit = min(float(bounds.min()), start + (reached - start) / (1 - 1 / math.e))
    return float(min(1.0, reached / limit)) if limit > 0 else None
