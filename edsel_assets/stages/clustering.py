"""Clusters of the pool, and the diagnostics that help to choose how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.selection import Clusters, kmeans, low_quality_share, silhouette_sampled
from edsel_assets.stages.inputs import clusters_of, column, embedding_matrix
from edsel_assets.study import Study

_SILHOUETTE_SAMPLE = 10_000


def cluster_pool(study: Study, pool: pa.Table, embeddings: pa.Table, count: int) -> tuple[pa.Table, Clusters]:
    """``prompt_id, cluster, distance`` and the clustering itself."""
    settings = study.clustering
    if count > pool.num_rows:
        raise ValueError(
            f"clustering.counts has {count} clusters for a pool of {pool.num_rows} prompts; lower it."
        )
    found = kmeans(
        embedding_matrix(embeddings, pool["prompt_id"]),
        count,
        seed=settings.seed,
        nredo=settings.restarts,
        niter=settings.iterations,
        tie_break=pool["prompt_id"].to_numpy().astype(str),
        device=study.model.device,
    )
    table = pa.table(
        {
            "prompt_id": pool["prompt_id"],
            "cluster": found.labels.astype(np.int32),
            "distance": found.distances.astype(np.float32),
        }
    )
    return table, found


def compare_counts(
    pool: pa.Table, embeddings: pa.Table, clusterings: Mapping[int, Any], seed: int
) -> pa.Table:
    """``clusters, inertia, silhouette, silhouette_stderr`` by number of clusters, ascending.

    The silhouette is exact up to 10,000 prompts, and from that many sampled ones beyond.
    """
    ids = pool["prompt_id"]
    matrix = embedding_matrix(embeddings, ids)
    rows = []
    for count, clustering in sorted(clusterings.items()):
        found = clusters_of(clustering, ids)
        value, error = silhouette_sampled(
            matrix,
            found.labels,
            sample=min(len(matrix), _SILHOUETTE_SAMPLE),
            seed=seed,
            tie_break=ids.to_numpy().astype(str),
        )
        rows.append(
            {"clusters": count, "inertia": found.inertia, "silhouette": value, "silhouette_stderr": error}
        )
    return pa.Table.from_pylist(rows)


def poor_clusters(
    pool: pa.Table, clusterings: Mapping[int, Any], quality: pa.Table, threshold: float
) -> pa.Table:
    """``clusters, poor, share``: clusters whose mean quality is under ``threshold`` (Figure 4)."""
    ids = pool["prompt_id"]
    scores = column(quality, "quality", ids, "quality_scores")
    rows = []
    for count, clustering in sorted(clusterings.items()):
        labels = clusters_of(clustering, ids).labels
        share = float(low_quality_share(labels, scores, threshold=threshold))
        rows.append({"clusters": count, "poor": round(share * len(np.unique(labels))), "share": share})
    return pa.Table.from_pylist(rows)
