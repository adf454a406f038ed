"""Group ``diagnostics``: what to set before annotation: embeddings, kernel width, number of clusters."""

from collections.abc import Mapping, Sequence
from typing import Any

from edsel_assets.kinds.deciding import PRODUCTS, price_settings
from edsel_assets.kinds.dimensions import own_clusterings
from edsel_assets.kinds.kind import At, Kind, Parent
from edsel_assets.study import Study

_PLOTS = frozenset({"matplotlib"})


def _own(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    return {"cluster_count": own_clusterings(study)}


def _chosen(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    return {"scorer": [study.quality.scorer]}


def _largest_budget(study: Study, partition: str | None) -> dict[str, Any]:
    return {"selection.budgets: largest": max(study.selection.budgets)}


ROWS = (
    Kind(
        name="embedding_geometry",
        group="diagnostics",
        parents=(Parent("pool", lazy=True), Parent("embeddings", lazy=True)),
        libraries=PRODUCTS,
        tags=_PLOTS,
    ),
    Kind(
        name="kernel_width",
        group="diagnostics",
        parents=(Parent("pool", lazy=True), Parent("embeddings", lazy=True)),
        settings=(
            _largest_budget,
            price_settings,
            "selection.gamma",
            "selection.gammas",
            "selection.normalise",
        ),
        libraries=PRODUCTS,
        code="2",  # 2: the study's own width is among them
        tags=_PLOTS,
    ),
    Kind(
        name="cluster_count",
        group="diagnostics",
        parents=(
            Parent("pool", lazy=True),
            Parent("embeddings", lazy=True),
            Parent("clusters", keys=_own, many=True),
        ),
        settings=("clustering.seed",),
        libraries=PRODUCTS,
        tags=_PLOTS,
    ),
    Kind(
        name="cluster_quality",
        group="diagnostics",
        parents=(
            Parent("pool", lazy=True),
            Parent("clusters", keys=_own, many=True),
            Parent("quality_scores", keys=_chosen),
        ),
        settings=("quality.scorer", "quality.threshold", "quality.threshold_quantile"),
        tags=_PLOTS,
    ),
)
