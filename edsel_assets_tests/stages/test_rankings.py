"""Certificates of cuts: never above the truth that brute force finds."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from edsel_assets.selection import STRATEGIES, Clusters
from edsel_assets.selection.strategies import Signals, StrategyOptions
from edsel_assets.stages.rankings import cut, prefix_guarantee, rank
from edsel_assets.stages.training_sets import examples_of, training_set


@pytest.mark.parametrize("seed", range(5))
def test_the_guarantee_of_a_prefix_is_at_most_its_share_of_the_optimum(seed) -> None:
    rows = np.random.default_rng(seed).normal(size=(9, 3)).astype(np.float32)
    signals = Signals(prompt_ids=np.array([f"{i:032x}" for i in range(9)]), embeddings=rows)
    table = rank(STRATEGIES["fl_rbf"], signals, [5], StrategyOptions(gamma=0.5))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kernel = np.exp(-np.square(unit[:, None] - unit[None]).sum(axis=2) / 0.5)

    def objective(chosen: list[int]) -> float:
        return float(kernel[:, chosen].max(axis=1).sum())

    for budget in (1, 2, 3, 4, 5):
        picks = [int(p, 16) for p in cut(table, budget)["prompt_id"].to_pylist()]
        best = max(objective(list(chosen)) for chosen in combinations(range(9), budget))
        guarantee = prefix_guarantee(table, budget)
        assert guarantee is not None
        assert guarantee <= objective(picks) / best + 1e-6
        assert guarantee >= 1 - 1 / np.e - 1e-6


def test_a_ranking_without_an_objective_has_no_guarantee() -> None:
    signals = Signals(prompt_ids=np.array([f"{i:032x}" for i in range(9)]))
    table = rank(STRATEGIES["random"], signals, [5], StrategyOptions())
    assert prefix_guarantee(table, 3) is None


@pytest.mark.parametrize("name", ["random", "fl_rbf", "k_center"])
def test_a_ranking_ends_where_nothing_is_left_that_was_not_selected(name) -> None:
    ids = np.array([f"{i:032x}" for i in range(9)])
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    signals = Signals(prompt_ids=ids, embeddings=rows, selected=tuple(range(6)))
    table = rank(STRATEGIES[name], signals, [2, 5], StrategyOptions())
    assert sorted(cut(table, 5)["prompt_id"].to_pylist()) == sorted(ids[6:])
    assert cut(table, 2).num_rows == 2
    with pytest.raises(ValueError, match=r"All 9 prompts .* Add prompts to the pool\.$"):
        rank(STRATEGIES[name], replace(signals, selected=tuple(range(9))), [2], StrategyOptions())


def test_draws_with_replacement_are_trained_on_as_often_as_they_were_drawn() -> None:
    labels = np.repeat([0, 1], 6)
    clusters = Clusters(labels, np.zeros((2, 2), np.float32), np.zeros(12, np.float32), 0.0)
    ids = np.array([f"p{i:02d}" for i in range(12)])
    signals = Signals(prompt_ids=ids, clusters=clusters, quality=np.geomspace(1, 1000, 12))
    table = rank(STRATEGIES["kmq"], signals, [8], StrategyOptions(replacement=True), replicates=2)
    chosen = cut(table, 8)
    pool = pa.table({"prompt_id": ids, "prompt": ids, "response": ids})
    trained = training_set(chosen, pool, pool.slice(0, 0).select(["prompt_id", "response"]))
    for replicate in (0, 1):
        drawn = chosen.filter(pc.equal(chosen["replicate"], replicate))
        examples = examples_of(trained, "{prompt}", replicate)
        assert len(examples) == 8 > drawn.num_rows
        often = dict(zip(drawn["prompt_id"].to_pylist(), drawn["copies"].to_pylist(), strict=True))
        assert Counter(example.prompt for example in examples) == often
