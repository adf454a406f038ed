"""Which prompts are worth annotating. Runs without Dagster.

Names are imported when first used, so that reading the table of strategies imports no numpy. No
module has the name of a function here: once imported it would stand in the function's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edsel_assets.selection.cluster_sampling import cluster_budgets, sample_clusters, update_weights
    from edsel_assets.selection.clusters import Clusters, kmeans
    from edsel_assets.selection.diagnostics import (
        Coverage,
        Overlap,
        SampledSilhouette,
        TaskCount,
        coverage,
        elbow,
        elbow_point,
        low_quality_share,
        overlap,
        silhouette,
        silhouette_sampled,
        task_counts,
    )
    from edsel_assets.selection.facility import facility_location
    from edsel_assets.selection.farthest_first import k_center
    from edsel_assets.selection.kernel_width import auto_gamma, gain_curves, kept_share, usable_gamma
    from edsel_assets.selection.quality_diversity import deita, qdit
    from edsel_assets.selection.ranking import Ranking
    from edsel_assets.selection.scores import random_subset, top_scores
    from edsel_assets.selection.strategies import STRATEGIES, Signals, Strategy, StrategyOptions

_MODULES = {
    "Clusters": "clusters",
    "Coverage": "diagnostics",
    "Overlap": "diagnostics",
    "Ranking": "ranking",
    "STRATEGIES": "strategies",
    "SampledSilhouette": "diagnostics",
    "Signals": "strategies",
    "Strategy": "strategies",
    "StrategyOptions": "strategies",
    "TaskCount": "diagnostics",
    "auto_gamma": "kernel_width",
    "cluster_budgets": "cluster_sampling",
    "coverage": "diagnostics",
    "deita": "quality_diversity",
    "elbow": "diagnostics",
    "elbow_point": "diagnostics",
    "facility_location": "facility",
    "gain_curves": "kernel_width",
    "k_center": "farthest_first",
    "kept_share": "kernel_width",
    "kmeans": "clusters",
    "low_quality_share": "diagnostics",
    "overlap": "diagnostics",
    "qdit": "quality_diversity",
    "random_subset": "scores",
    "sample_clusters": "cluster_sampling",
    "silhouette": "diagnostics",
    "silhouette_sampled": "diagnostics",
    "task_counts": "diagnostics",
    "top_scores": "scores",
    "update_weights": "cluster_sampling",
    "usable_gamma": "kernel_width",
}

__all__ = [
    "STRATEGIES",
    "Clusters",
    "Coverage",
    "Overlap",
    "Ranking",
    "SampledSilhouette",
    "Signals",
    "Strategy",
    "StrategyOptions",
    "TaskCount",
    "auto_gamma",
    "cluster_budgets",
    "coverage",
    "deita",
    "elbow",
    "elbow_point",
    "facility_location",
    "gain_curves",
    "k_center",
    "kept_share",
    "kmeans",
    "low_quality_share",
    "overlap",
    "qdit",
    "random_subset",
    "sample_clusters",
    "silhouette",
    "silhouette_sampled",
    "task_counts",
    "top_scores",
    "update_weights",
    "usable_gamma",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
