"""Farthest-first traversal against a plain float64 loop and against all subsets."""

from itertools import combinations

import numpy as np
import pytest
import torch

from edsel_assets.selection import k_center
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets_tests.selection.pools import t0_embeddings


def loop(points: np.ndarray, budget: int, first: int | None, selected: tuple[int, ...] = ()) -> list[int]:
    """The traversal as it is defined, over float64 distances between float32 rows."""
    points = points.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    taken = list(selected)
    picks: list[int] = []
    for centre in selected:
        nearest = np.minimum(nearest, np.square(points - points[centre]).sum(1))
    while len(picks) < budget:
        if first is not None and not picks:
            pick = first
        else:
            open_points = nearest.copy()
            open_points[taken] = -1
            pick = int(open_points.argmax())
        picks.append(pick)
        taken.append(pick)
        nearest = np.minimum(nearest, np.square(points - points[pick]).sum(1))
    return picks


def medoid(points: np.ndarray) -> int:
    points = points.astype(np.float64)
    return int(np.square(points - points.mean(0)).sum(1).argmin())


def unit(points: np.ndarray) -> np.ndarray:
    return as_embeddings(points).matrix().numpy()


def clustered(rows: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, rows // 20), dim))
    return centres[rng.integers(len(centres), size=rows)] + 0.3 * rng.normal(size=(rows, dim))


def test_points_on_a_line_by_hand():
    # Mean 5.2: the point at 5 is nearest to it. Then 0 and 12 are 5 and 7 away: 12. Then 0 (5), then
    # 9 is 3 from 12 and 4 from 5, that is 3; nothing is farther.
    points = np.array([[0.0], [5.0], [9.0], [12.0], [0.0]])
    ranking = k_center(points, 4, normalise=False)
    assert ranking.indices.tolist() == [1, 3, 0, 2]
    assert ranking.gains.tolist() == [7.0, 7.0, 5.0, 3.0]
    assert ranking.objective == 0.0
    assert ranking.details == {"radius": 0.0, "radius_lower_bound": 0.0, "seed_point": 1}


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("rows", "dim", "budget"), [(40, 2, 40), (700, 12, 400), (1500, 96, 1200)])
def test_picks_are_those_of_the_plain_loop(rows, dim, budget, normalise):
    points = clustered(rows, dim, seed=rows).astype(np.float32)
    ranking = k_center(points, budget, normalise=normalise)
    rows_used = unit(points) if normalise else points
    assert ranking.indices.tolist() == loop(rows_used, budget, medoid(rows_used))


def test_picks_on_real_embeddings():
    points = t0_embeddings(2500)
    used = unit(points)
    assert k_center(points, 1000).indices.tolist() == loop(used, 1000, medoid(used))


def test_tensor_path_picks_the_same(monkeypatch):
    """The path that a GPU takes, run on the CPU."""
    from edsel_assets.selection.farthest_first import _Cover

    points = clustered(900, 24, seed=3)
    compiled = k_center(points, 500)
    monkeypatch.setattr(_Cover, "_lower_compiled", _Cover._lower)
    tensors = k_center(points, 500)
    assert tensors.indices.tolist() == compiled.indices.tolist()
    np.testing.assert_allclose(tensors.gains, compiled.gains, rtol=1e-14)


def test_ties_and_duplicates_go_by_key():
    # Eight corners of a cube, each twice: all ties are exact.
    cube = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
    points = np.concatenate([cube, cube])
    keys = np.arange(16)
    expected = k_center(points, 16, normalise=False, tie_break=keys)
    assert sorted(expected.indices.tolist()) == list(range(16))
    assert expected.indices.tolist() == loop(points, 16, 0)
    assert expected.gains[8:].tolist() == [0.0] * 8
    order = np.random.default_rng(0).permutation(16)
    shuffled = k_center(points[order], 16, normalise=False, tie_break=keys[order])
    assert order[shuffled.indices].tolist() == expected.indices.tolist()


