"""Group ``selection``: rankings once per strategy, selections once per budget, and what is said of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from edsel_assets.kinds.checks import EXACT_BUDGET, GAINS, NONE_BOUGHT_BEFORE, NOT_WORSE
from edsel_assets.kinds.deciding import PRODUCTS, of_each, price_settings, strategy_settings
from edsel_assets.kinds.dimensions import ANY_STRATEGY, BUDGET, STRATEGY, ranked_once, trials_of
from edsel_assets.kinds.kind import At, Kind, Parent, device
from edsel_assets.selection.strategy import CLUSTERS, EMBEDDINGS, QUALITY
from edsel_assets.study import Study

_Keys = Mapping[str, Sequence[str]]


def _needs(study: Study, at: At, signal: str) -> bool:
    return signal in study.strategy(at.strategy).needs


def _own_embeddings(study: Study, at: At) -> bool:
    return _needs(study, at, EMBEDDINGS) and study.embeddings_of(at.strategy) is None


def _embedder(study: Study, at: At) -> _Keys:
    named = study.embeddings_of(at.strategy) if _needs(study, at, EMBEDDINGS) else None
    return {"name": [named] if named else []}


def measure(study: Study, at: At) -> _Keys:
    """The measure of uncertainty that the strategy of a cell reads."""
    named = study.strategy(at.strategy).measure
    return {"measure": [named] if named else []}


def clustering(study: Study, at: At) -> _Keys:
    """The clustering of the strategy of a cell, read by its selection or not."""
    return {"cluster_count": [study.clustering_of(at.strategy)]}


def _clustering_read(study: Study, at: At) -> _Keys:
    return clustering(study, at) if _needs(study, at, CLUSTERS) else {"cluster_count": []}


def scorer(study: Study, at: At) -> _Keys:
    """The scorer of quality that the strategy of a cell reads."""
    return {"scorer": [study.quality_of(at.strategy)] if _needs(study, at, QUALITY) else []}


def target(study: Study, at: At) -> _Keys:
    """The target whose demand the strategy of a cell reads."""
    by_queries = study.queries_of(at.strategy) is not None
    named = None if by_queries else study.target_of(at.strategy)
    return {"target": [named] if named else []}


def queries(study: Study, at: At) -> _Keys:
    """The target whose queries the strategy of a cell reads."""
    named = study.queries_of(at.strategy)
    return {"target": [named] if named else []}


def all_seeds(study: Study, at: At) -> _Keys:
    """The trials of a strategy: each seed of one that chooses in rounds has a selection of its own."""
    return {"trial": trials_of(study, at.strategy)}


def _ranking_settings(study: Study, partition: str | None) -> dict[str, Any]:
    return of_each(ranked_once(study), _settings, study, partition)


def _settings(study: Study, strategy: str) -> dict[str, Any]:
    found = strategy_settings(study, strategy) | price_settings(study)
    budgets, row = study.selection.budgets_for(strategy), study.strategy(strategy)
    if row.nested and not study.selection.by_price:
        found["selection.budgets: largest"] = max(budgets)
    else:
        found["selection.budgets"] = budgets
    if row.stochastic:
        found["finetuning.seeds: replicates"] = len(study.seeds(strategy))
    return found


def _ranking_libraries(study: Study, strategy: str | None) -> tuple[str, ...]:
    row = None if strategy is None else study.strategy(strategy)
    if row is not None and EMBEDDINGS not in row.needs:
        return ()
    return PRODUCTS


ROWS = (
    Kind(
        name="rankings",
        group="selection",
        dimensions=(STRATEGY,),
        parents=(
            Parent("pool", lazy=True),
            Parent("annotations", lazy=True),
            Parent("orders", lazy=True),
            Parent("embeddings", when=_own_embeddings, lazy=True),
            Parent("other_embeddings", keys=_embedder, lazy=True),
            Parent("uncertainty_scores", keys=measure),
            Parent("clusters", keys=_clustering_read),
            Parent("quality_scores", keys=scorer),
            Parent("demand", keys=target),
            Parent("target_queries", keys=queries, lazy=True),
        ),
        settings=(_ranking_settings,),
        libraries=(_ranking_libraries,),
        code="2",  # 2: gamma auto is the pool's own scale, no more a reading of the gain curves
        checks=(NONE_BOUGHT_BEFORE, GAINS),
        device=device,
        before=("budgets",),
        tags=frozenset({"pytorch"}),
    ),
    Kind(
        name="selections",
        group="selection",
        dimensions=(BUDGET, STRATEGY),
        parents=(Parent("pool", lazy=True), Parent("rankings", lazy=True)),
        checks=(EXACT_BUDGET,),
        selects=True,
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="selection_cards",
        group="selection",
        dimensions=(BUDGET, ANY_STRATEGY),
        parents=(
            Parent("pool", lazy=True),
            Parent("embeddings", lazy=True),
            Parent("clusters", keys=clustering),
            Parent("selections"),
            Parent("iterative_selections", keys=all_seeds, many=True),
            Parent("uncertainty_scores", keys=measure),
            Parent("quality_scores", keys=scorer),
        ),
        code="2",  # 2: the strategy's scores are among the columns
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="selection_overlap",
        group="selection",
        dimensions=(BUDGET,),
        parents=(Parent("selections", optional=True),),
        tags=frozenset({"matplotlib"}),
    ),
    Kind(
        name="selection_checks",
        group="selection",
        dimensions=(BUDGET,),
        parents=(
            Parent("pool", lazy=True),
            Parent("embeddings", lazy=True),
            Parent("annotations", lazy=True),
            Parent("orders", lazy=True),
            Parent("selections", optional=True),
            Parent("iterative_selections", optional=True),
            Parent("demand", many=True),
        ),
        settings=("selection.seed", price_settings),
        libraries=PRODUCTS,
        device=device,
        checks=(NOT_WORSE,),
        tags=frozenset({"matplotlib"}),
    ),
)
