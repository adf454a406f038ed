"""Selections beside random draws: what is said, of whom, and that known prompts count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.stages.vectors.against_random import by_strategy, compare_with_random, none_worse
from edsel_assets.store import embeddings_table
from edsel_assets_tests.defs.conftest import tiny_study

NONE = pa.table({"prompt_id": pa.array([], pa.string())})


def pool_of(points: np.ndarray) -> tuple[pa.Table, pa.Table]:
    ids = [f"p{i:03}" for i in range(len(points))]
    pool = pa.table({"prompt_id": ids, "task": [f"t{i % 20}" for i in range(len(points))]})
    return pool, embeddings_table(ids, points.astype(np.float32))


def selection(*replicates: list[int]) -> pa.Table:
    rows = [(number, f"p{i:03}") for number, picks in enumerate(replicates) for i in picks]
    return pa.table({"replicate": [r for r, _ in rows], "prompt_id": [p for _, p in rows]})


def test_who_covers_less_than_chance_is_named_and_who_looks_for_something_else_is_not() -> None:
    # 20 axes, each 10 times: 20 picks of one axis cover a twentieth, and a pick of each covers all.
    points = np.repeat(np.eye(20), 10, axis=0)
    pool, embeddings = pool_of(points)
    study, worst = tiny_study(), list(range(20))
    chosen = {
        "k_center": selection(worst),
        "min_margin": selection(worst),
        "kmq": selection(list(range(0, 200, 10)), list(range(5, 200, 10))),
    }
    table = compare_with_random(study, 20, pool, embeddings, NONE, chosen)
    k_center, margin, kmq = table.to_pylist()
    assert (k_center["coverage"], k_center["twins"], kmq["coverage"], kmq["twins"]) == (0.1, 1.0, 1.0, 0.0)
    said = "covers the pool less than random draws do; picks more twins than any random draw"
    assert (k_center["problem"], margin["problem"], kmq["problem"]) == (said, "", "")
    # A draw of 20 of 200 reaches 20 (1 - (1 - 1/20)^20) axes, nearly: without replacement a few more.
    assert k_center["random_coverage"] == pytest.approx(0.66, abs=0.03)
    assert kmq["words"].startswith("coverage 1.000, random 0.6")
    assert "(50 draws); 2 tasks, random 13." in kmq["words"]  # rows 0, 10, 20, ... are of two tasks
    finding = none_worse(table)
    assert finding.problem.startswith(f"k_center {said}: coverage 0.100, random 0.66")
    assert finding.figures == {"selections": 3, "worse": 1}
    assert none_worse(table.slice(1)).problem == ""


def test_those_that_aim_are_held_against_the_demand_of_their_target() -> None:
    points = np.random.default_rng(0).normal(size=(120, 6))
    points[:30, 0] += 4
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pool, embeddings = pool_of(points)
    weights = np.r_[np.full(30, 3.9), np.full(90, 1 / 30)]
    demand = {"support": pa.table({"prompt_id": pool["prompt_id"], "weight": weights})}
    study = tiny_study(
        targets={"support": {"tasks": "equal"}},
        selection={
            "strategies": ["random", "fl_rbf"],
            "target": "support",
            "variants": {"astray": {"strategy": "fl_rbf"}, "unaimed": {"strategy": "fl_rbf", "target": None}},
        },
    )
    inside, outside = list(range(6)), [i for i in range(30, 120) if points[i, 0] < -0.5][:6]
    chosen = {"fl_rbf": selection(inside), "astray": selection(outside), "unaimed": selection(outside)}
    table = compare_with_random(study, 6, pool, embeddings, NONE, chosen, demand=demand)
    aimed, astray, unaimed = table.to_pylist()
    for row, picks in ((aimed, inside), (astray, outside)):
        best = (points @ points[picks].T).max(axis=1)
        assert row["target_coverage"] == pytest.approx(np.average(best, weights=weights), abs=1e-5)
        assert row["coverage"] == pytest.approx(best.mean(), abs=1e-5)
    assert aimed["problem"] == ""
    assert astray["problem"] == "covers its target less than random draws do"
    assert "; of its target -0." in astray["words"]
    assert unaimed["target_coverage"] is None


def test_trials_of_rounds_are_replicates_of_their_strategy() -> None:
    keys = ("00006|kmq", "00006|iterative_kmq_perplexity.s0", "00006|iterative_kmq_perplexity.s1")
    found = by_strategy({key: selection([i]) for i, key in enumerate(keys)})
    assert list(found) == ["kmq", "iterative_kmq_perplexity"]
    rounds = found["iterative_kmq_perplexity"]
    assert (rounds["replicate"].to_pylist(), rounds["prompt_id"].to_pylist()) == ([0, 1], ["p001", "p002"])


def test_what_was_asked_before_covers_too_and_is_not_drawn() -> None:
    pool, embeddings = pool_of(np.repeat(np.eye(4), 5, axis=0))
    known = pa.table({"prompt_id": ["p000", "p005", "p010"]})
    (row,) = compare_with_random(
        tiny_study(), 1, pool, embeddings, known, {"k_center": selection([16])}
    ).to_pylist()
    assert (row["coverage"], row["problem"]) == (1.0, "")
    assert 0.75 <= row["random_coverage"] < 1.0  # three of four axes are covered by what is known
