"""Group ``diagnostics``: what to set before annotation: embeddings, kernel width, number of clusters."""

from collections.abc import Mapping, Sequence
from typing import Any

from edsel_assets.kinds.deciding import PRODUCTS, price_settings
from edsel_assets.kinds.dimensions import own_clusterings, that_need
from edsel_assets.kinds.kind import At, Kind, Parent, device
from edsel_assets.selection.strategy import CLUSTERS, QUALITY
from edsel_assets.study import Study

_PLOTS = frozenset({"matplotlib"})


def _own(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    return {"cluster_count": own_clusterings(study)}


def _chosen(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    return {"scorer": [study.quality.scorer]}


def _reads_width(study: Study, at: At) -> bool:
    return any("selection.gamma" in study.strategy(name).settings for name in study.selection.names)


def _clusters(study: Study, at: At) -> bool:
    return bool(that_need(study, CLUSTERS))


def _clusters_by_quality(study: Study, at: At) -> bool:
    return bool(that_need(study, CLUSTERS, QUALITY))


def _largest_budget(study: Study, partition: str | None) -> dict[str, Any]:
    return {"selection.budgets: largest": max(study.selection.budgets)}


ROWS = (
    Kind(
        name="embedding_geometry",
        group="diagnostics",
        selecting=True,
        parents=(Parent("pool", lazy=True), Parent("embeddings", lazy=True)),
        libraries=PRODUCTS,
        device=device,
        tags=_PLOTS,
        make="edsel_assets.stages.vectors.geometry:embedding_geometry",
        summary="How embeddings lie before and after their transform: cone, effective dimension, twins.",
    ),
    Kind(
        name="kernel_width",
        group="diagnostics",
        alone=_reads_width,
        parents=(Parent("pool", lazy=True), Parent("embeddings", lazy=True)),
        settings=(
            _largest_budget,
            price_settings,
            "selection.gamma",
            "selection.gammas",
            "selection.normalise",
        ),
        libraries=PRODUCTS,
        device=device,
        code="2",  # 2: the study's own width is among them
        tags=_PLOTS,
        make="edsel_assets.stages.diagnostics:kernel_width",
        summary="Gain of each further prompt for several kernel widths (Bhatt et al. 2024, Figure 3).",
    ),
    Kind(
        name="cluster_count",
        group="diagnostics",
        alone=_clusters,
        parents=(
            Parent("pool", columns=("prompt_id",)),
            Parent("embeddings"),
            Parent("clusters", keys=_own, many=True),
        ),
        settings=("clustering.seed",),
        libraries=PRODUCTS,
        code="2",  # 2: distances by PyTorch, on the study's device
        device=device,
        tags=_PLOTS,
        make="edsel_assets.stages.diagnostics:cluster_count",
        summary="Silhouette and inertia by number of clusters (Yu et al. 2024, Figure 3): advice, not proof.",
    ),
    Kind(
        name="embedding_silhouettes",
        group="diagnostics",
        alone=_clusters,
        parents=(
            Parent("pool", columns=("prompt_id",)),
            Parent("cluster_count"),
            Parent("other_embeddings", many=True),
        ),
        settings=(
            "clustering.counts",
            "clustering.seed",
            "clustering.restarts",
            "clustering.iterations",
        ),
        libraries=PRODUCTS,
        code="2",  # 2: as the clusters, and on the study's device
        device=device,
        there=lambda study: bool(study.other_embeddings),
        tags=_PLOTS,
        make="edsel_assets.stages.diagnostics:embedding_silhouettes",
        summary="Silhouette by number of clusters, for each of the embeddings (Yu et al. 2024, Figure 5).",
    ),
    Kind(
        name="cluster_quality",
        group="diagnostics",
        alone=_clusters_by_quality,
        parents=(
            Parent("pool", columns=("prompt_id",)),
            Parent("clusters", keys=_own, many=True),
            Parent("quality_scores", keys=_chosen),
        ),
        settings=("quality.scorer", "quality.threshold", "quality.threshold_quantile"),
        tags=_PLOTS,
        make="edsel_assets.stages.diagnostics:cluster_quality",
        summary="Share of clusters of low mean quality, by number of clusters (Yu et al. 2024, Figure 4).",
    ),
)
