"""Group ``report``: what each strategy saves against the control."""

from typing import Any

from edsel_assets.kinds.dimensions import in_rounds, that_need
from edsel_assets.kinds.kind import Kind, Parent
from edsel_assets.selection.strategy import CLUSTERS
from edsel_assets.study import Study


def _metrics(study: Study, partition: str | None) -> dict[str, Any]:
    return {f"evaluation.tasks.{task.shown}.metric": task.metric for task in study.evaluation.tasks}


def _prices(study: Study, partition: str | None) -> dict[str, Any]:
    """What says how much the answers of a trial cost; see ``trial_costs``."""
    rule = study.annotation
    by_length = ("per_thousand_prompt", "per_thousand_response") if rule.price_by == "length" else ()
    return {f"annotation.{name}": getattr(rule, name) for name in ("price_by", *by_length)}


def by_clusters(study: Study) -> dict[str, dict[str, int]]:
    """Of each strategy that is there at three numbers of clusters or more: its variants and their numbers."""
    found: dict[str, dict[str, int]] = {}
    for name in that_need(study, CLUSTERS):
        if not study.strategy(name).iterative and study.embeddings_of(name) is None:
            variant = study.selection.variants.get(name)
            of = found.setdefault(variant.strategy if variant else name, {})
            of[name] = int(study.clustering_of(name))
    return {strategy: names for strategy, names in found.items() if len(set(names.values())) > 2}


def _scored_rounds(study: Study, number: int) -> range:
    return range(1, study.rounds.rounds)


_PLOTTED = frozenset({"pandas", "matplotlib"})

ROWS = (
    Kind(
        name="score_by_clusters",
        group="report",
        parents=(Parent("cluster_count"), Parent("benchmark_scores", optional=True)),
        settings=(_metrics, "report.average"),
        there=lambda study: bool(by_clusters(study)),
        before=("metrics",),
        tags=_PLOTTED,
        make="edsel_assets.stages.evaluation.curves:score_by_clusters",
        summary="Score by number of clusters, with silhouette and elbow (Yu et al. 2024, Figure 3).",
    ),
    Kind(
        name="score_by_round",
        group="report",
        parents=(
            Parent("benchmark_scores", optional=True),
            Parent("round_scores", rounds=_scored_rounds, optional=True),
        ),
        settings=(_metrics, "report.average", "rounds.rounds"),
        there=lambda study: bool(in_rounds(study)) and study.rounds.score,
        before=("metrics",),
        tags=_PLOTTED,
        make="edsel_assets.stages.evaluation.curves:score_by_round",
        summary="Score after each round, by scorer of rounds (Yu et al. 2024, Figure 2 and Table 7).",
    ),
    Kind(
        name="label_efficiency",
        group="report",
        parents=(
            Parent("base_scores"),
            Parent("benchmark_scores", optional=True),
            Parent("orders"),
            Parent("purchases"),
            Parent("held_out_weights", many=True),
            Parent("win_rates", optional=True),
            Parent("pool", lazy=True),
            Parent("training_sets", optional=True, lazy=True),
        ),
        settings=(_metrics, "report.control", "report.average", _prices),
        # 2: what was bought is a section of it; 3: one task has no average, a judge's reference no win rate;
        # 4: intervals by Welch; 5: a task at two shot counts counts once in the average
        # 6: the curve bends and its error counts, a noisy strategy has its own spread, single subsets are
        # told, likely savings by the false discovery rate, savings by cost
        code="6",
        before=("metrics",),
        tags=frozenset({"pandas", "matplotlib"}),
    ),
)
