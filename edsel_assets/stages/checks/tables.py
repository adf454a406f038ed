"""Checks of tables and adapters; each returns a ``Finding``."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.stages.checks import Finding, named
from edsel_assets.stages.rankings import ranking_summaries
from edsel_assets.study import Study

#: A gain may exceed the one before it by so much of it, and of the largest: float32 sums over a large pool.
_RELATIVE, _OF_LARGEST = 1e-3, 1e-6


def unique_ids(pool: pa.Table) -> Finding:
    """``pool``: columns ``prompt_id`` and ``prompt``."""
    ids = pool["prompt_id"].to_pylist()
    wrong = [later for earlier, later in pairwise(ids) if earlier >= later]
    empty = sum(1 for prompt in pool["prompt"].to_pylist() if not prompt)
    figures: dict[str, int | float | str] = {"rows": len(ids), "empty": empty, "out_of_order": len(wrong)}
    if not wrong and not empty:
        return Finding(figures=figures)
    what = f"{len(wrong)} ids are repeated or out of order ({named(wrong)}), {empty} prompts are empty"
    return Finding(f"{what}. This is a fault of edsel's reading of the pool; report it.", figures)


def none_ordered_twice(orders: pa.Table) -> Finding:
    """``orders``: columns ``order`` and ``prompt_id``."""
    twice = [prompt for prompt, n in Counter(orders["prompt_id"].to_pylist()).items() if n > 1]
    if not twice:
        return Finding(figures={"prompts": orders.num_rows})
    return Finding(
        f"{len(twice)} prompts are in two orders: {named(twice)}. Withdraw one of the orders before you pay.",
        {"prompts": orders.num_rows, "twice": len(twice)},
    )


def finite(table: pa.Table) -> Finding:
    """No NaN or infinity in the columns of floats, nulls aside; ``stderr`` may be unknown."""
    columns = [f.name for f in table.schema if pa.types.is_floating(f.type) and f.name != "stderr"]
    bad = {name: int(pc.sum(pc.invert(pc.is_finite(table[name]))).as_py() or 0) for name in columns}
    wrong = {name: count for name, count in bad.items() if count}
    if not wrong:
        return Finding(figures={"values": table.num_rows * len(columns)})
    what = ", ".join(f"{count} of {table.num_rows} in {name}" for name, count in wrong.items())
    return Finding(
        f"Not a finite number: {what}. The model overflows: set model.dtype to float32 or bfloat16.",
        {"not_finite": sum(wrong.values())},
    )


def none_bought_before(picks: pa.Table, known: pa.Table) -> Finding:
    """``picks``: ``replicate``, ``prompt_id`` and perhaps ``budget``; ``known``: asked or answered before."""
    ids = picks["prompt_id"].to_pylist()
    before = set(known["prompt_id"].to_pylist())
    bought = {prompt for prompt in ids if prompt in before}
    budgets = picks["budget"].to_pylist() if "budget" in picks.column_names else [None] * len(ids)
    rows = Counter(zip(budgets, picks["replicate"].to_pylist(), ids, strict=True))
    twice = {prompt for (_, _, prompt), count in rows.items() if count > 1}
    figures: dict[str, int | float | str] = {"picks": len(ids), "known_before": len(before)}
    if not bought and not twice:
        return Finding(figures=figures)
    what = f"{len(bought)} picks were bought before ({named(bought)}), {len(twice)} are picked twice"
    return Finding(f"{what}. They would be paid for again; report this as a fault.", figures)


def gains_do_not_rise(rankings: pa.Table, *, for_money: bool = False) -> Finding:
    """Rankings with a certified bound are greedy ones: their gains fall, rounding aside.

    Where the picks are made ``for_money``, gains by price fall, and gains themselves need not.
    """
    if for_money:
        return Finding(figures={"greedy_rankings": 0, "note": "chosen for money: gains may rise"})
    bounded = {
        (summary["budget"], summary["replicate"])
        for summary in ranking_summaries(rankings)
        if summary["upper_bound"] is not None
    }
    largest = 0.0
    for budget, replicate in sorted(bounded, key=str):
        rows = pc.equal(rankings["replicate"], replicate)
        if budget is not None:
            rows = pc.and_(rows, pc.fill_null(pc.equal(rankings["budget"], budget), False))
        gains = rankings.filter(rows)["gain"].to_numpy()
        slack = _RELATIVE * np.abs(gains[:-1]) + _OF_LARGEST * np.abs(gains).max(initial=0.0)
        largest = max(largest, float((np.diff(gains) - slack).max(initial=0.0)))
    figures: dict[str, int | float | str] = {"greedy_rankings": len(bounded), "largest_rise": largest}
    if largest <= 0:
        return Finding(figures=figures)
    return Finding(f"A gain rises by {largest:g}, so the picks are not the greedy ones; report it.", figures)


def counts_exactly(study: Study, strategy: str) -> bool:
    """Whether a budget is that many prompts: not money, nor draws that may repeat a prompt."""
    return not (study.selection.by_price or study.selection.of(strategy).replacement)


def exact_budget(selection: pa.Table, budget: int, *, exact: bool = True) -> Finding:
    """``selection``: ``replicate, rank, prompt_id``, each replicate of ``budget`` prompts.

    Args:
        exact: as many prompts as the budget says; otherwise as many as there are, each once.
    """
    problems = []
    replicates = sorted(set(selection["replicate"].to_pylist()))
    for replicate in replicates:
        rows = selection.filter(pc.equal(selection["replicate"], replicate))
        different = len(set(rows["prompt_id"].to_pylist()))
        wanted = budget if exact else rows.num_rows
        if (rows.num_rows, different) != (wanted, wanted):
            problems.append(f"replicate {replicate} holds {rows.num_rows} rows of {different} prompts")
        elif sorted(rows["rank"].to_pylist()) != list(range(wanted)):
            problems.append(f"replicate {replicate} has a gap in its ranks")
    if not replicates:
        problems.append("nothing was selected")
    if problems and selection.num_rows < budget * max(1, len(replicates)):
        problems.append("if all others are asked for already, lower selection.budgets or add prompts")
    figures: dict[str, int | float | str] = {"budget": budget, "replicates": len(replicates)}
    return Finding(f"Not {budget} prompts: {'; '.join(problems)}." if problems else "", figures)


def adapter_loads(folder: Path) -> Finding:
    """Every weight in ``folder`` is read back."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    weights, bad = 0, []
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - it is no dict
                    weights += 1
                    if not bool(tensors.get_tensor(name).isfinite().all()):
                        bad.append(name)
        except SafetensorError as error:
            bad.append(f"{file.name} ({error})")
    if bad or not weights:
        what = f"not finite or unreadable: {named(bad)}" if bad else "no weights were written"
        return Finding(
            f"The adapter cannot be used: {what}. Lower finetuning.learning_rate, or see whether the disk is "
            "full.",
            {"weights": weights},
        )
    return Finding(figures={"weights": weights, "files": len(files)})
