"""Draws keyed by prompt: uniform, independent, quick, and no business of other prompts."""

import time

import numpy as np
import pytest

from edsel_assets.selection import k_center, random_subset, sample_clusters
from edsel_assets.selection.clustering.kmeans import Clusters
from edsel_assets.selection.core import draws


def test_a_draw_is_a_function_of_seed_stream_and_key_alone():
    keys = [f"prompt-{i}" for i in range(50)]
    one = draws.keyed_uniforms(7, keys, "random")
    assert draws.keyed_uniforms(7, keys[::-1], "random").tolist() == one[::-1].tolist()
    assert draws.keyed_uniforms(7, np.array(keys[20:30]), "random").tolist() == one[20:30].tolist()
    assert not set(one) & set(draws.keyed_uniforms(8, keys, "random"))
    assert not set(one) & set(draws.keyed_uniforms(7, keys, "other"))


def test_a_draw_never_changes():
    # By hand: blake2b of "7/random/prompt-0" in 8 bytes, little-endian, its upper 52 bits and a half.
    import hashlib

    digest = hashlib.blake2b(b"7/random/prompt-0", digest_size=8).digest()
    expected = ((int.from_bytes(digest, "little") >> 12) + 0.5) / 2**52
    assert draws.keyed_uniforms(7, ["prompt-0"], "random").tolist() == [expected]


@pytest.mark.parametrize("number", [None, 0, 5])
def test_draws_are_uniform(number):
    words = draws.keyed_words(1, range(100_000), "test")
    found = draws.uniforms(words if number is None else draws.mixed(words, number))
    assert 0 < found.min() < found.max() < 1
    counts = np.histogram(found, bins=100, range=(0, 1))[0]
    assert np.square(counts - 1000).sum() / 1000 < 149  # chi-squared with 99 degrees of freedom, 0.1 %
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.0105  # 3.3 standard errors


def test_the_series_of_a_word_is_independent():
    words = draws.keyed_words(2, range(100_000))
    series = np.stack([draws.uniforms(draws.mixed(words, number)) for number in range(4)])
    assert np.abs(np.corrcoef(series) - np.eye(4)).max() < 0.0125  # 6 pairs at 0.01 % each


def test_exponential_draws_have_mean_and_deviation_one():
    found = draws.exponentials(draws.keyed_words(3, range(100_000)))
    assert found.mean() == pytest.approx(1, abs=0.0105)
    assert found.std() == pytest.approx(1, abs=0.02)


def test_quick_for_a_large_pool():
    keys = np.array([f"{i:064x}" for i in range(100_000)])
    start = time.process_time()
    draws.keyed_uniforms(0, keys)
    assert time.process_time() - start < 0.3


@pytest.mark.parametrize("budget", [1, 10, 99, 150])
def test_one_prompt_more_changes_at_most_one_random_pick(budget):
    ids = np.array([f"p{i}" for i in range(201)])
    changes = []
    for new in range(201):  # each prompt in turn is the new one
        old = np.delete(ids, new)
        before = set(old[random_subset(200, budget, seed=4, tie_break=old).indices])
        after = set(ids[random_subset(201, budget, seed=4, tie_break=ids).indices])
        changes.append(len(after - before))
    # It is picked by budget in 201 of the pools, and else nothing changes.
    assert set(changes) == {0, 1}
    assert sum(changes) == budget


def test_a_pool_grown_by_a_tenth_keeps_its_share_of_random_picks():
    ids = np.array([f"p{i}" for i in range(11_000)])
    before = set(random_subset(10_000, 3000, seed=0, tie_break=ids[:10_000]).indices.tolist())
    after = set(random_subset(11_000, 3000, seed=0, tie_break=ids).indices.tolist())
    kept = len(before & after) / 3000
    assert abs(kept - 1 / 1.1) < 3.3 * 0.0053  # 3000 draws of 10 in 11: sqrt(.909 * .091 / 3000)


@pytest.mark.parametrize("replacement", [False, True])
def test_one_prompt_more_in_a_cluster_only_pushes_out(replacement):
    rng = np.random.default_rng(0)
    quality, labels = rng.random(121), rng.integers(3, size=121)
    ids = np.array([f"p{i}" for i in range(121)])

    def drawn(rows: int, weights: list[int]) -> dict[str, int]:
        clusters = Clusters(labels[:rows], np.zeros((3, 1), np.float32), np.zeros(rows, np.float32), 0.0)
        found = sample_clusters(
            clusters, 30, "quality", quality=quality[:rows], weights=weights, replacement=replacement,
            tie_break=ids[:rows], seed=5,
        )  # fmt: skip
        copies = found.details.get("copies", [1] * len(found))
        return dict(zip(ids[found.indices], copies, strict=True))

    before, after = drawn(120, [1, 1, 1]), drawn(121, [1, 1, 1])
    own = after.pop("p120", 0)
    assert all(after[key] <= before[key] for key in after)  # nobody else is drawn more often
    assert sum(before.values()) - sum(after.values()) == own


def test_draws_with_replacement_are_multinomial():
    quality = np.array([0.1, 0.5, 1.0, 0.4])
    clusters = Clusters(np.zeros(4, int), np.zeros((1, 1), np.float32), np.zeros(4, np.float32), 0.0)
    chances = quality / quality.sum()
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(10_000):
        found = sample_clusters(clusters, 2, "quality", quality=quality, replacement=True, seed=seed)
        copies = np.zeros(4, dtype=int)
        copies[found.indices] = found.details["copies"]
        key = tuple(copies.tolist())
        seen[key] = seen.get(key, 0) + 1
    expected = {}
    for a in range(4):
        for b in range(a, 4):
            key = tuple(np.bincount([a, b], minlength=4).tolist())
            expected[key] = 10_000 * chances[a] * chances[b] * (1 if a == b else 2)
    statistic = sum((seen.get(key, 0) - mean) ** 2 / mean for key, mean in expected.items())
    assert statistic < 27.9  # chi-squared with 9 degrees of freedom, 0.1 %


def test_a_random_first_centre_is_uniform_and_stays():
    points = np.random.default_rng(1).normal(size=(6, 2))
    keys = np.array([f"p{i}" for i in range(6)])

    def first(rows: int, seed: int) -> int:
        return int(
            k_center(points[:rows], 1, seed_point="random", seed=seed, tie_break=keys[:rows]).indices[0]
        )

    counts = np.bincount([first(6, seed) for seed in range(1200)], minlength=6)
    assert np.square(counts - 200).sum() / 200 < 20.5  # chi-squared with 5 degrees of freedom, 0.1 %
    assert all(first(6, seed) in (first(5, seed), 5) for seed in range(100))
