"""What to set before annotation: kernel width, number of clusters, and their quality.

Bhatt et al. 2024, Section 4.4 and Figure 3; Yu et al. 2024, Figures 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from edsel_assets.kinds.making import Made, Making
from edsel_assets.selection import (
    Clusters,
    auto_gamma,
    gain_curves,
    low_quality_share,
    silhouette_sampled,
    usable_gamma,
)
from edsel_assets.stages.inputs import clusters_of, column, embedding_matrix, money_prices
from edsel_assets.study import Study

_SILHOUETTE_SAMPLE = 10_000


class TableWithArrays(NamedTuple):
    """A clustering as it is stored."""

    table: pa.Table
    arrays: Mapping[str, np.ndarray]


_POINTS = 200


def kernel_width(making: Making, pool: Any, embeddings: Any) -> Made:
    """Gain of each further prompt for several kernel widths."""
    from edsel_assets.report.plots import gain_curves as picture

    study = making.study
    curves, usable, chosen = widths(study, pool.read(["prompt_id"]), embeddings.read(), pool.read)
    largest = max(usable) if usable else "none: all saturate before the budget"
    gains = picture(curves, budget=largest_count(study, pool.show), usable=usable, chosen=chosen)
    return Made(gain_table(curves), {"gamma": chosen, "largest_unsaturated": largest, "gains": gains})


def cluster_count(making: Making, pool: pa.Table, embeddings: pa.Table, clusters: Mapping[str, Any]) -> Made:
    """Silhouette and inertia by number of clusters."""
    from edsel_assets.report.plots import cluster_counts

    settings, device = making.study.clustering, making.study.model.device
    table = compare_counts(pool, embeddings, {int(k): v for k, v in clusters.items()}, settings.seed, device)
    columns = (table[name].to_pylist() for name in ("clusters", "silhouette", "inertia"))
    curve = cluster_counts(*columns, chosen=settings.chosen)
    return Made(table, {"curve": curve, "preview": table})


def embedding_silhouettes(
    making: Making, pool: pa.Table, cluster_count: pa.Table, other_embeddings: Mapping[str, pa.Table]
) -> Made:
    """Silhouette by number of clusters, for the study's own embeddings and each of the others."""
    from edsel_assets.report.plots import silhouettes as picture

    study, found = making.study, [_named("own", cluster_count)]
    how = study.clustering.seed, study.model.device
    for done, (name, table) in enumerate(sorted(other_embeddings.items())):
        making.progress(done, len(other_embeddings))
        clusterings = {n: _clustering(study, pool, table, n) for n in sorted(study.clustering.counts)}
        found.append(_named(name, compare_counts(pool, table, clusterings, *how)))
    joined = pa.concat_tables(found)
    return Made(joined, {"curves": picture(joined.to_pandas()), "preview": joined})


def _clustering(study: Study, pool: pa.Table, embeddings: pa.Table, count: int) -> TableWithArrays:
    from edsel_assets.stages.signals import cluster_pool

    table, found = cluster_pool(study, pool, embeddings, count)
    return TableWithArrays(table, {"centroids": found.centroids})


def _named(name: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "embeddings", pa.array([name] * table.num_rows, pa.string()))


def cluster_quality(
    making: Making, pool: pa.Table, clusters: Mapping[str, Any], quality_scores: pa.Table
) -> Made:
    """Share of clusters of low mean quality, by number of clusters."""
    from edsel_assets.report.plots import low_quality_share as picture
    from edsel_assets.stages.scoring.quality import poor_below

    below = poor_below(making.study, quality_scores)
    table = poor_clusters(pool, {int(k): v for k, v in clusters.items()}, quality_scores, below)
    share = picture(table["clusters"].to_pylist(), table["share"].to_pylist(), threshold=below)
    scorer = making.study.quality.scorer
    return Made(table, {"scorer": scorer, "threshold": below, "share": share, "preview": table})


