"""The table of selection strategies that everything else is derived from.

One row per strategy: the function, the signals it reads and whether its ranking is nested or
stochastic. Partition keys, partition mappings and documentation come from ``STRATEGIES``. The table
is read wherever the graph is loaded, so it imports neither numpy nor an algorithm until one runs.

Symbols: N prompts, d embedding dimension, C clusters, k budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from edsel_assets import selection

if TYPE_CHECKING:
    import numpy as np

    from edsel_assets.selection.cluster_sampling import Rule
    from edsel_assets.selection.clusters import Clusters
    from edsel_assets.selection.ranking import Ranking

GAMMAS = (0.001, 0.002, 0.005, 0.01, 0.1, 1.0, 10.0)
EMBEDDINGS, UNCERTAINTY, CLUSTERS, QUALITY = "embeddings", "uncertainty", "clusters", "quality"


@dataclass(frozen=True)
class Signals:
    """What is known of a pool before annotation; a strategy reads the parts it names in ``needs``.

    Attributes:
        prompt_ids: (N,) unique keys; ties are broken and random draws keyed by them.
        embeddings: (N, d) array or tensor of floats.
        uncertainty: (N,) scores of the strategy's measure, higher is more uncertain.
        clusters: a clustering of the pool's N prompts.
        quality: (N,) non-negative, higher is better.
        complexity: (N,) non-negative, higher is more complex.
        cluster_weights: (C,) non-negative shares of a round's budget; iterative strategies only.
        selected: rows annotated already; never returned, and new picks are conditioned on them.
    """

    prompt_ids: np.ndarray
    embeddings: Any = None
    uncertainty: np.ndarray | None = None
    clusters: Clusters | None = None
    quality: np.ndarray | None = None
    complexity: np.ndarray | None = None
    cluster_weights: np.ndarray | None = None
    selected: tuple[int, ...] | np.ndarray = ()


@dataclass(frozen=True)
class StrategyOptions:
    """Every switch of every strategy; a strategy ignores those that are not its own.

    Attributes:
        seed: of the random draws; the replicate of a stochastic strategy.
        gamma: RBF kernel width of facility location, or "auto" for the largest of ``gammas``
            that has not saturated at the budget.
        gammas: the widths that "auto" tries.
        normalise: L2-normalise the embeddings (all but the cosine kernels, which always do).
        utility_weight: weight of the utility term in ``fl_rbf_min_margin``.
        seed_point: first centre of ``k_center``: the point nearest the mean, or a random one.
        deita_threshold: cosine similarity from which ``deita`` calls two prompts the same.
        qdit_alpha: weight of quality against diversity in ``qdit``, in [0, 1].
        replacement: ``kmq`` draws with replacement, as the paper says.
        temperature: ``kmq`` draws by softmax(quality / temperature); None: by quality / sum.
        engine, memory_limit (bytes): of facility location, see there. ``qdit`` runs on all but
            "apricot", for which it takes "auto".
        device: "auto", "cpu", "cuda" or any torch device name.
        progress: called with (done, total) now and then.
    """

    seed: int = 0
    gamma: float | Literal["auto"] = 0.002
    gammas: tuple[float, ...] = GAMMAS
    normalise: bool = True
    utility_weight: float = 1.0
    seed_point: Literal["medoid", "random"] = "medoid"
    deita_threshold: float = 0.9
    qdit_alpha: float = 0.7
    replacement: bool = False
    temperature: float | None = None
    engine: Literal["auto", "dense", "sparse", "blocked", "apricot"] = "auto"
    memory_limit: int | None = None
    device: str = "auto"
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Strategy:
    """One row of the table.

    Attributes:
        name: the key, as in partition names.
        select: (signals, budget, options) -> ranking.
        needs: the signals it reads, of {"embeddings", "uncertainty", "clusters", "quality"}.
        measure: the one uncertainty measure it reads, or None.
        nested: the ranking at a budget is a prefix of that at any larger one.
        stochastic: the seed changes the choice.
        paper: where it comes from.
        summary: one line for people.
        iterative: runs in rounds; ``select`` chooses one round by ``signals.cluster_weights``.
    """

    name: str
    select: Callable[[Signals, int, StrategyOptions], Ranking]
    needs: frozenset[str]
    measure: str | None
    nested: bool
    stochastic: bool
    paper: str
    summary: str
    iterative: bool = False

    def __call__(self, signals: Signals, budget: int, options: StrategyOptions | None = None) -> Ranking:
        """``select``, with default options where none are given."""
        return self.select(signals, budget, options or StrategyOptions())


Signal = TypeVar("Signal")


def _need(signal: Signal | None, name: str) -> Signal:
    if signal is None:
        raise ValueError(f"this strategy needs the signal {name!r}; compute it first and pass it in Signals.")
    return signal


def _random(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    ids = signals.prompt_ids
    return selection.random_subset(
        len(ids), budget, seed=options.seed, exclude=signals.selected, tie_break=ids
    )


def _uncertain(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return selection.top_scores(
        _need(signals.uncertainty, "uncertainty"),
        budget,
        exclude=signals.selected,
        tie_break=signals.prompt_ids,
    )


def _k_center(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return selection.k_center(
        _need(signals.embeddings, "embeddings"),
        budget,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        seed_point=options.seed_point,
        seed=options.seed,
        normalise=options.normalise,
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
    embeddings = _need(signals.embeddings, "embeddings")
    shared: dict[str, Any] = {
        "selected": signals.selected,
        "tie_break": signals.prompt_ids,
        "normalise": options.normalise,
        "engine": options.engine,
        "memory_limit": options.memory_limit,
        "device": options.device,
        "progress": options.progress,
    }
    width: dict[str, Any] = {}
    if kernel == "rbf":
        gamma = options.gamma
        if gamma == "auto":
            gamma = selection.auto_gamma(embeddings, options.gammas, budget, **shared)
        width = {"gamma": gamma}
    ranking = selection.facility_location(
        embeddings,
        budget,
        kernel=kernel,
        utility=utility,
        utility_weight=options.utility_weight,
        **width,
        **shared,
    )
    return replace(ranking, details={**ranking.details, **width})


def _fl_cosine(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _facility_location(signals, budget, options, "cosine")


def _fl_rbf(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return _facility_location(signals, budget, options, "rbf")


def _fl_rbf_min_margin(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    import numpy as np

    # The score is -min(beta1 - beta2), in [-1, 0]. Eq. 4 takes the logarithm of one plus the sum of
    # utilities, so they must not be negative: u = 1 - min margin.
    utility = 1.0 + np.asarray(_need(signals.uncertainty, "uncertainty"), dtype=np.float64)
    return _facility_location(signals, budget, options, "rbf", utility)


def _sample(
    signals: Signals, budget: int, options: StrategyOptions, rule: Rule, weights: np.ndarray | None = None
) -> Ranking:
    return selection.sample_clusters(
        _need(signals.clusters, "clusters"),
        budget,
        rule,
        quality=signals.quality if rule == "quality" else None,
        weights=weights,
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
        weights = np.ones(len(_need(signals.clusters, "clusters").centroids))
    return _sample(signals, budget, options, "quality", weights)


def _deita(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return selection.deita(
        _need(signals.embeddings, "embeddings"),
        _need(signals.quality, "quality"),
        _need(signals.complexity, "complexity"),
        budget,
        threshold=options.deita_threshold,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        device=options.device,
        progress=options.progress,
    )


def _qdit(signals: Signals, budget: int, options: StrategyOptions) -> Ranking:
    return selection.qdit(
        _need(signals.embeddings, "embeddings"),
        _need(signals.quality, "quality"),
        budget,
        alpha=options.qdit_alpha,
        selected=signals.selected,
        tie_break=signals.prompt_ids,
        engine="auto" if options.engine == "apricot" else options.engine,
        memory_limit=options.memory_limit,
        device=options.device,
        progress=options.progress,
    )


_BHATT = "Bhatt et al. 2024"
_YU = "Yu et al. 2024"


def _row(
    name: str,
    select: Callable[[Signals, int, StrategyOptions], Ranking],
    needs: set[str],
    paper: str,
    summary: str,
    *,
    measure: str | None = None,
    nested: bool = True,
    stochastic: bool = False,
    iterative: bool = False,
) -> Strategy:
    return Strategy(name, select, frozenset(needs), measure, nested, stochastic, paper, summary, iterative)


def _uncertainty_row(measure: str, paper: str, summary: str) -> Strategy:
    return _row(measure, _uncertain, {UNCERTAINTY}, paper, summary, measure=measure)


_ROWS = (
    _row("random", _random, set(), _BHATT, "Uniform without replacement.", stochastic=True),
    _uncertainty_row("mean_entropy", f"{_BHATT}, Section 3.1", "Highest mean entropy over decoding steps."),
    _uncertainty_row("least_confidence", f"{_BHATT}, Section 3.1", "Least likely greedy response."),
    _uncertainty_row(
        "mean_margin", f"{_BHATT}, Section 3.1", "Smallest mean margin of the two likeliest tokens."
    ),
    _uncertainty_row(
        "min_margin", f"{_BHATT}, Section 3.1", "Smallest least margin of the two likeliest tokens."
    ),
    _row("k_center", _k_center, {EMBEDDINGS}, f"{_BHATT}, Eq. 2", "Farthest-first traversal."),
    _row("fl_cosine", _fl_cosine, {EMBEDDINGS}, f"{_BHATT}, Eq. 3", "Facility location, cosine similarity."),
    _row("fl_rbf", _fl_rbf, {EMBEDDINGS}, f"{_BHATT}, Eq. 3", "Facility location, RBF kernel."),
    _row(
        "fl_rbf_min_margin",
        _fl_rbf_min_margin,
        {EMBEDDINGS, UNCERTAINTY},
        f"{_BHATT}, Eq. 4",
        "Facility location, RBF kernel, plus the logarithm of summed uncertainty.",
        measure="min_margin",
    ),
    _row(
        "km_random",
        _km_random,
        {CLUSTERS},
        f"{_YU}, Section 3.3",
        "k-means, then uniform in each cluster.",
        nested=False,
        stochastic=True,
    ),
    _row(
        "km_closest",
        _km_closest,
        {CLUSTERS},
        f"{_YU}, Section 3.3",
        "k-means, then the members closest to each centroid.",
        nested=False,
    ),
    _row(
        "kmq",
        _kmq,
        {CLUSTERS, QUALITY},
        f"{_YU}, Eq. 3",
        "k-means, then draws by quality in each cluster.",
        nested=False,
        stochastic=True,
    ),
    _row(
        "deita",
        _deita,
        {EMBEDDINGS, QUALITY},
        "Liu et al. 2023",
        "Best complexity x quality, near-duplicates skipped.",
    ),
    _row(
        "qdit",
        _qdit,
        {EMBEDDINGS, QUALITY},
        "Bukharin & Zhao 2023",
        "Facility location traded against quality.",
    ),
    _row(
        "iterative_kmq_perplexity",
        _kmq_round,
        {CLUSTERS, QUALITY},
        f"{_YU}, Algorithm 1",
        "kmq in rounds, clusters reweighted by what the finetuned model learns.",
        nested=False,
        stochastic=True,
        iterative=True,
    ),
)

STRATEGIES: dict[str, Strategy] = {row.name: row for row in _ROWS}
