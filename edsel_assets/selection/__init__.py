"""Which prompts are worth annotating. Runs without Dagster.

Names are imported when first used, so that reading the table of strategies imports no numpy. No
module has the name of a function here: once imported it would stand in the function's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edsel_assets.selection.clustering.cluster_count import elbow, elbow_point
    from edsel_assets.selection.clustering.kmeans import Clusters, kmeans
    from edsel_assets.selection.clustering.sampling import cluster_budgets, sample_clusters, update_weights
    from edsel_assets.selection.clustering.silhouette import SampledSilhouette, silhouette, silhouette_sampled
    from edsel_assets.selection.core.ranking import Ranking
    from edsel_assets.selection.core.scale import auto_gamma
    from edsel_assets.selection.diagnostics import (
        Coverage,
        Overlap,
        coverage,
        low_quality_share,
        overlap,
    )
    from edsel_assets.selection.facility.greedy import NarrowKernel, facility_location
    from edsel_assets.selection.facility.kernel_width import gain_curves, kept_share, usable_gamma
    from edsel_assets.selection.farthest_first import k_center
    from edsel_assets.selection.quality_diversity import deita, qdit
    from edsel_assets.selection.scores import random_subset, top_scores
    from edsel_assets.selection.strategies import STRATEGIES
    from edsel_assets.selection.strategy import Signals, Strategy, StrategyOptions
    from edsel_assets.selection.targets.demand import Demand, demand_from_queries, demand_from_tasks
    from edsel_assets.selection.targets.nearest import nearest
    from edsel_assets.selection.targets.quotas import task_diversity
    from edsel_assets.selection.targets.variance_reduction import variance_reduction

_MODULES = {
    "Clusters": "clustering.kmeans",
    "Coverage": "diagnostics",
    "Demand": "targets.demand",
    "NarrowKernel": "facility.greedy",
    "Overlap": "diagnostics",
    "Ranking": "core.ranking",
    "STRATEGIES": "strategies",
    "SampledSilhouette": "clustering.silhouette",
    "Signals": "strategy",
    "Strategy": "strategy",
    "StrategyOptions": "strategy",
    "auto_gamma": "core.scale",
    "cluster_budgets": "clustering.sampling",
    "coverage": "diagnostics",
    "deita": "quality_diversity",
    "demand_from_queries": "targets.demand",
    "demand_from_tasks": "targets.demand",
    "elbow": "clustering.cluster_count",
    "elbow_point": "clustering.cluster_count",
    "facility_location": "facility.greedy",
    "gain_curves": "facility.kernel_width",
    "k_center": "farthest_first",
    "kept_share": "facility.kernel_width",
    "kmeans": "clustering.kmeans",
    "low_quality_share": "diagnostics",
    "nearest": "targets.nearest",
    "overlap": "diagnostics",
    "qdit": "quality_diversity",
    "random_subset": "scores",
    "sample_clusters": "clustering.sampling",
    "silhouette": "clustering.silhouette",
    "silhouette_sampled": "clustering.silhouette",
    "task_diversity": "targets.quotas",
    "top_scores": "scores",
    "update_weights": "clustering.sampling",
    "usable_gamma": "facility.kernel_width",
    "variance_reduction": "targets.variance_reduction",
}

__all__ = [
    "STRATEGIES",
    "Clusters",
    "Coverage",
    "Demand",
    "NarrowKernel",
    "Overlap",
    "Ranking",
    "SampledSilhouette",
    "Signals",
    "Strategy",
    "StrategyOptions",
    "auto_gamma",
    "cluster_budgets",
    "coverage",
    "deita",
    "demand_from_queries",
    "demand_from_tasks",
    "elbow",
    "elbow_point",
    "facility_location",
    "gain_curves",
    "k_center",
    "kept_share",
    "kmeans",
    "low_quality_share",
    "nearest",
    "overlap",
    "qdit",
    "random_subset",
    "sample_clusters",
    "silhouette",
    "silhouette_sampled",
    "task_diversity",
    "top_scores",
    "update_weights",
    "usable_gamma",
    "variance_reduction",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
