"""Each selection beside random draws of equal size, so that a choice worse than chance is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.keys import key_parts
from edsel_assets.selection.geometry.chance import DRAWS, Standing, random_draws, standings
from edsel_assets.selection.strategy import CLUSTERS, EMBEDDINGS
from edsel_assets.stages.checks import Finding
from edsel_assets.stages.inputs import annotated_rows, column, embedding_matrix, rows_of
from edsel_assets.study import Study

#: Coverage is called below random's from so many standard deviations of the draws under their mean.
_DEVIATIONS = 2.0

COMPARED = pa.schema(
    [
        ("strategy", pa.string()),
        ("picks", pa.int64()),
        ("coverage", pa.float64()),
        ("random_coverage", pa.float64()),
        ("random_coverage_sd", pa.float64()),
        ("tasks", pa.float64()),
        ("random_tasks", pa.float64()),
        ("random_tasks_sd", pa.float64()),
        ("target_coverage", pa.float64()),
        ("random_target_coverage", pa.float64()),
        ("random_target_coverage_sd", pa.float64()),
        ("twins", pa.float64()),
        ("random_twins_most", pa.float64()),
        ("words", pa.string()),
        ("problem", pa.string()),
    ]
)


class _Sets(NamedTuple):
    """Figures of several sets of picks, a value for each set."""

    coverage: np.ndarray
    twins: np.ndarray
    tasks: np.ndarray


def compare_with_random(
    study: Study,
    budget: int,
    pool: pa.Table,
    embeddings: pa.Table,
    known: pa.Table,
    selections: Mapping[str, pa.Table],
    prices: np.ndarray | None = None,
    demand: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    """``COMPARED``, a row for each strategy, of the mean over its replicates.

    Coverage is the mean cosine of a prompt of the pool to the nearest pick, or prompt known before.
    ``twins`` is the share of picks with another pick at a cosine above 0.99. There are 50 draws, keyed by
    ``prompt_id``; they leave out what is known, as strategies do. ``problem`` says of a strategy that spreads
    its picks what is worse than by chance: coverage under the draws' mean by more than 2 standard deviations,
    or a larger share of twins than any draw has. It is empty for others, which look for something else.
    Of those that aim, coverage counts each prompt by the target's demand in ``target_coverage``, and a
    problem is that it lies under random's.

    Args:
        pool: ``prompt_id`` and ``task``.
        known: ``prompt_id``, asked for or answered before.
        selections: by strategy, ``replicate`` and ``prompt_id``.
        prices: (N,) where the budget is money; draws then spend as much.
        demand: ``prompt_id, weight`` of the pool by target.
    """
    ids = pool["prompt_id"]
    keys, before = ids.to_numpy().astype(str), annotated_rows(known, ids)
    picked = {name: _replicates(table, ids) for name, table in selections.items() if table.num_rows}
    sizes = {name: budget if prices is not None else len(sets[0]) for name, sets in picked.items()}
    drawn = {
        size: random_draws(keys, size, known=before, prices=prices, seed=study.selection.seed)
        for size in sorted(set(sizes.values()))
    }
    every = [*drawn.values(), *picked.values()]
    matrix = embedding_matrix(embeddings, ids)
    found = standings(
        matrix,
        [rows for sets in every for rows in sets],
        known=before,
        keys=keys,
        seed=study.selection.seed,
        device=study.model.device,
    )
    labels = pool["task"].fill_null("").to_numpy()
    parts, start = [], 0
    for sets in every:
        parts.append(_figures(found[start : start + len(sets)], sets, labels))
        start += len(sets)
    chance = dict(zip(drawn, parts, strict=False))
    rows = [
        _row(study, name, len(picked[name][0]), own, chance[sizes[name]])
        for name, own in zip(picked, parts[len(drawn) :], strict=True)
    ]
    for row in rows:
        target = study.target_of(row["strategy"])
        if demand is not None and target is not None and target in demand:
            weights = column(demand[target], "weight", ids, "demand")
            name = row["strategy"]
            row |= _aimed(study, matrix, before, keys, weights, picked[name], drawn[sizes[name]])
            row |= {"words": in_words(row), "problem": "; ".join(_worse_aimed(row))}
    return pa.Table.from_pylist(rows, schema=COMPARED)


def by_strategy(selections: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Selections of one budget by strategy; trials of one that chooses in rounds are its replicates.

    Args:
        selections: by ``BUDGET|STRATEGY``, or ``BUDGET|STRATEGY.sSEED``.
    """
    found: dict[str, list[pa.Table]] = {}
    for key, table in selections.items():
        strategy, _, seed = key_parts(key)[1].rpartition(".s")
        one = table.select(["replicate", "prompt_id"])
        if strategy:
            seeds = pa.array([int(seed)] * table.num_rows, pa.int32())
            one = one.set_column(0, "replicate", seeds)
        found.setdefault(strategy or seed, []).append(one)
    return {strategy: pa.concat_tables(tables) for strategy, tables in found.items()}


