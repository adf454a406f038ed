"""Weighted demand: greedy, its certificate and its conditioning as without weights."""

import itertools

import numpy as np
import pytest

from edsel_assets.selection import facility_location, qdit
from edsel_assets.selection.facility import sparse
from edsel_assets_tests.selection.facility.test_greedy import UNIT_NOISE, pool, weights

KERNELS = [("rbf", 0.1), ("rbf", 2.0), ("cosine", 1.0)]
EXACT = ("dense", "sparse", "blocked")


def heavy_tailed(size: int, seed: int = 0) -> np.ndarray:
    """Weights of mean 1 with a long tail, a tenth of them 0."""
    rng = np.random.default_rng(seed)
    demand = rng.lognormal(sigma=1.5, size=size)
    demand[rng.random(size) < 0.1] = 0
    return demand / demand.mean()


@pytest.mark.parametrize(("kernel", "gamma"), KERNELS)
@pytest.mark.parametrize("engine", EXACT)
def test_every_pick_has_the_best_weighted_gain(engine: str, kernel: str, gamma: float) -> None:
    points, demand = pool(150), heavy_tailed(150)
    w = weights(points, kernel, gamma)
    ranking = facility_location(
        points, 40, kernel=kernel, gamma=gamma, engine=engine, demand=demand, selected=[5, 9]
    )
    covered, noise = w[:, [5, 9]].max(axis=1), 150 * (UNIT_NOISE + 2.0**-12)
    for pick, gain in zip(ranking.indices, ranking.gains, strict=True):
        gains = demand @ np.maximum(w - covered[:, None], 0)
        assert gain == pytest.approx(gains[pick], abs=noise)
        assert gains[pick] >= gains.max() - noise
        covered = np.maximum(covered, w[:, pick])
    assert ranking.objective == pytest.approx(demand @ covered, abs=noise)


@pytest.mark.parametrize("engine", EXACT)
def test_the_certificate_holds_against_every_choice(engine: str) -> None:
    for seed in range(6):
        points, demand = pool(14, dim=3, seed=seed), heavy_tailed(14, seed)
        w = weights(points, "rbf", 0.5)
        ranking = facility_location(points, 4, gamma=0.5, engine=engine, demand=demand)
        best = max(demand @ w[:, list(chosen)].max(axis=1) for chosen in itertools.combinations(range(14), 4))
        assert ranking.objective <= best * (1 + 1e-3)
        assert ranking.objective >= (1 - 1 / np.e) * best
        assert ranking.upper_bound >= best * (1 - 1e-3)  # weights are rounded to 2^-12


@pytest.mark.parametrize(("kernel", "gamma"), KERNELS)
@pytest.mark.parametrize("engine", EXACT)
def test_equal_weights_are_no_weights_to_the_bit(engine: str, kernel: str, gamma: float) -> None:
    points, utility = pool(120), np.linspace(0, 1, 120)
    shared = {"kernel": kernel, "gamma": gamma, "engine": engine, "utility": utility}
    plain = facility_location(points, 30, **shared)
    equal = facility_location(points, 30, **shared, demand=np.full(120, 3.0))
    assert equal.indices.tobytes() == plain.indices.tobytes()
    assert equal.gains.tobytes() == plain.gains.tobytes()
    assert (equal.objective, equal.upper_bound) == (plain.objective, plain.upper_bound)


def test_a_whole_weight_is_so_many_copies_of_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    points = pool(60, dim=5)
    copies = np.random.default_rng(1).integers(1, 4, 60)
    repeated = facility_location(np.repeat(points, copies, axis=0), 12, gamma=0.5)
    for pairs in (sparse.ALWAYS_PAIRS, 0):  # over pairs alone, and with a head of products
        monkeypatch.setattr(sparse, "ALWAYS_PAIRS", pairs)
        weighted = facility_location(points, 12, gamma=0.5, demand=copies.astype(float))
        originals = np.repeat(np.arange(60), copies)[repeated.indices]
        assert weighted.indices.tolist() == originals.tolist()
        scale = copies.mean()  # demand is scaled to mean 1
        np.testing.assert_allclose(weighted.gains * scale, repeated.gains, rtol=1e-3)


def test_engines_and_a_known_start_agree() -> None:
    points, demand = pool(300, dim=8, seed=2), heavy_tailed(300, 2)
    shared = {"kernel": "cosine", "demand": demand, "utility": np.linspace(0, 1, 300)}
    whole = {name: facility_location(points, 90, engine=name, **shared) for name in EXACT}
    for ranking in whole.values():
        assert ranking.objective == pytest.approx(whole["dense"].objective, rel=1e-5)
    begun = facility_location(points, 30, engine="sparse", **shared)
    further = facility_location(points, 90, engine="sparse", begun=begun, **shared)
    assert further.indices.tobytes() == whole["sparse"].indices.tobytes()
    assert further.gains.tobytes() == whole["sparse"].gains.tobytes()


def test_with_prices_the_weighted_objective_is_spent_on() -> None:
    points, demand = pool(12, dim=3), heavy_tailed(12)
    prices = np.random.default_rng(3).uniform(1, 3, 12)
    w = weights(points, "rbf", 0.5)
    chosen = facility_location(points, 7.0, gamma=0.5, demand=demand, prices=prices)
    sets = (s for size in range(1, 8) for s in itertools.combinations(range(12), size))
    best = max(demand @ w[:, list(s)].max(axis=1) for s in sets if prices[list(s)].sum() <= 7.0)
    assert (1 - 1 / np.e) / 2 * best <= chosen.objective <= best * (1 + 1e-3)
    assert chosen.upper_bound >= best * (1 - 1e-3)


def test_qdit_weights_its_coverage_and_not_its_quality() -> None:
    points, demand = pool(80, dim=4), heavy_tailed(80)
    quality = np.random.default_rng(4).uniform(0, 2, 80)
    w = weights(points, "cosine", 1.0)
    ranking = qdit(points, quality, 15, alpha=0.6, demand=demand)
    covered = np.zeros(80)
    for pick, gain in zip(ranking.indices, ranking.gains, strict=True):
        gains = 0.4 * (demand @ np.maximum(w - covered[:, None], 0)) + 0.6 * quality
        gains[ranking.indices[: list(ranking.indices).index(pick)]] = -1
        assert gain == pytest.approx(gains[pick], abs=0.05)
        assert gains[pick] >= gains.max() - 0.05
        covered = np.maximum(covered, w[:, pick])


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        (np.ones(9), "demand"),
        (-np.ones(10), "at least 0"),
        (np.zeros(10), "over 0"),
        (np.array([np.nan] * 10), "demand"),
    ],
)
def test_bad_weights_are_refused(demand: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        facility_location(pool(10), 3, gamma=0.5, demand=demand)
    with pytest.raises(ValueError, match="neither a utility nor a demand"):
        facility_location(pool(10), 3, gamma=0.5, demand=np.arange(10.0), engine="apricot")
