"""Silhouettes against scikit-learn, plain definitions and numbers worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from edsel_assets.selection import kmeans, silhouette, silhouette_sampled
from edsel_assets_tests.selection.pools import labelled, t0_embeddings


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


def test_the_sample_is_drawn_by_prompt():
    points, labels = labelled(300, 4, 5, seed=11)
    keys, order = np.arange(300).astype(str), np.random.default_rng(0).permutation(300)
    one = silhouette(points, labels, sample=80, tie_break=keys)
    other = silhouette(points[order], labels[order], sample=80, tie_break=keys[order])
    assert one == pytest.approx(other, rel=1e-6)


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