def none_worse(table: pa.Table) -> Finding:
    """A problem where a strategy that means to cover is worse than random; ``table``: ``COMPARED``."""
    worse = [row for row in table.to_pylist() if row["problem"]]
    figures: dict[str, int | float | str] = {"selections": table.num_rows, "worse": len(worse)}
    if not worse:
        return Finding(figures=figures)
    said = ". ".join(f"{row['strategy']} {row['problem']}: {row['words']}" for row in worse)
    return Finding(f"{said}. See embedding_geometry; try another width, or another strategy.", figures)


def _replicates(table: pa.Table, ids: pa.ChunkedArray) -> list[np.ndarray]:
    """Rows of the pool of each replicate's picks, each once."""
    numbers = sorted(set(table["replicate"].to_pylist()))
    chosen = [
        table.filter(pc.equal(table["replicate"], number))["prompt_id"].to_pylist() for number in numbers
    ]
    return [np.unique(rows_of(picks, ids)) for picks in chosen]


def _figures(found: list[Standing], sets: list[np.ndarray], labels: np.ndarray) -> _Sets:
    tasks = [len(set(labels[rows].tolist()) - {""}) for rows in sets]
    return _Sets(
        np.array([one.coverage for one in found]), np.array([one.twins for one in found]), np.array(tasks)
    )


def _row(study: Study, strategy: str, picks: int, own: _Sets, chance: _Sets) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": strategy,
        "picks": picks,
        "coverage": float(own.coverage.mean()),
        "random_coverage": float(chance.coverage.mean()),
        "random_coverage_sd": float(chance.coverage.std(ddof=1)),
        "tasks": float(own.tasks.mean()),
        "random_tasks": float(chance.tasks.mean()),
        "random_tasks_sd": float(chance.tasks.std(ddof=1)),
        "twins": float(own.twins.mean()),
        "random_twins_most": float(chance.twins.max()),
    }
    worse = _worse(row) if spreads(study, strategy) else []
    return {**row, "words": in_words(row), "problem": "; ".join(worse)}


def _aimed(
    study: Study,
    matrix: np.ndarray,
    known: np.ndarray,
    keys: np.ndarray,
    weights: np.ndarray,
    picked: list[np.ndarray],
    drawn: list[np.ndarray],
) -> dict[str, float]:
    """Coverage of the target's demand by picks and by draws."""
    seed, device = study.selection.seed, study.model.device
    found = standings(
        matrix, [*picked, *drawn], known=known, keys=keys, weights=weights, seed=seed, device=device
    )
    coverage = np.array([one.coverage for one in found])
    own, chance = coverage[: len(picked)], coverage[len(picked) :]
    return {
        "target_coverage": float(own.mean()),
        "random_target_coverage": float(chance.mean()),
        "random_target_coverage_sd": float(chance.std(ddof=1)),
    }


def _worse_aimed(row: Mapping[str, Any]) -> list[str]:
    least = row["random_target_coverage"] - _DEVIATIONS * row["random_target_coverage_sd"]
    return ["covers its target less than random draws do"] if row["target_coverage"] < least else []


def spreads(study: Study, strategy: str) -> bool:
    """Whether a strategy means to cover the pool: those that read where prompts lie, and aim at nobody."""
    reads = study.strategy(strategy).needs
    return study.target_of(strategy) is None and not {EMBEDDINGS, CLUSTERS}.isdisjoint(reads)


def _worse(row: Mapping[str, Any]) -> list[str]:
    found = []
    if row["coverage"] < row["random_coverage"] - _DEVIATIONS * row["random_coverage_sd"]:
        found.append("covers the pool less than random draws do")
    if row["twins"] > row["random_twins_most"]:
        found.append("picks more twins than any random draw")
    return found


def in_words(row: Mapping[str, Any]) -> str:
    """One line: ``coverage 0.414, random 0.417 ± 0.007 (50 draws); 18 tasks, random 30.1 ± 2.8; ...``."""
    parts = [
        f"coverage {row['coverage']:.3f}, random {row['random_coverage']:.3f} ± "
        f"{row['random_coverage_sd']:.3f} ({DRAWS} draws)"
    ]
    if row.get("target_coverage") is not None:
        parts.append(
            f"of its target {row['target_coverage']:.3f}, random {row['random_target_coverage']:.3f} ± "
            f"{row['random_target_coverage_sd']:.3f}"
        )
    if row["tasks"]:
        parts.append(
            f"{row['tasks']:.3g} tasks, random {row['random_tasks']:.1f} ± {row['random_tasks_sd']:.1f}"
        )
    if row["twins"] or row["random_twins_most"]:
        parts.append(
            f"{row['twins']:.1%} of picks have a twin, random at most {row['random_twins_most']:.1%}"
        )
    return "; ".join(parts)
