import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from edsel_assets.report import cards as module
from edsel_assets.report.card_sheets import cards_markdown, excerpt
from edsel_assets.report.cards import make_cards
from edsel_assets.report.statistics.skew import skew_test


def pool_of(tasks, prompts=None) -> pa.Table:
    ids = [f"p{i}" for i in range(len(tasks))]
    return pa.table({"prompt_id": ids, "prompt": prompts or [f"prompt {i}" for i in ids], "task": tasks})


def selection_of(*ids, **columns) -> pa.Table:
    return pa.table({"prompt_id": list(ids), "rank": list(range(len(ids))), **columns})


@pytest.fixture
def small():
    """Two prompts to the east (one twice as long), two to the north, one north-west; p0 and p2 picked."""
    embeddings = np.array([[1.0, 0], [2, 0], [0, 1], [0.6, 0.8], [-1, 1]])
    return make_cards(
        pool_of(["a", "a", "b", "b", None]), embeddings, selection_of("p0", "p2", gain=[2.0, None]),
        scores=np.array([0.5, 0.1, 0.9, np.nan, 0.7]), clusters=np.array([7, 7, 9, 9, 9]),
    )  # fmt: skip


def test_each_pick_by_hand(small):
    first, second = small.picks.to_pylist()
    assert (first["stands_for"], second["stands_for"]) == (2, 3)  # p3 has cosines 0.6 and 0.8
    assert first["nearest_pick"] == "p2"
    assert first["nearest_cosine"] == pytest.approx(0.0)
    assert (first["gain"], second["gain"]) == (2.0, None)
    # Of 0.1, 0.5, 0.7, 0.9 one lies below p0's and three below p2's.
    assert (first["score_percentile"], second["score_percentile"]) == (0.25, 0.75)
    assert (second["cluster"], second["cluster_size"], second["cluster_picks"]) == (9, 3, 1)
    assert first["why"] == (
        "stands for 2 of 5 prompts; gain 2; score 0.5, above 25% of the pool; cluster 7 (1 picked of 2 "
        "prompts); nearest other pick at cosine 0.00"
    )


def test_coverage_by_hand(small):
    coverage = small.coverage.to_pylist()[0]
    distances = [0, 0, 0, np.sqrt(2 - 2 * 0.8), np.sqrt(2 - 2 / np.sqrt(2))]
    assert coverage["mean_distance"] == pytest.approx(np.mean(distances), abs=1e-6)
    assert coverage["max_distance"] == pytest.approx(max(distances), abs=1e-6)
    assert (coverage["farthest"], coverage["largest_share"]) == ("p4", 0.6)


def test_skew_by_hand(small):
    rows = {(r["field"], r["value"]): r for r in small.skew.to_pylist()}
    assert rows["task", "a"]["pool_share"] == pytest.approx(0.4)
    assert rows["task", "a"]["selected_share"] == pytest.approx(0.5)
    assert rows["task", "a"]["ratio"] == pytest.approx(1.25)
    assert rows["task", "(none)"]["selected"] == 0
    assert [r["field"] for r in small.skew_tests.to_pylist()] == ["task", "length"]


@pytest.mark.parametrize("block", [16_000_000, 50])
def test_nearest_picks_agree_with_all_pairs(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    generator = np.random.default_rng(0)
    embeddings = generator.standard_normal((300, 8)).astype(np.float16)
    embeddings[50] = embeddings[20]  # a pick that is another pick's twin still stands for itself
    picked = [20, 50, 3, 299, 7]
    ids = [f"p{i}" for i in picked]
    found = make_cards(pool_of(["a"] * 300), embeddings, selection_of(*ids))
    unit = embeddings.astype(float) / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    products = unit @ unit[picked].T
    nearest = products.argmax(axis=1)
    nearest[picked] = range(5)
    assert found.picks["stands_for"].to_pylist() == np.bincount(nearest, minlength=5).tolist()
    assert sum(found.picks["stands_for"].to_pylist()) == 300
    among = products[picked]
    np.fill_diagonal(among, -1)
    assert found.picks["nearest_cosine"].to_pylist() == pytest.approx(among.max(axis=1).tolist(), abs=1e-5)
    assert found.picks["nearest_pick"][0].as_py() == "p50"
    distances = np.sqrt(2 - 2 * np.clip(products.max(axis=1), -1, 1))
    assert found.coverage["mean_distance"][0].as_py() == pytest.approx(distances.mean(), abs=1e-4)


def test_the_skew_test_is_fishers_for_two_values_and_right_under_the_null():
    generator = np.random.default_rng(0)
    _, p = skew_test(np.array([30, 20]), np.array([14, 4]), generator)
    assert p == pytest.approx(stats.fisher_exact([[14, 4], [16, 16]]).pvalue, abs=0.02)
    whole = np.array([50, 30, 15, 5])
    drawn = generator.multivariate_hypergeometric(whole, 20, size=400)
    small = [skew_test(whole, counts, generator)[1] <= 0.1 for counts in drawn]
    assert 0.05 < np.mean(small) < 0.14


def test_lengths_are_fifths_of_the_pool():
    prompts = ["x" * n for n in range(1, 101)]
    found = make_cards(pool_of(["a"] * 100, prompts), np.eye(100), selection_of("p98", "p99"))
    rows = [r for r in found.skew.to_pylist() if r["field"] == "length"]
    assert [r["pool"] for r in rows] == [20] * 5
    assert [r["selected"] for r in rows] == [0, 0, 0, 0, 2]
    assert rows[0]["value"] == "1 to 20 characters"


def test_one_pick_has_no_other():
    found = make_cards(pool_of(["a", "b"]), np.eye(2), selection_of("p1"))
    pick = found.picks.to_pylist()[0]
    assert (pick["nearest_pick"], pick["nearest_cosine"], pick["stands_for"]) == (None, None, 2)
    assert pick["why"] == "stands for 2 of 2 prompts"


def test_markdown_tells_it_all(small):
    text = cards_markdown(small, title="k_center at 2", picks=1)
    for words in (
        "center at 2: coverage",
        "Skew by task",
        "selection\\_overlap",
        "stands for 2 of 5",
    ):
        assert words in text
    assert "1 more picks follow" in text
    assert excerpt("a\nb   c") == "a b c"
    assert excerpt("x" * 200, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("selection", "embeddings", "message"),
    [
        (selection_of("p0", "q"), np.eye(2), "1 of 2 picks are not in the pool, e.g. q"),
        (selection_of("p0", "p0"), np.eye(2), "each pick once and one at least; got 2 rows of 1"),
        (selection_of(), np.eye(2), "one at least; got 0 rows"),
        (selection_of("p0"), np.eye(3), "embeddings must have a row for each of the pool's 2 prompts"),
        (selection_of("p0"), np.array([[1.0, 0], [np.nan, 1]]), "Every embedding must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(selection, embeddings, message):
    with pytest.raises(ValueError, match=message):
        make_cards(pool_of(["a", "b"]), embeddings, selection)
