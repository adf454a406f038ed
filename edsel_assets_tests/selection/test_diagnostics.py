"""Diagnostics against scikit-learn, plain definitions and numbers worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from edsel_assets.selection import (
    coverage,
    elbow,
    elbow_point,
    kmeans,
    low_quality_share,
    overlap,
    silhouette,
    silhouette_sampled,
    task_counts,
)
from edsel_assets_tests.selection.pools import t0_embeddings


def labelled(rows: int, dim: int, count: int, seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.integers(count, size=rows)
    return rng.normal(size=(count, dim))[labels] + rng.normal(size=(rows, dim)), labels


def test_silhouette_by_hand():
    # Row 0: a = 1, b = mean(4, 6) = 5, (5 - 1) / 5 = .8; row 1: a = 1, b = 4, .75; row 2: a = 2,
    # b = mean(4, 3) = 3.5, 1.5 / 3.5; row 3: a = 2, b = mean(6, 5) = 5.5, 3.5 / 5.5.
    points = np.array([[0.0], [1.0], [4.0], [6.0]])
    expected = np.mean([0.8, 0.75, 1.5 / 3.5, 3.5 / 5.5])
    assert silhouette(points, np.array([7, 7, 3, 3]), normalise=False) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("rows", "dim", "count"), [(50, 2, 3), (1500, 8, 40), (5000, 4, 900)])
def test_silhouette_is_sklearns(rows, dim, count):
    points, labels = labelled(rows, dim, count, seed=rows)
    ours = silhouette(points.astype(np.float32), labels, normalise=False)
    assert ours == pytest.approx(silhouette_score(points.astype(np.float32), labels), abs=1e-6)


def test_silhouette_with_duplicates_and_singletons():
    points = np.repeat(np.random.default_rng(0).normal(size=(40, 5)), 5, axis=0)
    labels = np.repeat(np.arange(40), 5)
    assert silhouette(points, labels, normalise=False) == pytest.approx(1.0, abs=1e-6)
    labels[0] = 99  # alone: counts 0
    assert silhouette(points, labels, normalise=False) == pytest.approx(
        silhouette_score(points, labels), abs=1e-6
    )


def test_silhouette_tensor_path_is_the_same(monkeypatch):
    """The path that a GPU takes, run on the CPU."""
    from edsel_assets.selection import diagnostics

    points, labels = labelled(5000, 7, 30, seed=9)
    compiled = silhouette_sampled(points, labels, sample=3000)
    monkeypatch.setattr(diagnostics, "_distance_sums_compiled", diagnostics._distance_sums)
    tensors = silhouette_sampled(points, labels, sample=3000)
    assert compiled == pytest.approx(tensors, abs=1e-7)


def test_silhouette_of_real_clusters_is_sklearns():
    points = t0_embeddings(1500).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    labels = kmeans(points, 30).labels
    assert silhouette(points, labels) == pytest.approx(silhouette_score(points, labels), abs=1e-6)


def test_sampled_silhouette_is_unbiased_with_an_honest_error():
    points, labels = labelled(1200, 6, 8, seed=2)
    exact = silhouette(points, labels)
    estimates = [silhouette_sampled(points, labels, sample=150, seed=seed) for seed in range(60)]
    off = np.array([(value - exact) / error for value, error in estimates])
    assert abs(off.mean()) < 3.3 / np.sqrt(60)  # standard normal at 0.1 %
    assert 0.75 < off.std() < 1.25
    whole = silhouette_sampled(points, labels, sample=1200)
    assert whole.value == pytest.approx(exact)
    assert whole.standard_error == 0
    assert silhouette(points, labels, sample=150, seed=3) == estimates[3].value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": np.zeros(4, dtype=int)}, "2 to 3 clusters; got 1"),
        ({"labels": np.arange(4)}, "2 to 3 clusters; got 4"),
        ({"labels": np.zeros(3, dtype=int)}, r"shape \(4,\)"),
        ({"labels": np.array([0.5, 1, 1, 0])}, "integers"),
        ({"sample": 5}, "must not exceed the 4"),
        ({"sample": 1}, "at least 2"),
    ],
)
def test_bad_silhouette_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        silhouette(**{"embeddings": np.eye(4), "labels": np.array([0, 0, 1, 1]), **arguments})


def test_elbow_falls_and_bends_at_the_true_count():
    rng = np.random.default_rng(3)
    points = np.eye(16)[rng.integers(16, size=800)] * 4 + 0.1 * rng.normal(size=(800, 16))
    inertia = elbow(points, [64, 4, 8, 16, 32, 16])
    assert list(inertia) == [4, 8, 16, 32, 64]
    assert (np.diff(list(inertia.values())) < 0).all()
    assert inertia[16] == kmeans(points, 16).inertia
    assert elbow_point(inertia) == 16
    with pytest.raises(ValueError, match="at least 3"):
        elbow_point({2: 1.0, 4: 0.5})


def test_low_quality_share_by_hand():
    # Means .2, .5, .3: one of three is under .3.
    labels, quality = np.array([0, 0, 1, 1, 2]), np.array([0.1, 0.3, 0.4, 0.6, 0.3])
    assert low_quality_share(labels, quality) == pytest.approx(1 / 3)
    assert low_quality_share(labels, quality, threshold=0.31) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="finite"):
        low_quality_share(labels, np.full(5, np.nan))


def test_coverage_by_hand():
    points = np.array([[0.0], [1.0], [2.0], [5.0]])
    found = coverage(points, [0, 3], distance=1.0, normalise=False)
    assert found.share == 0.75  # rows 0, 1 and 3; row 2 is 2 away
    assert found.mean == (0 + 1 + 2 + 0) / 4
    assert found.quantiles[0.5] == 0.5
    assert found.quantiles[1.0] == 2.0


def test_coverage_is_the_plain_minimum():
    points, _ = labelled(3000, 12, 10, seed=4)
    chosen = np.random.default_rng(1).choice(3000, 700, replace=False)
    nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
    found = coverage(points, chosen, distance=2.0, normalise=False)
    assert found.share == pytest.approx((nearest <= 2).mean(), abs=1e-3)
    assert found.mean == pytest.approx(nearest.mean(), rel=1e-5)
    with pytest.raises(ValueError, match="at least one"):
        coverage(points, [])
    with pytest.raises(ValueError, match="distance must be"):
        coverage(points, [1], distance=-1)


def test_overlap_by_hand():
    assert overlap([1, 2, 3, 4], [3, 4, 5]) == (2, 2 / 5, 2 / 3)
    assert overlap(["a"], ["b"]) == (0, 0.0, 0.0)
    assert overlap([], []) == (0, 1.0, 1.0)
    assert overlap([], [1]) == (0, 0.0, 0.0)


def test_task_counts_by_hand():
    # Half the pool is "a" and all three chosen: three times .5 / ... = 2 times its share.
    counts = task_counts(["a", "b", "a", "b", "a", "b"], [0, 2, 4])
    assert [(c.task, c.pool, c.chosen, c.ratio) for c in counts] == [("a", 3, 3, 2.0), ("b", 3, 0, 0.0)]
    assert [c.ratio for c in task_counts(["a", "b"], [])] == [0.0, 0.0]


@pytest.mark.gpu
def test_silhouette_on_gpu_is_the_same():
    points, labels = labelled(5000, 7, 30, seed=10)
    on_gpu = silhouette(points, labels, device="cuda")
    assert on_gpu == pytest.approx(silhouette(points, labels, device="cpu"), abs=1e-6)
