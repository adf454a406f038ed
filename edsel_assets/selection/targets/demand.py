"""Demand weights: how much it counts that a prompt of the pool is covered.

Symbols: N prompts of the pool, m queries (prompts as users ask them), d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import draws
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings
from edsel_assets.selection.core.inputs import read_vector

if TYPE_CHECKING:
    from edsel_assets.selection.core.inputs import Keys, Matrix


FOLDS = 5
MOST_FITTED = 20_000  # prompts of the pool that one fit reads; more change no weight that counts
CLIP_QUANTILE = 0.995
FEWEST_QUERIES = 5
_ROWS = 8192  # prompts scored at a time


@dataclass(frozen=True)
class Demand:
    """What a target asks of each prompt, and how far the target can be told from the pool.

    Attributes:
        weights: (N,) float64 at least 0, mean 1; higher is more wanted.
        auc: chance that a query looks more like a query than a prompt of the pool does, in folds
            that saw neither; None where the demand comes from tasks.
        auc_low, auc_high: its 95 % interval, by Student's t over the queries.
        others: (M,) float64 weights of other prompts on the same scale, where any were given.
        share: estimated share of the pool that is like the target: with queries the mean, over them, of the
            share of the pool that is at least as likely to be one; with tasks the share of their prompts.
    """

    weights: np.ndarray
    share: float
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    others: np.ndarray | None = None

    @property
    def effective_size(self) -> float:
        """(sum w)^2 / sum w^2: so many equal weights vary as much."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    @property
    def told_apart(self) -> bool:
        """Whether aiming can buy anything: tasks always, queries where the AUC is surely over 0.5."""
        return self.auc_low is None or self.auc_low > 0.5


def demand_from_queries(
    embeddings: Matrix,
    queries: Matrix,
    *,
    others: Matrix | None = None,
    strength: float = 1.0,
    seed: int = 0,
    keys: Keys | None = None,
) -> Demand:
    """The density ratio of queries to pool, by cross-fitted logistic regression.

    Each prompt's weight is its odds of being a query, from a classifier that did not see it, with both
    classes weighted alike (Sugiyama et al. 2012, "Density Ratio Estimation in Machine Learning",
    Section 4). Odds are divided by their mean and clipped at their 99.5th percentile.

    Args:
        embeddings: (N, d) array or tensor of the pool.
        queries: (m, d) array or tensor of the target's prompts, by the same embedding; at least 5.
        others: (M, d) array or tensor of prompts outside the pool, such as held-out ones, to weigh alike: by
            the mean of the folds' log-odds, as no fold saw them.
        strength: s in [0, 1]: weights are (1 - s) + s w, so that 0 is the pool itself.
        seed: of the folds, keyed by prompt.
        keys: (N,) unique keys of the prompts; row numbers without them.

    Raises:
        ValueError: on bad embeddings, too few queries, another dimension, or a strength outside [0, 1].

    Time O(5 (n + N) d) for n = min(N, 20,000) fitted prompts; memory O(n d).
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be from 0 (the pool itself) to 1 (the target); got {strength!r}.")
    pool = as_embeddings(embeddings, device="cpu")  # where scikit-learn fits
    asked = as_embeddings(queries, device="cpu", name="queries")
    if asked.dim != pool.dim:
        raise ValueError(f"queries must have the pool's {pool.dim} dimensions; got {asked.dim}.")
    if asked.size < FEWEST_QUERIES:
        raise ValueError(
            f"A target needs at least {FEWEST_QUERIES} queries, better 20 to 200; got {asked.size}. Add some."
        )
    more = None if others is None else as_embeddings(others, name="others")
    if more is not None and more.dim != pool.dim:
        raise ValueError(f"others must have the pool's {pool.dim} dimensions; got {more.dim}.")
    if pool.size < FOLDS:
        raise ValueError(f"A pool to aim in needs at least {FOLDS} prompts; got {pool.size}. Add some.")
    words = draws.keyed_words(seed, draws.keys_of(keys, pool.size), "folds of the demand")
    pool_folds = _folds(words)
    query_folds = np.arange(asked.size) % FOLDS
    log_odds, above = np.empty(pool.size), np.empty(asked.size)
    of_others = np.zeros(0 if more is None else more.size)
    for fold in range(FOLDS):
        seen = np.flatnonzero(pool_folds != fold)
        seen = seen[draws.smallest(draws.uniforms(draws.mixed(words[seen], 1)), MOST_FITTED)]
        model = _fitted(pool, seen, asked, np.flatnonzero(query_folds != fold))
        own = np.flatnonzero(pool_folds == fold)
        log_odds[own] = model.log_odds(pool, own)
        if more is not None:
            of_others += model.log_odds(more, np.arange(more.size)) / FOLDS
        left_out = np.flatnonzero(query_folds == fold)
        above[left_out] = _fraction_below(np.sort(log_odds[own]), model.log_odds(asked, left_out))
    ratio = np.exp(log_odds - log_odds.max())
    clip = np.quantile(ratio, CLIP_QUANTILE)
    ratio = np.minimum(ratio, clip)
    apart = np.exp(np.minimum(of_others - log_odds.max(), np.log(clip)))
    target, outside = ((1 - strength) + strength * each / ratio.mean() for each in (ratio, apart))
    auc, low, high = _mean_interval(above)
    return Demand(target, 1 - auc, auc, low, high, None if more is None else outside)


def demand_from_tasks(tasks: Sequence[str | None], shares: Mapping[str, float] | None = None) -> Demand:
    """Weights that give each task its share, however many prompts it has.

    Args:
        tasks: (N,) task of each prompt; prompts without one (None) have weight 0.
        shares: what each named task counts, at least 0; tasks not named count 0. None: all alike.

    Raises:
        ValueError: on a task that the pool has not, shares under 0, or no share over 0.
    """
    names, rows, counts = np.unique(
        ["" if task is None or task != task else task for task in read_vector("tasks", tasks)],
        return_inverse=True,
        return_counts=True,
    )
    known = {str(name) for name in names} - {""}
    if not known:
        raise ValueError(
            "A target by tasks needs a pool with tasks; no prompt has one. Give queries instead."
        )
    wanted = dict.fromkeys(known, 1.0) if shares is None else dict(shares)
    if missing := sorted(set(wanted) - known):
        listed = ", ".join(sorted(known)[:20])
        raise ValueError(f"A target names tasks that the pool has not: {missing}. It has: {listed}.")
    if bad := sorted(name for name, share in wanted.items() if not (np.isfinite(share) and share >= 0)):
        raise ValueError(f"Shares of tasks must be finite and at least 0; those of {bad} are not.")
    if not any(wanted.values()):
        raise ValueError("Shares of tasks must not all be 0. Give one task a share over 0.")
    each = np.array([wanted.get(str(name), 0.0) if name else 0.0 for name in names]) / counts
    weights = each[rows]
    return Demand(weights / weights.mean(), float((weights > 0).mean()))


def _folds(words: np.ndarray) -> np.ndarray:
    """(N,) int64: folds of sizes that differ by one at most, by each prompt's own draw."""
    folds = np.empty(len(words), dtype=np.int64)
    folds[np.argsort(words, kind="stable")] = np.arange(len(words)) % FOLDS
    return folds


