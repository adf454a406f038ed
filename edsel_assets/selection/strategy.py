"""What a selection strategy is: the signals it reads, the options it takes, and its row in the table.

Imports neither numpy nor an algorithm, as the table of strategies is read wherever the graph is loaded.
Symbols: N prompts, d embedding dimension, C clusters, k budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import numpy as np

    from edsel_assets.selection.clustering.kmeans import Clusters
    from edsel_assets.selection.core.ranking import Ranking

EMBEDDINGS, UNCERTAINTY, CLUSTERS, QUALITY = "embeddings", "uncertainty", "clusters", "quality"
DEMAND, QUERIES, TASKS, LENGTHS = "demand", "queries", "tasks", "lengths"


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
        prices: (N,) at least 0; with them, a strategy's budget is money.
        demand: (N,) demand weights of the strategy's target, at least 0, mean 1; None where it does not aim.
        queries: (m, d) embeddings of the target's own prompts.
        tasks: (N,) task of each prompt.
        lengths: (N,) of each prompt's text, or its answer's.
    """

    prompt_ids: np.ndarray
    embeddings: Any = None
    uncertainty: np.ndarray | None = None
    clusters: Clusters | None = None
    quality: np.ndarray | None = None
    complexity: np.ndarray | None = None
    cluster_weights: np.ndarray | None = None
    selected: tuple[int, ...] | np.ndarray = ()
    prices: np.ndarray | None = None
    demand: np.ndarray | None = None
    queries: Any = None
    tasks: np.ndarray | None = None
    lengths: np.ndarray | None = None


@dataclass(frozen=True)
class StrategyOptions:
    """Every switch of every strategy; a strategy ignores those that are not its own.

    Attributes:
        seed: of the random draws; the replicate of a stochastic strategy.
        gamma: RBF kernel width of facility location, or "auto" for the pool's own scale.
        normalise: L2-normalise the embeddings for the RBF kernel; cosine kernels always do.
        k_center_normalise: the same for ``k_center``.
        utility_weight: weight of the utility term in ``fl_rbf_min_margin``.
        seed_point: first centre of ``k_center``: the point nearest the mean, or a random one.
        deita_threshold: cosine similarity from which ``deita`` calls two prompts the same.
        qdit_alpha: weight of quality against diversity in ``qdit``, in [0, 1].
        replacement: ``kmq`` draws with replacement, as the paper says.
        worth: what ``kmq``, its rounds and ``qdit`` prefer: quality, or its product with complexity.
        noise: variance of an answer given the model, in ``variance_reduction``.
        temperature: ``kmq`` draws by softmax(quality / temperature); None: by quality / sum.
        engine, memory_limit (bytes): of facility location, see there. ``qdit`` runs on all but
            "apricot", for which it takes "auto".
        device: "auto", "cpu", "cuda" or any torch device name.
        progress: called with (done, total) now and then.
        begun: the ranking of the same signals and options at a smaller budget. A strategy that gains time
            by it goes on from there; picks, gains and objective are those of a ranking made anew.
    """

    seed: int = 0
    gamma: float | Literal["auto"] = "auto"
    normalise: bool = True
    k_center_normalise: bool = True
    utility_weight: float = 1.0
    seed_point: Literal["medoid", "random"] = "medoid"
    deita_threshold: float = 0.9
    qdit_alpha: float = 0.7
    replacement: bool = False
    worth: Literal["quality", "quality_complexity"] = "quality"
    noise: float = 0.01
    temperature: float | None = None
    engine: Literal["auto", "dense", "sparse", "blocked", "apricot"] = "auto"
    memory_limit: int | None = None
    device: str = "auto"
    progress: Callable[[int, int], None] | None = None
    begun: Ranking | None = None


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One row of the table.

    Attributes:
        name: the key, as in partition names.
        select: (signals, budget, options) -> ranking.
        paper: where it comes from.
        summary: one line for people.
        needs: the signals it reads, of {"embeddings", "uncertainty", "clusters", "quality", "demand",
            "queries", "tasks", "lengths"}.
        settings: the settings of a study, by dotted name, that can change its ranking by more than
            rounding. Budgets, seeds of replicates and what its signals depend on are not among them.
        measure: the one uncertainty measure it reads, or None.
        nested: the ranking at a budget is a prefix of that at any larger one.
        stochastic: the seed changes the choice.
        per_price: ``select`` reads ``signals.prices`` and prefers what is worth more for its price. The
            picks of others are taken until the money is spent (``spending``).
        aims: it can aim at a target: it reads ``signals.demand`` where there is one.
        by_queries: of a target by prompts it reads ``signals.queries`` in the place of ``signals.demand``.
        scorer: where it runs in rounds, what scores the answers of a round; ``select`` chooses one round by
            ``signals.cluster_weights``.
    """

    name: str
    select: Callable[[Signals, int, StrategyOptions], Ranking]
    paper: str
    summary: str
    needs: frozenset[str] = frozenset()
    settings: tuple[str, ...] = ()
    measure: str | None = None
    nested: bool = True
    stochastic: bool = False
    per_price: bool = False
    aims: bool = False
    by_queries: bool = False
    scorer: str | None = None

    @property
    def iterative(self) -> bool:
        """Whether it runs in rounds."""
        return self.scorer is not None

    def __call__(self, signals: Signals, budget: float, options: StrategyOptions | None = None) -> Ranking:
        """``select``, with default options where none are given; with prices, ``budget`` is money."""
        options = options or StrategyOptions()
        if signals.prices is None:
            return self.select(signals, int(budget), options)
        return self._spend(signals, budget, options)

    def _spend(self, signals: Signals, money: float, options: StrategyOptions) -> Ranking:
        """What is chosen for ``money``, at the prices of ``signals``."""
        from edsel_assets.selection.core import checks
        from edsel_assets.selection.money import spending

        size = len(signals.prompt_ids)
        prices, money = spending.checked(signals.prices, money, size)
        if self.per_price:
            return self.select(signals, money, options)  # type: ignore[arg-type]
        free = size - len(checks.selected_rows(signals.selected, size))
        without = replace(signals, prices=None)
        rule = spending.in_order if self.nested else spending.by_bisection
        return rule(lambda count: self.select(without, count, options), prices, money, free)


Signal = TypeVar("Signal")


def need(signal: Signal | None, name: str) -> Signal:
    """``signal``, or a ValueError that says which one is missing."""
    if signal is None:
        raise ValueError(f"this strategy needs the signal {name!r}; compute it first and pass it in Signals.")
    return signal
