"""Facility location is exact greedy on every engine, and its certificate holds."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edsel_assets.selection import facility_location
from edsel_assets.selection.facility import sparse
from edsel_assets_tests.selection.pools import t0_embeddings

UNIT_NOISE = 3e-6  # what rounding a weight to 2^-20 and float32 products can move it by, and a little
ENGINES = ("dense", "sparse", "blocked", "apricot")


def pool(rows: int, dim: int = 6, seed: int = 0, clusters: int = 4) -> np.ndarray:
    """Clustered points, so that gains overlap at every scale."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    return (centres[rng.integers(0, clusters, rows)] + 0.3 * rng.normal(size=(rows, dim))).astype(np.float32)


def weights(points: np.ndarray, kernel: str, gamma: float, normalise: bool = True) -> np.ndarray:
    """(N, N) float64 w_ij by the definition, not by products."""
    x = points.astype(np.float64)
    if normalise or kernel == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    if kernel == "cosine":
        return np.clip(x @ x.T, 0, 1)
    return np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / gamma)


def value(w: np.ndarray, chosen: list[int], utility: np.ndarray | None = None, weight: float = 1.0) -> float:
    coverage = w[:, chosen].max(axis=1).sum() if len(chosen) else 0.0
    return coverage + (0.0 if utility is None else weight * math.log1p(utility[chosen].sum()))


def naive_gains(w: np.ndarray, picks: np.ndarray, selected: tuple[int, ...] = ()) -> tuple[list, list]:
    """The gain of each pick, and the best gain there was, by recomputing everything."""
    chosen, taken, best = list(selected), [], []
    for pick in picks:
        m = w[:, chosen].max(axis=1) if chosen else np.zeros(len(w))
        gains = np.maximum(w - m[:, None], 0).sum(axis=0)
        gains[chosen] = -1
        taken.append(gains[pick])
        best.append(gains.max())
        chosen.append(int(pick))
    return taken, best


KERNELS = [("rbf", 0.1), ("rbf", 0.002), ("rbf", 2.0), ("cosine", 1.0)]


