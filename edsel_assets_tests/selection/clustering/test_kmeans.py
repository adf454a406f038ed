"""k-means: its fixed point, its inertia against scikit-learn's, and what must not change it."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from edsel_assets.selection import kmeans
from edsel_assets.selection.clustering.lloyd import Lloyd
from edsel_assets.selection.clustering.swaps import swap_clusters
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
    found = kmeans(points, clusters, niter=200)
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


def test_tensor_path_finds_the_same(monkeypatch):
    """The path that a GPU takes, run on the CPU."""
    from edsel_assets.selection.core import distance_kernels

    points = blobs(1200, 24, 20, seed=4)
    compiled = kmeans(points, 40)
    monkeypatch.setattr(Lloyd, "_label_compiled", Lloyd._label)
    tensors = kmeans(points, 40)
    assert (tensors.labels == compiled.labels).all()
    labels = torch.from_numpy(compiled.labels)
    rows = torch.arange(1200).flip(0)
    matrix = as_embeddings(points).matrix()
    sums = torch.zeros((40, 24), dtype=torch.float64)
    distance_kernels.add_rows(matrix.numpy(), rows.numpy(), labels[rows].numpy(), sums.numpy())
    expected = torch.zeros_like(sums).index_add_(0, labels[rows], matrix[rows].double())
    torch.testing.assert_close(sums, expected, rtol=1e-12, atol=1e-12)


def test_bounds_never_keep_a_wrong_label():
    """Every iteration labels as a full pass would, also right after a swap moved centroids far."""
    points = torch.from_numpy(blobs(800, 8, 15, seed=5).astype(np.float32))
    state = Lloyd(points, points[:30].clone())
    rng = np.random.default_rng(0)
    looked_at = []
    for iteration in range(25):
        state.assign(everything=iteration in (3, 6))
        squares = (points.double()[:, None] - state.centroids).square().sum(2)
        assert (squares.argmin(1) == state.labels).all()
        state.update()
        if iteration in (3, 6):
            swap_clusters(state, rng)
        looked_at.append(int((state.upper >= state.lower).sum()))
    assert min(looked_at) < 200  # the bounds do decide most


def test_swaps_leave_a_poor_optimum():
    # Three seeds in one far blob and one for the three others: Lloyd alone stays there.
    rng = np.random.default_rng(6)
    centres = np.array([[0.0, 0], [10, 0], [0, 10], [100, 100]])
    points = np.repeat(centres, 50, axis=0) + 0.1 * rng.normal(size=(200, 2))
    state = Lloyd(
        torch.from_numpy(points.astype(np.float32)),
        torch.tensor([[5.0, 5], [100, 100], [100.1, 100], [100, 100.1]]),
    )
    state.assign(everything=True)
    state.update()
    before = state.inertia
    assert swap_clusters(state, np.random.default_rng(0)) > 0
    for _ in range(5):
        state.assign(everything=True)
        state.update()
        swap_clusters(state, np.random.default_rng(0))
    state.assign(everything=True)
    assert state.inertia < 10 < before


def test_duplicates_never_leave_a_cluster_empty():
    points = np.concatenate([np.ones((500, 3)), np.eye(3), np.eye(3) + 0.5])
    found = kmeans(points, 6, normalise=False)
    assert (np.bincount(found.labels, minlength=6) > 0).all()


def test_best_of_several_starts():
    points = blobs(500, 6, 30, seed=7)
    starts = kmeans(points, 30, nredo=4, niter=15)
    assert starts.inertia <= kmeans(points, 30, nredo=1, niter=15).inertia
    assert starts.details["nredo"] == 4


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
