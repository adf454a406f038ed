"""Which prompts are worth annotating. Runs without Dagster, and imports torch only when it is needed."""

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
from edsel_assets.selection.facility_location import facility_location
from edsel_assets.selection.k_center import k_center
from edsel_assets.selection.kernel_width import auto_gamma, gain_curves, kept_share, usable_gamma
from edsel_assets.selection.quality_diversity import deita, qdit
from edsel_assets.selection.ranking import Ranking
from edsel_assets.selection.strategies import STRATEGIES, Signals, Strategy, StrategyOptions
from edsel_assets.selection.top_scores import random_subset, top_scores

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