def widths(
    study: Study, pool: pa.Table, embeddings: pa.Table, read: Callable[[list[str]], pa.Table]
) -> tuple[dict[float, np.ndarray], list[float], float]:
    """Gain curves by width, the widths not saturated at the budget, and the one that the study takes.

    Args:
        read: columns -> the pool's table, read where budgets are money.
    """
    ids, chosen = pool["prompt_id"], study.selection
    limit, matrix = chosen.memory_limit_gib, embedding_matrix(embeddings, ids)
    own = chosen.gamma
    if isinstance(own, str):  # auto
        own = auto_gamma(matrix, normalise=chosen.normalise, device=study.model.device)
    curves = gain_curves(
        matrix,
        sorted({*chosen.gammas, own}),
        largest_count(study, read),
        normalise=chosen.normalise,
        tie_break=ids.to_numpy().astype(str),
        engine=chosen.engine,
        memory_limit=None if limit is None else int(limit * 2**30),
        device=study.model.device,
    )
    usable = [gamma for gamma, gains in curves.items() if usable_gamma({gamma: gains}) is not None]
    return curves, usable, own


def largest_count(study: Study, read: Callable[[list[str]], pa.Table]) -> int:
    """Prompts of the largest budget; of money, as many as it buys at the mean price."""
    from edsel_assets.selection.money.spending import typical_count

    prices = money_prices(study, read)
    largest = max(study.selection.budgets)
    return largest if prices is None else typical_count(prices, largest, len(prices))


def gain_table(curves: Mapping[float, np.ndarray]) -> pa.Table:
    """``gamma, rank, gain`` at up to 200 ranks per width, evenly spaced, first and last among them."""
    rows = []
    for gamma, gains in curves.items():
        for rank in np.unique(np.linspace(0, len(gains) - 1, _POINTS).astype(int)):
            rows.append({"gamma": gamma, "rank": int(rank), "gain": float(gains[rank])})
    return pa.Table.from_pylist(rows)


def compare_counts(
    pool: pa.Table, embeddings: pa.Table, clusterings: Mapping[int, Any], seed: int, device: str
) -> pa.Table:
    """``clusters, inertia, silhouette, silhouette_stderr`` by number of clusters, ascending.

    The silhouette is exact up to 10,000 prompts, and from that many sampled ones beyond.
    """
    ids = pool["prompt_id"]
    matrix = embedding_matrix(embeddings, ids)
    rows = []
    for found in _different(clusterings, ids):
        value, error = silhouette_sampled(
            matrix,
            found.labels,
            sample=min(len(matrix), _SILHOUETTE_SAMPLE),
            seed=seed,
            tie_break=ids.to_numpy().astype(str),
            device=device,
        )
        sharpness = {"silhouette": value, "silhouette_stderr": error}
        rows.append({"clusters": len(found.centroids), "inertia": found.inertia, **sharpness})
    return pa.Table.from_pylist(rows)


def poor_clusters(
    pool: pa.Table, clusterings: Mapping[int, Any], quality: pa.Table, threshold: float
) -> pa.Table:
    """``clusters, poor, share``: clusters whose mean quality is under ``threshold`` (Figure 4)."""
    ids = pool["prompt_id"]
    scores = column(quality, "quality", ids, "quality_scores")
    rows = []
    for found in _different(clusterings, ids):
        share = float(low_quality_share(found.labels, scores, threshold=threshold))
        poor = round(share * len(np.unique(found.labels)))
        rows.append({"clusters": len(found.centroids), "poor": poor, "share": share})
    return pa.Table.from_pylist(rows)


def _different(clusterings: Mapping[int, Any], ids: pa.ChunkedArray) -> list[Clusters]:
    """One of each number of clusters, ascending: a small pool has less of them than was asked for."""
    found = (clusters_of(clustering, ids) for _, clustering in sorted(clusterings.items()))
    return list({len(each.centroids): each for each in found}.values())
