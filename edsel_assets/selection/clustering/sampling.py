"""Budgets per cluster, sampling inside clusters and the weights of iterative rounds (Yu et al. 2024).

Symbols: N prompts, C clusters, k budget, q quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from edsel_assets.selection.clustering.kmeans import Clusters
from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.inputs import read_vector
from edsel_assets.selection.core.ranking import Ranking

if TYPE_CHECKING:
    from edsel_assets.selection.core.inputs import Keys, Numbers, Rows


Rule = Literal["random", "closest", "quality"]
RULES = get_args(Rule)


def cluster_budgets(
    sizes: Sequence[int] | np.ndarray,
    budget: int,
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    available: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """How many prompts each cluster gives: shares by largest remainder, summing exactly to ``budget``.

    A cluster whose share exceeds what it has gives all it has, and the rest is shared anew among
    the others (Yu et al. 2024, Section 2.1, whose released code drops remainders and excess).

    Args:
        sizes: (C,) prompts per cluster.
        budget: the total, at most what is available.
        weights: (C,) non-negative shares, need not sum to 1; default: the sizes. Clusters of
            weight 0 give only when all others are exhausted, then by size.
        available: (C,) prompts that can still be chosen, at most the sizes; default: the sizes.

    Returns:
        (C,) int64 budgets, each at most ``available``. Equal remainders go to the lower cluster.

    Raises:
        ValueError: on negative or non-finite numbers, wrong shapes or a budget too large.

    Time O(C log C) per cluster that runs dry, memory O(C).
    """
    sizes = _counts("sizes", sizes)
    caps = sizes if available is None else _counts("available", available, len(sizes))
    if (caps > sizes).any():
        worst = np.flatnonzero(caps > sizes)[:5].tolist()
        raise ValueError(f"available must not exceed sizes; it does for clusters {worst}.")
    budget = checks.whole_number("budget", budget, 0)
    if budget > caps.sum():
        raise ValueError(
            f"budget must not exceed the {caps.sum()} prompts available; got {budget}. Lower it."
        )
    shares = sizes.astype(np.float64) if weights is None else _weights(weights, len(sizes))
    given = _share_out(budget, shares, caps)
    if given.sum() < budget:
        given += _share_out(budget - int(given.sum()), sizes.astype(np.float64), caps - given)
    return given


def _share_out(budget: int, shares: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """Shares of ``budget`` under ``caps``, over clusters of positive share."""
    given = np.zeros(len(caps), dtype=np.int64)
    open_clusters = (shares > 0) & (caps > 0)
    while open_clusters.any():
        rest = budget - given.sum()
        exact = np.where(open_clusters, shares, 0.0)
        exact /= exact.max()  # the smallest floats have no reciprocal
        exact *= rest / exact.sum()
        full = open_clusters & (exact >= caps)
        if not full.any():
            return given + _largest_remainder(exact, int(rest))
        # Those that run dry give all; what they cannot give goes to the others in proportion.
        given[full] = caps[full]
        open_clusters &= ~full
    return given


def _largest_remainder(exact: np.ndarray, total: int) -> np.ndarray:
    """Round (C,) non-negative numbers summing to ``total`` to integers that do; each by less than one."""
    down = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(-(exact - down), kind="stable")
    down[by_remainder[: total - down.sum()]] += 1
    return down


def sample_clusters(
    clusters: Clusters,
    budget: int,
    rule: Rule = "random",
    *,
    quality: Numbers | None = None,
    weights: np.ndarray | None = None,
    selected: Rows = (),
    replacement: bool = False,
    temperature: float | None = None,
    seed: int = 0,
    tie_break: Keys | None = None,
    demand: Numbers | None = None,
) -> Ranking:
    """Prompts from every cluster by its budget: kM-random, kM-closest and kMQ (Yu et al. 2024).

    Args:
        clusters: of the pool's N prompts.
        budget: prompts in all, at most N less the selected.
        rule: "random", uniform in each cluster; "closest", the members nearest the centroid;
            "quality", drawn one after another with probability proportional to quality (Eq. 3).
        quality: (N,) for "quality"; non-negative unless ``temperature`` is given. Members of
            quality 0 come last, uniformly.
        weights: (C,) non-negative shares of the budget; default: the cluster sizes.
        selected: rows chosen already: never returned, and they use up their cluster.
        replacement: for "quality", draw with replacement as Eq. 3 does; the ranking then holds
            the distinct prompts, fewer than ``budget`` in general, and ``details["copies"]``
            how often each was drawn.
        temperature: for "quality", draw by softmax(quality / temperature) instead.
        seed: of the draws, each keyed by (seed, the prompt's key): what else is in the pool, and in
            which order, does not change it.
        tie_break: (N,) unique keys; equal distances go by the lower key. Row numbers without it.
        demand: (N,) weights at least 0. A cluster's share of the budget is then the sum of its weights, and
            "random" and "quality" draw within it in proportion to weight, and to quality x weight.

    Returns:
        A ranking, cluster by cluster in turn: first the first pick of every cluster, and so on.
        ``gains`` are the qualities under "quality", minus the distances under "closest" and
        zeros under "random". ``details["budgets"]`` is the list of cluster budgets.

    Raises:
        ValueError: on an unknown rule, arguments that do not fit the rule, or bad values.

    Time O(N log N), memory O(N). Draws without replacement are exact successive sampling, by
    Gumbel keys (Kool et al. 2019), in logarithms: no temperature overflows. Those with replacement are
    the first arrivals of independent Poisson processes, one per prompt with its odds as the rate.
    """
    pool_size = len(clusters.labels)
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}; got {rule!r}.")
    if rule != "quality" and (quality is not None or temperature is not None or replacement):
        raise ValueError(f"quality, temperature and replacement belong to rule 'quality'; got rule {rule!r}.")
    log_odds = _log_odds(quality, temperature, pool_size) if rule == "quality" else np.zeros(pool_size)
    if demand is not None:
        if weights is not None:
            raise ValueError("weights and demand both share out the budget; pass one of them.")
        demand = checks.at_least_zero("demand", demand, pool_size)
        with np.errstate(divide="ignore"):
            log_odds = log_odds + np.log(demand)
    chosen = checks.selected_rows(selected, pool_size)
    budget = checks.budget_within(budget, pool_size, len(chosen))
    priority = checks.tie_order(tie_break, pool_size)
    count = len(clusters.centroids)
    if pool_size and not 0 <= clusters.labels.min() <= clusters.labels.max() < count:
        raise ValueError(
            f"clusters must label prompts 0 to {count - 1}, one number per centroid; got "
            f"{clusters.labels.min()} to {clusters.labels.max()}."
        )
    free = np.ones(pool_size, dtype=bool)
    free[chosen] = False
    sizes = np.bincount(clusters.labels, minlength=count)
    available = np.bincount(clusters.labels[free], minlength=count)
    if demand is not None:
        weights = checks.exact_sums(clusters.labels, demand, count)
    budgets = cluster_budgets(sizes, budget, weights=weights, available=available)
    prompt_keys = draws.keys_of(tie_break, pool_size)
    if replacement:
        words = draws.keyed_words(seed, prompt_keys, "arrivals")
        copies = _copies(clusters.labels, budgets, log_odds, free, words)
        rows = np.flatnonzero(copies)
        rows = rows[np.lexsort((priority[rows], -copies[rows]))].astype(np.int64)
        details = {"budgets": budgets.tolist(), "copies": copies[rows].tolist()}
        return Ranking(rows, np.asarray(quality, dtype=np.float64)[rows], details=details)
    if rule == "closest":
        order, gumbel = -np.asarray(clusters.distances, dtype=np.float64), np.zeros(pool_size)
    else:
        # The b largest sums of log odds and Gumbel draw are b successive draws by the odds.
        gumbel = -np.log(draws.exponentials(draws.keyed_words(seed, prompt_keys, "clusters")))
        order = log_odds + gumbel
    rows = np.flatnonzero(free)
    # Behind the sums the draws alone: they decide where odds are nil or too large to add to.
    rows = rows[np.lexsort((priority[rows], -gumbel[rows], -order[rows], clusters.labels[rows]))]
    indices = _in_turns(clusters.labels, rows, budgets)
    worth = {"quality": quality, "closest": order, "random": np.zeros(pool_size)}[rule]
    gains = np.asarray(worth, dtype=np.float64)[indices]
    return Ranking(indices, gains, details={"budgets": budgets.tolist()})


def _in_turns(labels: np.ndarray, rows: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """The first ``budgets`` of each cluster from ``rows`` (sorted by cluster), in turns."""
    sizes = np.bincount(labels[rows], minlength=len(budgets))
    turn = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    taken = turn < budgets[labels[rows]]
    return rows[taken][np.argsort(turn[taken], kind="stable")].astype(np.int64)


def _copies(
    labels: np.ndarray, budgets: np.ndarray, log_odds: np.ndarray, free: np.ndarray, words: np.ndarray
) -> np.ndarray:
    """(N,) int64 how often each prompt is drawn, with replacement, for the ``budgets`` of its cluster.

    The first b arrivals of a cluster's processes are b independent draws by the odds.
    """
    copies = np.zeros(len(labels), dtype=np.int64)
    rows = np.flatnonzero(free)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    ends = np.cumsum(np.bincount(labels[rows], minlength=len(budgets)))
    for budget, members in zip(budgets.tolist(), np.split(rows, ends[:-1]), strict=True):
        if budget:
            highest = log_odds[members].max()
            odds = np.exp(log_odds[members] - highest) if np.isfinite(highest) else np.ones(len(members))
            members, odds = members[odds > 0], odds[odds > 0]
            first = _first_arrivals(odds, words[members], budget)
            copies[members] = np.bincount(first, minlength=len(members))
    return copies


def _first_arrivals(rates: np.ndarray, words: np.ndarray, count: int) -> np.ndarray:
    """(count,) which process each of the first ``count`` arrivals belongs to."""
    times, owners = np.empty(0), np.empty(0, dtype=np.int64)
    waiting, clock = np.arange(len(rates)), np.zeros(len(rates))
    number = 0
    while len(waiting):  # those whose next arrival may be among the first
        clock[waiting] += draws.exponentials(draws.mixed(words[waiting], number)) / rates[waiting]
        times, owners = np.append(times, clock[waiting]), np.append(owners, waiting)
        first = np.argsort(times, kind="stable")[:count]
        times, owners = times[first], owners[first]
        waiting = waiting[clock[waiting] <= times[-1]] if len(times) == count else waiting
        number += 1
    return owners


def update_weights(
    weights: np.ndarray, cluster_scores: np.ndarray, *, temperature: float = 1.0, literal: bool = False
) -> np.ndarray:
    """Cluster weights of the next round: w_j times normalised score, summing to 1 (Yu et al. 2024, Eq. 6).

    Clusters without a score keep their share of the whole; the scored ones divide the rest among
    themselves in proportion to w_j x normalised s_j.

    Args:
        weights: (C,) non-negative weights of the round before; normalised first.
        cluster_scores: (C,) mean score of each cluster's sampled members, higher earns weight;
            NaN where none was sampled.
        temperature: tau of the normaliser softmax(s / tau), which any sign of score passes.
        literal: normalise by s / sum s, as Eq. 6 is written.

    Returns:
        (C,) float64 weights summing to 1.

    Raises:
        ValueError: on bad weights, infinite scores, a temperature not positive, or under
            ``literal`` a negative score or scores that are all zero.

    Time and memory O(C).
    """
    scores = read_vector("cluster_scores", cluster_scores).astype(np.float64)
    shares = _weights(weights, len(scores))
    shares = shares / shares.sum()
    if scores.ndim != 1 or np.isinf(scores).any():
        raise ValueError("cluster_scores must be a flat list of finite numbers, NaN where unsampled.")
    scored = ~np.isnan(scores)
    factors = _literal_factors(scores[scored]) if literal else _softmax(scores[scored], temperature)
    updated = shares.copy()
    products = shares[scored] * factors
    if products.sum() > 0:
        updated[scored] = products / products.sum() * shares[scored].sum()
    return updated / updated.sum()


def _softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    scaled = scores / _temperature(temperature)
    return np.exp(scaled - scaled.max(initial=-np.inf)) if scaled.size else scaled


def _literal_factors(scores: np.ndarray) -> np.ndarray:
    if (scores < 0).any():
        raise ValueError(
            f"literal normalisation needs scores of at least 0; the lowest is {scores.min():.4g}. "
            "Use literal=False, whose softmax takes any sign."
        )
    if scores.size and not scores.any():
        raise ValueError("literal normalisation needs a score above 0; all are 0. Use literal=False.")
    return scores


def _log_odds(quality: Numbers | None, temperature: float | None, pool_size: int) -> np.ndarray:
    if quality is None:
        raise ValueError("rule 'quality' needs quality, one score per prompt.")
    values = checks.finite_vector("quality", quality, pool_size)
    if temperature is not None:
        with np.errstate(over="ignore"):
            return (values - values.max(initial=-np.inf)) / _temperature(temperature)
    if (values < 0).any():
        worst = np.flatnonzero(values < 0)[:5].tolist()
        raise ValueError(
            f"quality must be at least 0 to be a probability; rows {worst} are negative. "
            "Pass a temperature to draw by softmax(quality / temperature)."
        )
    with np.errstate(divide="ignore"):
        return np.log(values)


def _temperature(value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"temperature must be a finite number above 0; got {value!r}.")
    return float(value)


def _weights(weights: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
    values = read_vector("weights", weights).astype(np.float64)
    if values.shape != (count,):
        raise ValueError(f"weights must have shape ({count},), one per cluster; got {values.shape}.")
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError("weights must be finite, at least 0 and not all 0.")
    return values


def _counts(name: str, values: Sequence[int] | np.ndarray, count: int | None = None) -> np.ndarray:
    numbers = read_vector(name, values)
    if numbers.ndim != 1 or (count is not None and len(numbers) != count):
        raise ValueError(f"{name} must be a flat list, one number per cluster; got shape {numbers.shape}.")
    if numbers.size and not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"{name} must hold whole numbers; got dtype {numbers.dtype}.")
    if (numbers < 0).any():
        raise ValueError(f"{name} must be at least 0; lowest is {numbers.min()}.")
    return numbers.astype(np.int64)