@pytest.mark.parametrize(("kernel", "gamma"), KERNELS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_is_greedy_by_the_definition(engine: str, kernel: str, gamma: float) -> None:
    points = pool(150)
    w = weights(points, kernel, gamma)
    ranking = facility_location(points, 40, kernel=kernel, gamma=gamma, engine=engine)
    taken, best = naive_gains(w, ranking.indices)
    noise = len(points) * UNIT_NOISE
    np.testing.assert_allclose(taken, best, atol=noise)  # each pick was the best there was
    np.testing.assert_allclose(ranking.gains, taken, atol=noise)
    assert ranking.objective == pytest.approx(value(w, ranking.indices.tolist()), abs=noise)
    assert ranking.details["engine"] == engine


@pytest.mark.parametrize(("kernel", "gamma"), KERNELS)
def test_engines_choose_alike(kernel: str, gamma: float) -> None:
    points = pool(200, seed=3)
    rankings = [facility_location(points, 80, kernel=kernel, gamma=gamma, engine=name) for name in ENGINES]
    for other in rankings[1:]:
        np.testing.assert_allclose(other.gains, rankings[0].gains, atol=len(points) * UNIT_NOISE)
        assert other.objective == pytest.approx(rankings[0].objective, rel=1e-6)
        same = other.indices == rankings[0].indices
        # Where a tie within rounding goes the other way, the order differs but hardly the choice.
        assert same.mean() > 0.9 or len(set(other.indices) & set(rankings[0].indices)) > 76


@pytest.mark.parametrize(("kernel", "gamma"), [("cosine", 1.0), ("rbf", 2.0)])
def test_a_head_of_products_and_pairs_after_it_lose_nothing(
    kernel: str, gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = pool(400, dim=12, clusters=9)
    plain = facility_location(points, 150, kernel=kernel, gamma=gamma, engine="dense")
    monkeypatch.setattr(sparse, "ALWAYS_PAIRS", 0)
    utility = np.linspace(0, 1, 400)
    mixed = facility_location(points, 150, kernel=kernel, gamma=gamma, engine="sparse")
    assert 0 < mixed.details["picks_by_products"] < 150
    assert mixed.details["pairs"] < 400 * 399 / 2 / 4
    np.testing.assert_allclose(mixed.gains, plain.gains, atol=400 * UNIT_NOISE)
    assert mixed.objective == pytest.approx(plain.objective, rel=1e-6)
    assert mixed.objective < mixed.upper_bound < plain.upper_bound  # the dual bound is the tighter one
    both = [
        facility_location(
            points, 90, kernel=kernel, gamma=gamma, engine=name, utility=utility, selected=[7, 3]
        )
        for name in ("sparse", "dense")
    ]
    np.testing.assert_allclose(both[0].gains, both[1].gains, atol=400 * UNIT_NOISE)


@pytest.mark.parametrize("known", [0, 1, 3, 40, 149, 150])
@pytest.mark.parametrize(("kernel", "gamma"), [("cosine", 1.0), ("rbf", 2.0)])
def test_a_head_that_is_known_is_repeated_to_the_bit(
    kernel: str, gamma: float, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, ids = pool(400, dim=12, clusters=9), np.random.default_rng(3).permutation(400)
    monkeypatch.setattr(sparse, "ALWAYS_PAIRS", 0)
    products = []
    real = sparse.start_state
    monkeypatch.setattr(sparse, "start_state", lambda *a: products.append(1) or real(*a))
    for utility in (None, np.linspace(0, 1, 400)):
        arguments = {"kernel": kernel, "gamma": gamma, "engine": "sparse", "utility": utility}
        shared = {**arguments, "selected": [7, 3], "tie_break": ids}
        anew = facility_location(points, 150, **shared)
        head = anew.details["picks_by_products"]
        assert 1 < head < 40
        begun = facility_location(points, known, **shared)
        products.clear()
        grown = facility_location(points, 150, begun=begun, **shared)
        assert grown.indices.tolist() == anew.indices.tolist()
        assert grown.gains.tolist() == anew.gains.tolist()
        assert (grown.objective, grown.details) == (anew.objective, anew.details)
        assert grown.upper_bound >= anew.objective
        assert len(products) == (known < head), "a product over all pairs only for an unknown head"
    with pytest.raises(ValueError, match=r"begun must be of a smaller budget; it has 150 picks"):
        facility_location(points, 20, begun=anew, **shared)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(4, 11),
    budget=st.integers(0, 4),
    kernel=st.sampled_from(KERNELS),
    weight=st.sampled_from([0.0, 0.5, 3.0]),
    kept=st.integers(0, 2),
    engine=st.sampled_from(["dense", "sparse", "blocked"]),
)
def test_brute_force_confirms_bound_certificate_and_utility(
    seed: int, rows: int, budget: int, kernel: tuple[str, float], weight: float, kept: int, engine: str
) -> None:
    points = pool(rows, dim=3, seed=seed, clusters=2)
    utility = np.random.default_rng(seed).random(rows)
    selected = list(range(kept))
    budget = min(budget, rows - kept)
    name, gamma = kernel
    w = weights(points, name, gamma)
    free = [row for row in range(rows) if row not in selected]
    best = max(value(w, [*selected, *s], utility, weight) for s in itertools.combinations(free, budget))
    before = value(w, selected, utility, weight)
    ranking = facility_location(
        points, budget, kernel=name, gamma=gamma, utility=utility, utility_weight=weight,
        selected=selected, engine=engine,
    )  # fmt: skip
    reached = value(w, [*selected, *ranking.indices], utility, weight)
    noise = rows * UNIT_NOISE
    assert ranking.objective == pytest.approx(reached, abs=noise)  # Eqs. 3 and 4
    assert ranking.upper_bound >= best - 1e-9  # the certificate holds, without any allowance for rounding
    assert reached - before >= (1 - 1 / math.e) * (best - before) - noise
    assert ranking.gains.sum() == pytest.approx(reached - before, abs=noise)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kernel=st.sampled_from(KERNELS),
    engine=st.sampled_from(["dense", "sparse", "blocked"]),
    weighted=st.booleans(),
    copies=st.booleans(),
)
def test_the_ranking_is_what_a_ranking_must_be(
    seed: int, kernel: tuple[str, float], engine: str, weighted: bool, copies: bool
) -> None:
    rng = np.random.default_rng(seed)
    points = pool(60, seed=seed)
    if copies:
        points[30:] = points[:30]  # exact ties everywhere
    keys = np.array([f"prompt-{key:05d}" for key in rng.permutation(60)])
    arguments = {"kernel": kernel[0], "gamma": kernel[1], "engine": engine}
    utility = rng.random(60) if weighted else None
    whole = facility_location(points, 50, utility=utility, tie_break=keys, selected=[2, 5], **arguments)
    assert len(set(whole.indices.tolist())) == 50  # no duplicates
    assert not set(whole.indices.tolist()) & {2, 5}
    assert (np.diff(whole.gains) <= 0).all()  # gains never rise

    cut = facility_location(points, 20, utility=utility, tie_break=keys, selected=[2, 5], **arguments)
    assert cut.indices.tolist() == whole.indices[:20].tolist()  # prefix property
    assert cut.gains.tolist() == whole.gains[:20].tolist()

    shuffle = rng.permutation(60)
    moved = facility_location(
        points[shuffle], 50, utility=None if utility is None else utility[shuffle], tie_break=keys[shuffle],
        selected=[int(np.flatnonzero(shuffle == row)[0]) for row in (2, 5)], **arguments,
    )  # fmt: skip
    assert shuffle[moved.indices].tolist() == whole.indices.tolist()  # row order does not matter
    assert moved.objective == whole.objective
    assert moved.upper_bound == whole.upper_bound


@pytest.mark.parametrize("engine", ENGINES)
def test_going_on_from_selected_is_the_rest_of_the_run(engine: str) -> None:
    points = pool(120)
    whole = facility_location(points, 30, gamma=0.1, engine=engine)
    rest = facility_location(points, 20, gamma=0.1, engine=engine, selected=whole.indices[:10])
    assert rest.indices.tolist() == whole.indices[10:].tolist()
    np.testing.assert_allclose(rest.gains, whole.gains[10:], atol=120 * UNIT_NOISE)
    assert rest.objective == pytest.approx(whole.objective, abs=1e-9)


def test_equal_prompts_go_by_the_tie_break() -> None:
    points = np.tile(np.eye(3, dtype=np.float32), (4, 1))  # rows 0, 3, 6, 9 are equal, and so on
    keys = np.arange(12)[::-1]
    # Each direction stands for 4 prompts. The lowest keys are rows 11, 10, 9; then nothing is gained.
    ranking = facility_location(points, 4, gamma=0.1, tie_break=keys)
    assert ranking.indices.tolist() == [11, 10, 9, 8]
    assert ranking.gains.tolist() == [4, 4, 4, 0]
    assert ranking.objective == ranking.upper_bound - ranking.details["float_error"] == 12


def test_utility_by_hand() -> None:
    # Orthogonal prompts gain 1 each; the log term is log(1 + 3), then log(5 / 4), then log(6 / 5).
    utility = np.array([1.0, 3.0, 1.0])
    ranking = facility_location(np.eye(3), 3, gamma=0.1, utility=utility, utility_weight=2.0)
    assert ranking.indices.tolist() == [1, 0, 2]
    expected = [1 + 2 * math.log(4), 1 + 2 * math.log(5 / 4), 1 + 2 * math.log(6 / 5)]
    np.testing.assert_allclose(ranking.gains, expected, atol=2e-6)
    assert ranking.objective == pytest.approx(3 + 2 * math.log(6))


def test_points_without_normalising() -> None:
    points = np.array([[100.0, 0], [100.1, 0], [101.0, 0]], dtype=np.float64)
    ranking = facility_location(points, 1, gamma=1.0, normalise=False)
    gains = weights(points, "rbf", 1.0, normalise=False).sum(axis=0)
    assert ranking.indices[0] == gains.argmax() == 1
    assert ranking.gains[0] == pytest.approx(gains.max(), abs=1e-4)


def test_stochastic_greedy_is_labelled_seeded_and_close() -> None:
    points = pool(200)
    exact = facility_location(points, 30, gamma=0.1)
    runs = [facility_location(points, 30, gamma=0.1, stochastic=0.1, seed=seed) for seed in (1, 1, 2)]
    assert runs[0].indices.tolist() == runs[1].indices.tolist() != runs[2].indices.tolist()
    assert (runs[0].details["greedy"], runs[0].details["epsilon"], runs[0].details["seed"]) == (
        "stochastic", 0.1, 1,
    )  # fmt: skip
    assert exact.details["greedy"] == "exact"
    assert 0.8 * exact.objective < runs[0].objective < runs[0].upper_bound


@pytest.mark.parametrize("engine", ["dense", "sparse", "blocked"])
def test_progress_reaches_its_total(engine: str) -> None:
    calls: list[tuple[int, int]] = []
    facility_location(pool(50), 7, engine=engine, progress=lambda *call: calls.append(call))
    assert calls[-1] == (57, 57)
    assert calls == sorted(calls)


def test_storage_does_not_matter(tmp_path: Path) -> None:
    stored = pool(80).astype(np.float16)
    np.save(tmp_path / "pool.npy", stored)
    expected = facility_location(stored.astype(np.float32), 20, gamma=0.1)
    for same in (np.load(tmp_path / "pool.npy", mmap_mode="r"), torch.from_numpy(stored)):
        assert facility_location(same, 20, gamma=0.1).indices.tolist() == expected.indices.tolist()


def test_a_memory_limit_picks_the_engine() -> None:
    points = pool(3000)
    assert facility_location(points, 1, memory_limit=2**40).details["engine"] == "sparse"
    tight = 4 * 3000 * 6 + 64 * 3000 + (256 << 20) + 1  # nothing beside points, vectors and blocks
    assert facility_location(points, 1, memory_limit=tight).details["engine"] == "blocked"
    with pytest.raises(
        ValueError, match=r"memory_limit must hold.*dense 0\.\d+ GiB, sparse.*blocked.*apricot"
    ):
        facility_location(points, 1, memory_limit=2**20)
    with pytest.raises(ValueError, match="memory_limit must hold the engine"):
        facility_location(points, 1, memory_limit=tight, engine="dense")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 11}, "budget must not exceed the 10 prompts"),
        ({"budget": 10, "selected": [1]}, "budget must not exceed the 9 prompts"),
        ({"budget": -1}, "budget must be at least 0"),
        ({"budget": 2.5}, "budget must be a whole number"),
        ({"kernel": "linear"}, "kernel must be one of"),
        ({"gamma": -0.1}, "gamma must be 'auto' or a finite number over 0"),
        ({"gamma": 0}, "gamma must be 'auto' or a finite number over 0"),
        ({"gamma": math.nan}, "gamma must be 'auto' or a finite number over 0"),
        ({"gamma": "wide"}, "gamma must be 'auto' or a finite number over 0"),
        ({"gamma": 1e-30}, "gamma must not be so small"),
        ({"engine": "magic"}, "engine must be one of"),
        ({"selected": [1, 1]}, "must not repeat a row"),
        ({"selected": [10]}, "must hold rows of the pool"),
        ({"utility": -np.ones(10)}, "utility must not be negative"),
        ({"utility": np.full(10, np.nan)}, "utility must be finite"),
        ({"utility": np.ones(9)}, r"utility must have shape \(10,\)"),
        ({"utility": np.ones(10), "utility_weight": -1}, "utility_weight must be a finite number"),
        ({"utility": np.ones(10), "utility_weight": 1e12}, "Scale them down"),
        ({"utility": np.ones(10), "engine": "apricot"}, "neither a utility nor a demand"),
        ({"memory_limit": 0}, "memory_limit must be at least 1"),
        ({"tie_break": [0] * 10}, "tie_break keys must be unique"),
        ({"stochastic": 1.5, "seed": 0}, "epsilon between 0 and 1"),
        ({"stochastic": 0.1}, "needs a seed"),
        ({"seed": 1}, "seed is of stochastic"),
        ({"stochastic": 0.1, "seed": 0, "engine": "sparse"}, "does not take stochastic"),
    ],
)
def test_arguments_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        facility_location(pool(10), **{"budget": 2, **arguments})


