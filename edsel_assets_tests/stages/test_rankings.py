"""Certificates of cuts: never above the truth that brute force finds."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from edsel_assets.selection import STRATEGIES
from edsel_assets.selection.strategies import Signals, StrategyOptions
from edsel_assets.stages.rankings import cut, prefix_guarantee, rank


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
