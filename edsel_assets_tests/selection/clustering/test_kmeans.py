"""k-means: its fixed point, its inertia against scikit-learn's, and what must not change it."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from edsel_assets.selection import kmeans
from edsel_assets.selection.clustering.assignment import Points, assign, cluster_sums
from edsel_assets.selection.clustering.kmeans import _Start
from edsel_assets.selection.clustering.swaps import swap_clusters
from edsel_assets.selection.core.draws import keyed_words
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets_tests.selection.pools import t0_embeddings


def blobs(rows: int, dim: int, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, dim))
    return centres[rng.integers(count, size=rows)] + 0.4 * rng.normal(size=(rows, dim))


def test_two_pairs_by_hand():
    points = np.array([[0.0], [1.0], [10.0], [12.0]])
    found = kmeans(points, 2, normalise=False)
    near, far = found.labels[0], found.labels[2]
    assert found.labels.tolist() == [near, near, far, far]
    assert found.centroids[[near, far], 0].tolist() == [0.5, 11.0]
    assert found.distances.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert found.inertia == 0.25 + 0.25 + 1 + 1


@pytest.mark.parametrize(("rows", "dim", "clusters"), [(60, 2, 1), (400, 3, 20), (1500, 32, 60), (50, 4, 50)])
def test_converged_labels_are_nearest_and_centroids_are_means(rows, dim, clusters):
    points = blobs(rows, dim, 12, seed=rows)
    found = kmeans(points, clusters, niter=200, tolerance=0)
    assert found.details["converged"]
    unit = as_embeddings(points).matrix().numpy().astype(np.float64)
    squares = np.square(unit[:, None] - found.centroids.astype(np.float64)).sum(2)
    assert (squares.argmin(1) == found.labels).all()
    means = np.stack([unit[found.labels == c].mean(0) for c in range(clusters)])
    np.testing.assert_allclose(found.centroids, means, atol=1e-7)
    np.testing.assert_allclose(found.distances, np.sqrt(squares.min(1)), atol=1e-6)
    assert found.inertia == pytest.approx(squares.min(1).sum(), rel=1e-9, abs=1e-12)


def test_inertia_is_at_most_sklearns_on_real_embeddings():
    points = as_embeddings(t0_embeddings(2000)).matrix().numpy()
    theirs = min(KMeans(40, n_init=1, random_state=seed).fit(points).inertia_ for seed in range(2))
    ours = max(kmeans(points, 40, seed=seed).inertia for seed in range(3))
    assert ours <= theirs


def test_recovers_well_separated_blobs():
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(30), 40)
    points = np.eye(30)[truth] * 5 + 0.05 * rng.normal(size=(1200, 30))
    found = kmeans(points, 30)
    assert {frozenset(np.flatnonzero(found.labels == c)) for c in range(30)} == {
        frozenset(np.flatnonzero(truth == c)) for c in range(30)
    }


def test_same_labels_on_every_run_and_row_order():
    points = blobs(900, 16, 10, seed=2).astype(np.float32)
    keys = np.array([f"prompt-{i:04d}" for i in range(900)])
    first = kmeans(points, 25, tie_break=keys)
    assert (kmeans(points, 25, tie_break=keys).labels == first.labels).all()
    order = np.random.default_rng(0).permutation(900)
    shuffled = kmeans(points[order], 25, tie_break=keys[order])
    assert (shuffled.labels == first.labels[order]).all()
    assert (shuffled.centroids == first.centroids).all()
    assert not (kmeans(points, 25, tie_break=keys, seed=1).labels == first.labels).all()


def test_same_labels_on_any_number_of_threads():
    points = blobs(3000, 32, 40, seed=3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = kmeans(points, 50)
        torch.set_num_threads(2)
        two = kmeans(points, 50)
    finally:
        torch.set_num_threads(threads)
    assert (one.labels == two.labels).all()
    assert one.inertia == two.inertia


def test_assignment_is_exact_among_near_ties():
    """Centroids that differ by less than float32 products can tell, on points far from the origin."""
    rng = np.random.default_rng(5)
    centroids = 100 + np.repeat(rng.normal(size=(10, 8)), 3, axis=0) + 1e-5 * rng.normal(size=(30, 8))
    points = (centroids[rng.integers(30, size=500)] + 0.01 * rng.normal(size=(500, 8))).astype(np.float32)
    centroids = centroids.astype(np.float32)
    found = assign(Points(torch.from_numpy(points)), torch.from_numpy(centroids))
    squares = np.square(points.astype(np.float64)[:, None] - centroids).sum(2)
    assert found.labels.tolist() == squares.argmin(1).tolist()


@pytest.mark.parametrize("count", [1, 2, 3000])
def test_assignment_is_that_of_a_plain_search(count):
    rng = np.random.default_rng(count)
    points, centroids = rng.normal(size=(2100, 5)), rng.normal(size=(count, 5))
    found = assign(Points(torch.from_numpy(points).float()), torch.from_numpy(centroids).float())
    squares = np.square(points.astype(np.float32)[:, None] - centroids.astype(np.float32)).sum(2)
    assert found.labels.tolist() == squares.argmin(1).tolist()
    least = np.sort(squares, axis=1)[:, :2]
    np.testing.assert_allclose(found.nearest, least[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.second, least[:, 1] if count > 1 else np.inf, atol=1e-5)


def test_sums_leave_out_what_has_no_cluster():
    points = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    sums, sizes = cluster_sums(Points(points), np.array([1, -1, 1]), 3)
    assert sums.tolist() == [[0, 0], [6, 8], [0, 0]]
    assert sizes.tolist() == [0, 2, 0]


def test_starts_are_drawn_by_squared_distance():
    # Three points: the first centre is uniform; from 0 the next is at 1 or 3 with odds 1 : 9.
    points = torch.tensor([[0.0], [1.0], [3.0]])
    seen: dict[tuple[float, ...], int] = {}
    draws = 6000
    for seed in range(draws):
        words = keyed_words(seed, range(3))
        start = tuple(_Start(Points(points), words)._plus_plus(2)[:, 0].tolist())
        seen[start] = seen.get(start, 0) + 1
    odds = {0: {1: 1, 3: 9}, 1: {0: 1, 3: 4}, 3: {0: 9, 1: 4}}
    chances = {(a, b): d / sum(to.values()) / 3 for a, to in odds.items() for b, d in to.items()}
    statistic = sum((seen[k] - draws * p) ** 2 / (draws * p) for k, p in chances.items())
    assert statistic < 20.5  # chi-squared with 5 degrees of freedom, 0.1 %


def test_a_grown_pool_keeps_most_of_the_start():
    points = blobs(1100, 8, 30, seed=12).astype(np.float32)
    starts = [
        {
            tuple(c)
            for c in _Start(Points(torch.from_numpy(p)), keyed_words(3, range(len(p))))
            ._plus_plus(20)
            .tolist()
        }
        for p in (points[:1099], points)
    ]
    assert len(starts[0] & starts[1]) >= 18


def test_swaps_leave_a_poor_optimum():
    # Three centroids in one far blob and one for the three others: Lloyd alone stays there.
    rng = np.random.default_rng(6)
    centres = np.array([[0.0, 0], [10, 0], [0, 10], [100, 100]])
    rows = np.repeat(centres, 50, axis=0) + 0.1 * rng.normal(size=(200, 2))
    points = Points(torch.from_numpy(rows.astype(np.float32)))
    centroids = torch.tensor([[5.0, 5], [100, 100], [100.1, 100], [100, 100.1]])
    inertia, drops = [], []
    for step in range(6):
        found = assign(points, centroids)
        inertia.append(found.nearest.sum())
        sums, sizes = cluster_sums(points, found.labels, 4)
        means = torch.from_numpy(sums / sizes[:, None]).float()
        centroids, drop = swap_clusters(points, means, found, keyed_words(step, range(200)))
        drops.append(drop)
    assert drops[0] > 0
    assert inertia[-1] < 10 < inertia[0]


def test_duplicates_never_leave_a_cluster_empty():
    points = np.concatenate([np.ones((500, 3)), np.eye(3), np.eye(3) + 0.5])
    found = kmeans(points, 6, normalise=False)
    assert (np.bincount(found.labels, minlength=6) > 0).all()


def test_best_of_several_starts():
    points = blobs(500, 6, 30, seed=7)
    starts = kmeans(points, 30, nredo=4, niter=15)
    assert starts.inertia <= kmeans(points, 30, nredo=1, niter=15).inertia
    assert starts.details["nredo"] == 4
    assert starts.details["device"] == "cpu"


def test_progress_counts_to_the_cap():
    seen = []
    kmeans(
        blobs(300, 4, 5, seed=8), 9, niter=4, nredo=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clusters": 7}, "must not exceed the 6 prompts"),
        ({"clusters": 0}, "at least 1"),
        ({"clusters": 3, "embeddings": np.repeat(np.eye(2), 3, axis=0)}, "2 distinct embeddings; got 3"),
        ({"embeddings": np.full((6, 2), np.inf)}, "must be finite"),
        ({"niter": 0}, "niter must be at least 1"),
        ({"nredo": 0}, "nredo must be at least 1"),
        ({"tolerance": -1}, "tolerance must be"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"tie_break": [1, 2]}, "one key per prompt"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kmeans(**{"embeddings": np.eye(6), "clusters": 2, **arguments})


@pytest.mark.gpu
def test_gpu_finds_the_same():
    points = blobs(20_000, 64, 100, seed=9)
    gpu, cpu = kmeans(points, 128, device="cuda"), kmeans(points, 128, device="cpu")
    assert gpu.inertia == pytest.approx(cpu.inertia, rel=1e-3)
    assert (gpu.labels == kmeans(points, 128, device="cuda").labels).all()