def test_zero_vectors_are_refused_by_cosine_but_not_by_plain_distances() -> None:
    points = pool(10)
    points[3] = 0
    with pytest.raises(ValueError, match=r"zero vectors.*\[3\]"):
        facility_location(points, 2, kernel="cosine", normalise=False)
    assert len(facility_location(points, 2, gamma=1.0, normalise=False)) == 2


def test_real_prompts_against_plain_numpy() -> None:
    points = t0_embeddings(2000)
    x = points.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for kernel, gamma in (("rbf", 0.1), ("cosine", 1.0)):
        s = x @ x.T
        w = np.exp(np.minimum(2 * (s - 1) / gamma, 0)) if kernel == "rbf" else np.clip(s, 0, 1)
        ranking = facility_location(points, 400, kernel=kernel, gamma=gamma)
        m, noise = np.zeros(len(w)), len(w) * UNIT_NOISE
        for step, pick in enumerate(ranking.indices):
            gain = np.maximum(w[pick] - m, 0).sum()
            assert gain == pytest.approx(ranking.gains[step], abs=noise)
            if step % 10 == 0:  # each pick the best of all, by plain NumPy
                assert gain >= np.maximum(w - m, 0).sum(axis=1).max() - noise
            m = np.maximum(m, w[pick])
        assert ranking.objective == pytest.approx(m.sum(), rel=1e-6)
        assert ranking.objective < ranking.upper_bound < 2 * ranking.objective


@pytest.mark.gpu
@pytest.mark.parametrize(("kernel", "gamma"), KERNELS)
@pytest.mark.parametrize("engine", ["dense", "blocked", "auto"])
def test_a_gpu_chooses_like_the_cpu(engine: str, kernel: str, gamma: float) -> None:
    points = pool(500, dim=16)
    utility = np.linspace(0, 1, 500)
    arguments = {"kernel": kernel, "gamma": gamma, "utility": utility, "selected": [3, 8]}
    ours = facility_location(torch.from_numpy(points).cuda(), 100, engine=engine, **arguments)
    cpu = facility_location(points, 100, device="cpu", **arguments)
    assert ours.details["device"].startswith("cuda")
    np.testing.assert_allclose(ours.gains, cpu.gains, atol=500 * UNIT_NOISE)
    assert ours.objective == pytest.approx(cpu.objective, rel=1e-6)
