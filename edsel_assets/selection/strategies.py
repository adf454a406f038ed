"""The table of selection strategies that everything else is derived from.

One row per strategy: its function, the signals and settings it reads, and whether its ranking is nested or
stochastic. Partition keys, partition mappings, what makes a ranking stale, and documentation come from
``STRATEGIES``: a new strategy is one row more. The table is read wherever the graph is loaded, so it
imports neither numpy nor an algorithm until one runs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from edsel_assets.selection.strategy import (
    CLUSTERS,
    DEMAND,
    EMBEDDINGS,
    LENGTHS,
    QUALITY,
    QUERIES,
    TASKS,
    UNCERTAINTY,
    Signals,
    Strategy,
    StrategyOptions,
    need,
)

if TYPE_CHECKING:
    import numpy as np

    from edsel_assets.selection.clustering.sampling import Rule
    from edsel_assets.selection.core.ranking import Ranking


def _random(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.scores import random_subset

    ids = signals.prompt_ids
    return random_subset(len(ids), budget, seed=options.seed, exclude=signals.selected, tie_break=ids)


def _random_target(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.scores import random_subset

    ids, demand = signals.prompt_ids, need(signals.demand, "demand")
    seed, taken = options.seed, signals.selected
    return random_subset(len(ids), budget, seed=seed, exclude=taken, tie_break=ids, demand=demand)


def _longest(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.scores import top_scores

    lengths = need(signals.lengths, "lengths")
    return top_scores(lengths, budget, exclude=signals.selected, tie_break=signals.prompt_ids)


def _nearest(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.targets.nearest import nearest

    return nearest(
        need(signals.embeddings, "embeddings"),
        need(signals.queries, "queries"),
        budget,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        device=options.device,
    )


def _variance_reduction(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.targets.variance_reduction import variance_reduction

    return variance_reduction(
        need(signals.embeddings, "embeddings"),
        budget,
        queries=signals.queries,
        demand=None if signals.queries is not None else signals.demand,
        noise=options.noise,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        device=options.device,
        progress=options.progress,
    )


def _task_diversity(
    signals: Signals, budget: int, options: StrategyOptions, confidence: np.ndarray | None = None
) -> Ranking:
    from edsel_assets.selection.targets.quotas import task_diversity

    groups = signals.tasks
    if groups is None and signals.clusters is not None:
        groups = signals.clusters.labels
    return task_diversity(
        need(groups, "tasks"),
        budget,
        confidence=confidence,
        seed=options.seed,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
    )


def _weighted_task_diversity(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    # The score is minus the mean probability of the greedy tokens.
    return _task_diversity(signals, budget, options, -need(signals.uncertainty, "uncertainty"))


def _uncertain(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.money.spending import top_worth
    from edsel_assets.selection.scores import top_scores

    scores, ids = need(signals.uncertainty, "uncertainty"), signals.prompt_ids
    if signals.prices is not None:
        return top_worth(scores, signals.prices, budget, exclude=signals.selected, tie_break=ids)
    return top_scores(scores, budget, exclude=signals.selected, tie_break=ids)


def _k_center(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.farthest_first import k_center

    return k_center(
        need(signals.embeddings, "embeddings"),
        budget,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        seed_point=options.seed_point,
        seed=options.seed,
        normalise=options.k_center_normalise,
        device=options.device,
        progress=options.progress,
    )


def _facility_location(
    signals: Signals,
    budget: int,
    options: StrategyOptions,
    kernel: Literal["rbf", "cosine"],
    utility: np.ndarray | None = None,
) -> Ranking:
    from edsel_assets.selection.facility.greedy import facility_location

    return facility_location(
        need(signals.embeddings, "embeddings"),
        budget,
        kernel=kernel,
        gamma=options.gamma,
        utility=utility,
        utility_weight=options.utility_weight,
        demand=signals.demand,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        normalise=options.normalise,
        engine=options.engine,
        memory_limit=options.memory_limit,
        device=options.device,
        prices=signals.prices,
        progress=options.progress,
        begun=options.begun,
    )


def _fl_cosine(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _facility_location(signals, budget, options, "cosine")


def _fl_rbf(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _facility_location(signals, budget, options, "rbf")


def _fl_rbf_min_margin(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    import numpy as np

    # The score is -min(beta1 - beta2), in [-1, 0]. Eq. 4 takes the logarithm of one plus the sum of
    # utilities, so they must not be negative: u = 1 - min margin.
    utility = 1.0 + np.asarray(need(signals.uncertainty, "uncertainty"), dtype=np.float64)
    return _facility_location(signals, budget, options, "rbf", utility)


def _worth(signals: Signals, options: StrategyOptions) -> np.ndarray:
    quality = need(signals.quality, "quality")
    return quality if options.worth == "quality" else quality * need(signals.complexity, "complexity")


def _sample(
    signals: Signals, budget: int, options: StrategyOptions, rule: Rule, weights: np.ndarray | None = None
) -> Ranking:
    from edsel_assets.selection.clustering.sampling import sample_clusters

    return sample_clusters(
        need(signals.clusters, "clusters"),
        budget,
        rule,
        quality=_worth(signals, options) if rule == "quality" else None,
        weights=weights,
        demand=signals.demand if weights is None else None,
        selected=signals.selected,
        replacement=options.replacement and rule == "quality",
        temperature=options.temperature if rule == "quality" else None,
        seed=options.seed,
        tie_break=signals.prompt_ids,
    )


def _km_random(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _sample(signals, budget, options, "random")


def _km_closest(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _sample(signals, budget, options, "closest")


def _kmq(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _sample(signals, budget, options, "quality")


def _kmq_round(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    import numpy as np

    # Algorithm 1 starts from uniform cluster weights.
    weights = signals.cluster_weights
    if weights is None:
        weights = np.ones(len(need(signals.clusters, "clusters").centroids))
    return _sample(signals, budget, options, "quality", weights)


def _deita(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.money import spending
    from edsel_assets.selection.quality_diversity import deita

    complexity, prices = need(signals.complexity, "complexity"), signals.prices
    rank = partial(
        deita,
        need(signals.embeddings, "embeddings"),
        need(signals.quality, "quality"),
        complexity if prices is None else spending.per_price(complexity, prices),
        threshold=options.deita_threshold,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        device=options.device,
        progress=options.progress,
    )
    if prices is None:
        return rank(budget)
    free = len(signals.prompt_ids) - len(signals.selected)
    ranking = spending.in_order(rank, prices, budget, free)
    scores = need(signals.quality, "quality") * complexity
    return replace(ranking, gains=scores[ranking.indices])


def _qdit(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    from edsel_assets.selection.quality_diversity import qdit

    return qdit(
        need(signals.embeddings, "embeddings"),
        _worth(signals, options),
        budget,
        alpha=options.qdit_alpha,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        engine="auto" if options.engine == "apricot" else options.engine,
        memory_limit=options.memory_limit,
        device=options.device,
        prices=signals.prices,
        progress=options.progress,
        begun=options.begun,
        demand=signals.demand,
    )


_BHATT = "Bhatt et al. 2024"
_YU = "Yu et al. 2024"
_UNCERTAINTY_MEASURES = {
    "mean_entropy": "Highest mean entropy over decoding steps.",
    "least_confidence": "Least likely greedy response.",
    "mean_margin": "Smallest mean margin of the two likeliest tokens.",
    "min_margin": "Smallest least margin of the two likeliest tokens.",
}
_DRAWS_BY_QUALITY = (
    "selection.seed",
    "selection.replacement",
    "selection.worth",
    "selection.quality_temperature",
)

_ROUND_SCORERS = {
    "perplexity": "kmq in rounds, clusters reweighted by what the finetuned model learns.",
    "reward": "The same, by a reward model's scores of given and generated answers.",
    "judge": "The same, by a judge's ratings of given and generated answers.",
}

_ROWS = (
    Strategy(
        name="random",
        select=_random,
        paper=_BHATT,
        summary="Uniform without replacement.",
        settings=("selection.seed",),
        stochastic=True,
    ),
    *(
        Strategy(
            name=measure,
            select=_uncertain,
            paper=f"{_BHATT}, Section 3.1",
            summary=summary,
            needs=frozenset({UNCERTAINTY}),
            measure=measure,
            per_price=True,
        )
        for measure, summary in _UNCERTAINTY_MEASURES.items()
    ),
    Strategy(
        name="k_center",
        select=_k_center,
        paper=f"{_BHATT}, Eq. 2",
        summary="Farthest-first traversal.",
        needs=frozenset({EMBEDDINGS}),
        settings=("selection.k_center_normalise", "selection.seed_point", "selection.seed"),
    ),
    Strategy(
        name="fl_cosine",
        select=_fl_cosine,
        paper=f"{_BHATT}, Eq. 3",
        summary="Facility location, cosine similarity.",
        needs=frozenset({EMBEDDINGS}),
        per_price=True,
        aims=True,
    ),
    Strategy(
        name="fl_rbf",
        select=_fl_rbf,
        paper=f"{_BHATT}, Eq. 3",
        summary="Facility location, RBF kernel.",
        needs=frozenset({EMBEDDINGS}),
        settings=("selection.normalise", "selection.gamma"),
        per_price=True,
        aims=True,
    ),
    Strategy(
        name="fl_rbf_min_margin",
        select=_fl_rbf_min_margin,
        paper=f"{_BHATT}, Eq. 4",
        summary="Facility location, RBF kernel, plus the logarithm of summed uncertainty.",
        needs=frozenset({EMBEDDINGS, UNCERTAINTY}),
        settings=("selection.normalise", "selection.gamma", "selection.utility_weight"),
        measure="min_margin",
        per_price=True,
        aims=True,
    ),
    Strategy(
        name="km_random",
        select=_km_random,
        paper=f"{_YU}, Section 3.3",
        summary="k-means, then uniform in each cluster.",
        needs=frozenset({CLUSTERS}),
        settings=("selection.seed",),
        nested=False,
        stochastic=True,
        aims=True,
    ),
    Strategy(
        name="km_closest",
        select=_km_closest,
        paper=f"{_YU}, Section 3.3",
        summary="k-means, then the members closest to each centroid.",
        needs=frozenset({CLUSTERS}),
        nested=False,
        aims=True,
    ),
    Strategy(
        name="kmq",
        select=_kmq,
        paper=f"{_YU}, Eq. 3",
        summary="k-means, then draws by quality in each cluster.",
        needs=frozenset({CLUSTERS, QUALITY}),
        settings=_DRAWS_BY_QUALITY,
        nested=False,
        stochastic=True,
        aims=True,
    ),
    Strategy(
        name="deita",
        select=_deita,
        paper="Liu et al. 2023",
        summary="Best complexity x quality, near-duplicates skipped.",
        needs=frozenset({EMBEDDINGS, QUALITY}),
        settings=("selection.deita_threshold",),
        per_price=True,
    ),
    Strategy(
        name="qdit",
        select=_qdit,
        paper="Bukharin & Zhao 2023",
        summary="Facility location traded against quality.",
        needs=frozenset({EMBEDDINGS, QUALITY}),
        settings=("selection.qdit_alpha", "selection.worth"),
        per_price=True,
        aims=True,
    ),
    Strategy(
        name="random_target",
        select=_random_target,
        paper="Efraimidis & Spirakis 2006",
        summary="Random draws by demand weight: what an aimed strategy must beat.",
        needs=frozenset({DEMAND}),
        settings=("selection.seed",),
        stochastic=True,
        aims=True,
    ),
    Strategy(
        name="nearest",
        select=_nearest,
        paper="Ivison et al. 2025 (RDS+)",
        summary="Nearest to the target's prompts, which take turns.",
        needs=frozenset({EMBEDDINGS, QUERIES}),
        aims=True,
        by_queries=True,
    ),
    Strategy(
        name="variance_reduction",
        select=_variance_reduction,
        paper="Hübotter et al. 2024 (VTL)",
        summary="What leaves the least posterior variance at the target's prompts, or in the pool.",
        needs=frozenset({EMBEDDINGS}),
        settings=("selection.noise",),
        aims=True,
        by_queries=True,
    ),
    Strategy(
        name="task_diversity",
        select=_task_diversity,
        paper="Arabelly et al. 2025",
        summary="The same number of prompts of every task.",
        needs=frozenset({TASKS}),
        settings=("selection.seed", "selection.quotas_by"),
        stochastic=True,
    ),
    Strategy(
        name="weighted_task_diversity",
        select=_weighted_task_diversity,
        paper="Arabelly et al. 2025",
        summary="More prompts of the tasks that the model is less confident in.",
        needs=frozenset({TASKS, UNCERTAINTY}),
        settings=("selection.seed", "selection.quotas_by"),
        measure="mean_probability",
        nested=False,
        stochastic=True,
    ),
    Strategy(
        name="longest",
        select=_longest,
        paper="Xia et al. 2024",
        summary="Longest answers first, or prompts where no answers are known: what length alone does.",
        needs=frozenset({LENGTHS}),
    ),
    *(
        Strategy(
            name=f"iterative_kmq_{scorer}",
            select=_kmq_round,
            paper=f"{_YU}, Algorithm 1",
            summary=summary,
            needs=frozenset({CLUSTERS, QUALITY}),
            settings=_DRAWS_BY_QUALITY,
            nested=False,
            stochastic=True,
            scorer=scorer,
        )
        for scorer, summary in _ROUND_SCORERS.items()
    ),
)

STRATEGIES: dict[str, Strategy] = {row.name: row for row in _ROWS}
