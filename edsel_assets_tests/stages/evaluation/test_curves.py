"""Figures 2, 3 and 5 of Yu et al. 2024, from the paper's own numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.kinds.kind import At
from edsel_assets.kinds.making import Making
from edsel_assets.kinds.rows.report import by_clusters
from edsel_assets.selection import elbow_point, kmeans, silhouette
from edsel_assets.stages.diagnostics import embedding_silhouettes
from edsel_assets.stages.evaluation.curves import score_by_clusters, score_by_round
from edsel_assets.store import Home, embeddings_table
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.rehearsal.test_scaled import shipped
from edsel_assets_tests.report.test_paper_tables import TABLE_2, TABLE_5, scores

#: Yu et al. 2024, Table 5.
COUNTS = [64, 128, 256, 512, 1024, 2048, 4096, 8192]
SILHOUETTES = [17.4, 15.6, 14.1, 16.8, 18.2, 20.3, 20.0, 18.7]
ROWS = TABLE_5 | {
    "kmq_2048": (46.0, 20.2, 82.1, 55.5, 45.0, 37.2, 47.7),
    "kmq_8192": (44.1, 13.6, 78.9, 54.2, 41.6, 31.8, 44.0),
}
#: Table 7: rounds 2 and 3 by reward; Table 2's random.
BY_REWARD = {2: (44.7, 15.8, 80.1, 54.7, 45.2, 30.8), 3: (46.1, 18.4, 80.1, 56.0, 46.3, 34.3)}


def making(study: Study) -> Making:
    return Making(study, Home(Path("nowhere")), At(), lambda: (None, None), lambda done, of: None)


def trials(rows: dict[str, Any], seeds: int = 2) -> dict[str, pa.Table]:
    """Scores of so many trials of each, a tenth of a point apart."""
    return {
        f"10000|{name}.s{seed}": scores(tuple(np.add(row[:6], 0.2 * seed - 0.1)), 0.9).table
        for name, row in rows.items()
        for seed in range(seeds)
    }


def test_figure_3_from_table_5() -> None:
    study = shipped("yu2024_clusters")
    assert {name: len(of) for name, of in by_clusters(study).items()} == {
        "kmq": 8,
        "km_random": 8,
        "km_closest": 8,
    }
    inertia = [8.0, 7.0, 6.1, 5.3, 4.9, 4.6, 4.4, 4.3]
    columns = {"clusters": COUNTS, "inertia": inertia, "silhouette": SILHOUETTES}
    geometry = pa.table({**columns, "silhouette_stderr": [0.1] * 8})
    made = score_by_clusters(making(study), geometry, trials(ROWS))
    rows = made.table.to_pylist()
    assert [(r["strategy"], r["clusters"], r["n"]) for r in rows] == [("kmq", count, 2) for count in COUNTS]
    paper = [ROWS[f"kmq_{count}"][-1] for count in COUNTS]
    assert [100 * r["score"] for r in rows] == pytest.approx(paper, abs=0.0501)
    assert made.shown["best_kmq"].endswith("at 2,048 clusters")
    assert made.shown["elbow"] == elbow_point(dict(zip(COUNTS, inertia, strict=True)))
    expected = np.corrcoef([r["score"] for r in rows], SILHOUETTES)[0, 1]
    assert made.shown["correlation_with_silhouette_kmq"] == pytest.approx(expected)
    assert 0.4 < expected < 0.6  # the paper's own table: a weak sign
    assert made.shown["scores"].startswith(b"\x89PNG")


def test_figure_2_from_table_7() -> None:
    study = shipped("yu2024")
    name = "iterative_kmq_reward"
    rounds = {"scores_1": trials({name: TABLE_2["random"]}), "scores_2": trials({name: BY_REWARD[2]})}
    last = trials({name: BY_REWARD[3], "random": TABLE_2["random"], "kmq": TABLE_2["kmq"]})
    made = score_by_round(making(study), last, **rounds)
    found = {(r["strategy"], r["round"]): 100 * r["score"] for r in made.table.to_pylist()}
    assert found == {
        (name, 1): pytest.approx(43.75),
        (name, 2): pytest.approx(45.2, abs=0.0501),
        (name, 3): pytest.approx(46.9, abs=0.0501),
        ("random", 0): pytest.approx(43.75),
        ("kmq", 0): pytest.approx(46.2, abs=0.0501),
    }
    assert made.shown["scores"].startswith(b"\x89PNG")


def test_a_study_without_tasks_has_its_held_out_prompts() -> None:
    study = tiny_study(evaluation={"tasks": []}, rounds={"score": True})
    table = pa.table(
        {"task": ["held_out"], "metric": ["token_mean"], "value": [-2.0], "stderr": [0.1], "n": [8]}
    )
    made = score_by_round(making(study), {"00010|iterative_kmq_perplexity.s0": table})
    (row,) = made.table.to_pylist()
    assert (row["strategy"], row["budget"], row["round"], row["n"]) == ("iterative_kmq_perplexity", 10, 2, 1)
    assert row["score"] == -2.0
    assert row["se"] is None or np.isnan(row["se"])  # of one trial


def test_where_no_trial_is_scored_yet_nothing_is_drawn() -> None:
    columns = {"clusters": COUNTS, "inertia": [9.0 - i for i in range(8)], "silhouette": SILHOUETTES}
    geometry = pa.table({**columns, "silhouette_stderr": [0.1] * 8})
    for made in (
        score_by_clusters(making(shipped("yu2024_clusters")), geometry, {}),
        score_by_round(making(shipped("yu2024")), {}, scores_1={}),
    ):
        assert made.shown["note"] == "No trial that it compares is scored yet."
        assert "scores" not in made.shown


def test_the_silhouette_of_each_of_the_embeddings() -> None:
    draw = np.random.default_rng(0)
    ids = [f"p{i:02d}" for i in range(40)]
    vectors = draw.normal(size=(40, 4)).astype(np.float32)
    study = tiny_study(clustering={"counts": [2, 3], "count": 2})
    own = pa.table({"clusters": [2, 3], "inertia": [1.0, 0.5], "silhouette": [0.2, 0.1],
                    "silhouette_stderr": [0.0, 0.0]})  # fmt: skip
    pool = pa.table({"prompt_id": ids})
    made = embedding_silhouettes(making(study), pool, own, {"other": embeddings_table(ids, vectors)})
    rows = made.table.to_pylist()
    assert [(r["embeddings"], r["clusters"]) for r in rows] == [
        ("own", 2), ("own", 3), ("other", 2), ("other", 3)
    ]  # fmt: skip
    for row in rows[2:]:
        found = kmeans(vectors, row["clusters"], seed=42, niter=10, tie_break=np.array(ids))
        assert row["silhouette"] == pytest.approx(silhouette(vectors, found.labels), abs=1e-6)
    assert made.shown["curves"].startswith(b"\x89PNG")