def test_more_duplicates_than_one_round_looks_at():
    points = np.repeat(np.eye(3), 400, axis=0)
    ranking = k_center(points, 1200)
    assert sorted(ranking.indices.tolist()) == list(range(1200))
    assert ranking.gains[3:].max() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds_against_all_subsets(seed):
    points = np.random.default_rng(seed).normal(size=(9, 2))
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    for budget, selected in [(1, ()), (3, ()), (2, (4,))]:
        best = min(
            apart[:, [*chosen, *selected]].min(1).max()
            for chosen in combinations(sorted(set(range(9)) - set(selected)), budget)
        )
        ranking = k_center(points, budget, normalise=False, selected=selected)
        reached = apart[:, [*ranking.indices, *selected]].min(1).max()
        assert -ranking.objective == pytest.approx(reached, rel=1e-6)
        assert -ranking.upper_bound <= best * (1 + 1e-6)
        assert best <= reached * (1 + 1e-6) <= 2 * best * (1 + 2e-6)
        assert ranking.guarantee == pytest.approx(0.5)


def test_selected_prompts_are_centres_already():
    points = clustered(300, 8, seed=5)
    selected = (7, 100, 222)
    ranking = k_center(points, 60, selected=selected)
    assert ranking.indices.tolist() == loop(unit(points), 60, None, selected)
    assert ranking.details["seed_point"] is None


def test_random_seed_point_is_seeded_and_keyed():
    points = clustered(200, 4, seed=6)
    keys = np.array([f"prompt-{i:04d}" for i in range(200)])
    first = [int(k_center(points, 1, seed_point="random", seed=s).indices[0]) for s in range(20)]
    assert len(set(first)) > 10
    order = np.random.default_rng(1).permutation(200)
    one = k_center(points, 30, seed_point="random", seed=4, tie_break=keys)
    other = k_center(points[order], 30, seed_point="random", seed=4, tie_break=keys[order])
    assert one.indices.tolist() == order[other.indices].tolist()


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "memmap"])
def test_any_storage_of_the_same_numbers(kind, tmp_path):
    points = clustered(150, 16, seed=7)
    if kind == "bfloat16":
        stored = torch.from_numpy(points).to(torch.bfloat16)
        same = stored.to(torch.float32).numpy()
    elif kind == "memmap":
        np.save(tmp_path / "points.npy", points.astype(np.float16))
        stored = np.load(tmp_path / "points.npy", mmap_mode="r")
        same = np.array(stored, dtype=np.float32)
    else:
        stored = points.astype(kind)
        same = stored.astype(np.float32)
    assert k_center(stored, 40).indices.tolist() == k_center(same, 40).indices.tolist()


def test_progress_and_nothing_to_do():
    seen = []
    k_center(clustered(800, 6, seed=8), 700, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (700, 700)
    assert seen == sorted(seen)
    assert len(k_center(np.eye(3), 0)) == 0
    assert len(k_center(np.eye(3), 0, selected=[0, 1, 2])) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 6}, "budget must not exceed the 5"),
        ({"budget": 2.5}, "whole number"),
        ({"seed_point": "mean"}, "seed_point must be"),
        ({"selected": [1, 1]}, "must not repeat"),
        ({"selected": [9]}, "rows of the pool"),
        ({"tie_break": ["a"] * 5}, "unique"),
        ({"embeddings": np.full((5, 2), np.nan)}, r"rows \[0, 1, 2, 3, 4\]"),
        ({"embeddings": np.array([[1.0], [0.0], [1], [1], [1]])}, r"zero vectors.*rows \[1\]"),
        ({"embeddings": np.ones((5, 2), dtype=int)}, "must hold floats"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        k_center(**{"embeddings": np.eye(5), "budget": 2, **arguments})


@pytest.mark.gpu
def test_gpu_picks_the_same():
    points = clustered(5000, 64, seed=9)
    assert (
        k_center(points, 2000, device="cuda").indices.tolist()
        == k_center(points, 2000, device="cpu").indices.tolist()
    )
