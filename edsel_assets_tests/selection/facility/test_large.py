"""The engines for large pools, against the exact ones and against every choice."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from edsel_assets.selection import facility_location
from edsel_assets.selection.facility.engines import large_engine
from edsel_assets_tests.selection.facility.test_greedy import pool, weights

LARGE = ("sampled", "partitioned")
CPU = torch.device("cpu")


def clustered(size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(30, 12))
    shares = 1 / np.arange(1, 31)
    chosen = rng.choice(30, size, p=shares / shares.sum())
    return (centres[chosen] + 0.4 * rng.normal(size=(size, 12))).astype(np.float32)


@pytest.mark.parametrize("kernel", ["rbf", "cosine"])
@pytest.mark.parametrize("engine", LARGE)
def test_nearly_as_good_as_exact_and_the_estimate_and_the_bound_hold(engine: str, kernel: str) -> None:
    points = clustered(2000)
    exact = facility_location(points, 40, kernel=kernel)
    large = facility_location(points, 40, kernel=kernel, engine=engine, sample=700)
    reached = facility_location(points, 0, kernel=kernel, selected=large.indices).objective
    assert exact.objective is not None
    assert reached is not None
    assert large.objective is not None
    assert large.upper_bound is not None
    assert reached >= 0.95 * exact.objective
    assert abs(large.objective - reached) <= 4 * large.details["objective_error"]  # type: ignore[operator]
    assert large.upper_bound >= exact.objective
    assert large.details["certified"] * large.upper_bound <= reached  # type: ignore[operator]
    assert len(set(large.indices.tolist())) == 40
    assert (np.diff(large.gains) <= 1e-9).all()


@pytest.mark.parametrize("engine", LARGE)
def test_the_bound_is_over_the_best_of_all_choices(engine: str) -> None:
    for seed in range(5):
        points = pool(14, dim=3, seed=seed)
        demand = np.random.default_rng(seed).lognormal(size=14)
        utility = np.random.default_rng(seed).random(14)
        w = weights(points, "rbf", 0.5)
        ranking = facility_location(
            points, 3, gamma=0.5, engine=engine, sample=4000, demand=demand, utility=utility, seed=seed,
            utility_weight=2.0,
        )  # fmt: skip
        parts = demand / demand.mean()
        best = max(
            parts @ w[:, list(chosen)].max(axis=1) + 2 * np.log1p(utility[list(chosen)].sum())
            for chosen in itertools.combinations(range(14), 3)
        )
        chosen = ranking.indices
        mine = parts @ w[:, chosen].max(axis=1) + 2 * np.log1p(utility[chosen].sum())
        assert ranking.upper_bound is not None
        assert ranking.upper_bound >= best * (1 - 1e-3)
        assert mine >= 0.95 * best  # all prompts are candidates here, and the sample is nearly all demand
        assert ranking.objective == pytest.approx(mine, rel=0.05)


@pytest.mark.parametrize("engine", LARGE)
def test_what_was_chosen_before_counts_and_is_not_chosen_again(engine: str) -> None:
    points = clustered(600)
    asked = facility_location(points, 30).indices
    more = facility_location(points, 30, engine=engine, sample=300, selected=asked)
    assert not set(asked.tolist()) & set(more.indices.tolist())
    alone = facility_location(points, 30, engine=engine, sample=300)
    together = facility_location(points, 0, selected=np.concatenate([asked, more.indices])).objective
    apart = facility_location(points, 0, selected=np.union1d(asked, alone.indices)).objective
    assert together is not None
    assert apart is not None
    assert together > apart


@pytest.mark.parametrize("engine", LARGE)
def test_demand_draws_the_picks_to_it(engine: str) -> None:
    points = clustered(1500)
    wanted = np.zeros(1500)
    wanted[np.argsort(points @ points[0])[-150:]] = 1
    ranking = facility_location(points, 10, engine=engine, sample=400, demand=wanted)
    exact = facility_location(points, 10, demand=wanted)
    reached = facility_location(points, 0, demand=wanted, selected=ranking.indices).objective
    assert exact.objective is not None
    assert reached is not None
    assert reached >= 0.93 * exact.objective


@pytest.mark.parametrize("engine", LARGE)
def test_neither_row_order_nor_the_file_it_lies_in_matters(engine: str, tmp_path: Path) -> None:
    points = clustered(500)
    names = np.array([f"p{row:04d}" for row in range(500)])
    plain = facility_location(points, 25, engine=engine, sample=200, tie_break=names, seed=3)
    again = facility_location(points, 25, engine=engine, sample=200, tie_break=names, seed=3)
    assert again.indices.tobytes() == plain.indices.tobytes()
    other = facility_location(points, 25, engine=engine, sample=200, tie_break=names, seed=4)
    assert other.indices.tobytes() != plain.indices.tobytes()
    turn = np.random.default_rng(0).permutation(500)
    np.save(tmp_path / "pool.npy", points[turn])
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    turned = facility_location(mapped, 25, engine=engine, sample=200, tie_break=names[turn], seed=3)
    assert names[turn][turned.indices].tolist() == names[plain.indices].tolist()


def test_auto_goes_by_operations_and_by_picks() -> None:
    assert large_engine("auto", 54_000, 384, 20_000, 50_000, CPU) == "auto"
    assert large_engine("auto", 1_000_000, 384, 1_000, 50_000, CPU) == "sampled"
    assert large_engine("auto", 1_000_000, 384, 10_000, 50_000, CPU) == "partitioned"
    assert large_engine("auto", 1_000_000, 384, 10_000, 50_000, torch.device("cuda")) == "auto"
    assert large_engine("blocked", 1_000_000, 384, 10_000, 50_000, CPU) == "blocked"


@pytest.mark.parametrize("engine", LARGE)
@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"sample": 0}, "sample"),
        ({"stochastic": 0.1, "seed": 0}, "auto"),
        ({"prices": np.ones(50)}, "prices"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_does_not_fit_is_refused(engine: str, changed: dict, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        facility_location(clustered(50), 5, engine=engine, **changed)


def test_a_budget_of_nothing_or_of_all(tmp_path: Path) -> None:
    points = clustered(60)
    for engine in LARGE:
        assert len(facility_location(points, 0, engine=engine, sample=20)) == 0
        everything = facility_location(points, 60, engine=engine, sample=20)
        assert sorted(everything.indices.tolist()) == list(range(60))
