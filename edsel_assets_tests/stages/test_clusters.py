"""Numbers of clusters against the size of the pool: those by default follow it, those of the study do not."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.planning import preflight
from edsel_assets.stages.diagnostics import compare_counts
from edsel_assets.stages.signals import cluster_pool
from edsel_assets.store import embeddings_table
from edsel_assets.study.signals import ClusteringSettings
from edsel_assets_tests.defs.conftest import tiny_study

IDS = [f"{i:032x}" for i in range(40)]
DEFAULT = {"counts": [64, 256, 1024], "count": None}


@pytest.fixture(scope="module")
def pool() -> tuple[pa.Table, pa.Table]:
    matrix = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    return pa.table({"prompt_id": IDS}), embeddings_table(IDS, matrix)


@pytest.mark.parametrize(
    ("counts", "asked", "prompts", "made"),
    [
        ([64, 256, 1024], 64, 40, 20),
        ([64, 256, 1024], 64, 128, 64),
        ([64, 256, 1024], 1024, 1, 1),
        ([4, 30], 30, 40, 30),
    ],
)
def test_only_the_default_counts_are_cut_to_half_the_pool(counts, asked, prompts, made) -> None:
    assert ClusteringSettings(counts=counts).made(asked, prompts) == made


def test_a_small_pool_gets_fewer_clusters_and_they_are_compared_once(pool) -> None:
    table, embeddings = pool
    study = tiny_study(clustering=DEFAULT)
    found = {count: cluster_pool(study, table, embeddings, count) for count in (64, 256)}
    assert [len(clusters.centroids) for _, clusters in found.values()] == [20, 20]
    clusterings = {
        count: SimpleNamespace(table=rows, arrays={"centroids": clusters.centroids})
        for count, (rows, clusters) in found.items()
    }
    assert compare_counts(table, embeddings, clusterings, 0, "cpu")["clusters"].to_pylist() == [20]


def test_a_count_of_the_study_that_the_pool_cannot_hold_is_still_refused(pool) -> None:
    table, embeddings = pool
    with pytest.raises(ValueError, match="has 41 clusters for a pool of 40 prompts"):
        cluster_pool(tiny_study(clustering={"counts": [41], "count": 41}), table, embeddings, 41)


def test_the_planner_refuses_what_would_fail_and_no_default(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(preflight, "_prompts", lambda *_: 40)

    def said(**clustering) -> list[str]:
        study = tiny_study(clustering={**DEFAULT, **clustering})
        return list(preflight.CHECKS["cluster counts"](study, tmp_path, set()))

    assert said() == []
    assert said(counts=[41]) == ["clustering.counts: 41 exceeds the 40 prompts of the pool. Lower it."]
