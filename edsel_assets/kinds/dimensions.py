"""The dimensions of partition keys, and their keys in a study."""

from __future__ import annotations

from edsel_assets.keys import budget_key, trial_key
from edsel_assets.kinds.kind import Dimension
from edsel_assets.selection.strategy import QUALITY, UNCERTAINTY
from edsel_assets.study import MEASURES, Study


def ranked_once(study: Study) -> list[str]:
    """Strategies and variants that rank once, in the study's order."""
    return [name for name in study.selection.names if not study.strategy(name).iterative]


def in_rounds(study: Study) -> list[str]:
    """Those that choose in rounds."""
    return [name for name in study.selection.names if study.strategy(name).iterative]


def that_need(study: Study, *signals: str) -> list[str]:
    """Those that read all of these signals."""
    return [name for name in study.selection.names if study.strategy(name).needs >= set(signals)]


def reads_probabilities(study: Study) -> bool:
    """Whether a strategy reads what the model says of a prompt and its answer, not embeddings alone."""
    scored = {study.quality_of(name) for name in that_need(study, QUALITY)}
    return bool(that_need(study, UNCERTAINTY)) or any(map(study.quality.reads_forward_pass, scored))


def trials_of(study: Study, strategy: str) -> list[str]:
    return [trial_key(strategy, seed) for seed in study.seeds(strategy)]


def own_clusterings(study: Study) -> list[str]:
    """Keys of the clusterings of the study's own embeddings."""
    return [budget_key(count) for count in sorted(study.clustering.counts)]


def _clusterings(study: Study) -> list[str]:
    own = own_clusterings(study)
    used = {study.clustering_of(name) for name in study.selection.variants}
    return [*own, *sorted(used - set(own))]


def scorers(study: Study) -> list[str]:
    """The scorers of quality that the study uses; its own first."""
    names = [study.quality.scorer, *map(study.quality_of, study.selection.variants)]
    return list(dict.fromkeys(names))


def _budgets(study: Study) -> list[str]:
    """The budgets of any strategy; ``kinds.assets.is_asked_for`` says whose each is."""
    return [budget_key(budget) for budget in study.selection.every_budget]


def _all(names: list[str], study: Study) -> list[str]:
    return [trial for name in names for trial in trials_of(study, name)]


def _measures(study: Study) -> list[str]:
    read = [study.strategy(name).measure for name in study.selection.names]
    return list(dict.fromkeys([*MEASURES, *(measure for measure in read if measure)]))


def with_queries(study: Study) -> list[str]:
    """The targets that are given by prompts."""
    return sorted(name for name, target in study.targets.items() if target.prompts is not None)


BUDGET = Dimension("budget", _budgets)
STRATEGY = Dimension("strategy", ranked_once)
ANY_STRATEGY = Dimension("strategy", lambda study: study.selection.names)
TRIAL = Dimension("trial", lambda study: _all(study.selection.names, study))
#: Each seed of a strategy that chooses in rounds has rounds of its own.
ROUND_TRIAL = Dimension("trial", lambda study: _all(in_rounds(study), study))
MEASURE = Dimension("measure", _measures)
CLUSTERING = Dimension("cluster_count", _clusterings)
SCORER = Dimension("scorer", scorers)
TARGET = Dimension("target", lambda study: sorted(study.targets))
TARGET_WITH_QUERIES = Dimension("target", with_queries)
OTHER_EMBEDDINGS = Dimension("name", lambda study: sorted(study.other_embeddings))
#: The orders there are, which the store tells: a new one is a new cell.
ORDER = Dimension("order")