@dataclass(frozen=True)
class _Model:
    """A linear classifier of query against pool, on embeddings less ``centre``."""

    centre: np.ndarray
    weights: np.ndarray
    bias: float

    def log_odds(self, points: Embeddings, rows: np.ndarray) -> np.ndarray:
        parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        scores = [(_float64(points, part) - self.centre) @ self.weights for part in parts]
        return np.concatenate(scores) + self.bias


def _fitted(pool: Embeddings, seen: np.ndarray, asked: Embeddings, own: np.ndarray) -> _Model:
    """Fit on the pool's rows ``seen`` and the queries ``own``.

    Features are less the pool's mean and of mean square 1, so that scikit-learn's own regularisation means
    the same on embeddings that point all ways and on those that lie in a cone, as decoders' do.
    """
    from sklearn.linear_model import LogisticRegression

    points = _float64(pool, np.sort(seen))
    centre = points.mean(0)
    points -= centre
    scale = float(np.sqrt((points**2).sum(1).mean())) or 1.0
    features = np.concatenate([points, _float64(asked, own) - centre]) / scale
    labels = np.r_[np.zeros(len(seen)), np.ones(len(own))]
    model = LogisticRegression(class_weight="balanced", max_iter=1000, tol=1e-6).fit(features, labels)
    return _Model(centre, model.coef_[0] / scale, float(model.intercept_[0]))


def _float64(points: Embeddings, rows: np.ndarray) -> np.ndarray:
    return points.rows(rows).numpy().astype(np.float64)


def _fraction_below(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(m,) share of ``ordered`` under each score; those equal count half."""
    under = np.searchsorted(ordered, scores, "left")
    return (under + np.searchsorted(ordered, scores, "right")) / (2 * len(ordered))


def _mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    from scipy.stats import t

    mean = float(values.mean())
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, max(0.0, mean - half), min(1.0, mean + half)
