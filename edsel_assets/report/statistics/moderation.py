"""Variances estimated from few seeds, steadied by those of other strategies at the same budget.

A variance from three seeds has two degrees of freedom and a t quantile of 4.3. Strategies at one budget
are alike, so their variances tell of each other. Smyth (2004, "Linear models and empirical Bayes
methods", Stat. Appl. Genet. Mol. Biol. 3:3, section 3) gives each

    (d0 * s0^2 + d * s^2) / (d0 + d)    on d0 + d degrees of freedom.

Four choices are more careful than Smyth's, as seeds differ by budget and by strategy, and marks are far
in the tails. ``test_coverage`` shows what each is for.

- s0^2 is of one budget alone: a small model trained on few prompts may be noisier, or calmer, than on many.
- s0^2 is the mean variance there. Smyth's estimate is near the typical one, which is lower where variances
  differ, and finds too much in noisy strategies.
- d0 is what the spread of the logarithms of the variances at the same budget says, but at most MOST.
  A table of a few seeds can not show that variances are equal.
- A strategy that is noisier than the others, over all its budgets, borrows less, down to nothing: d0 is
  multiplied by the p-value of its F test against the others. Where that is significant among all strategies,
  others borrow nothing from it. So Phipson et al. (2016, "Robust hyperparameter estimation protects against
  hypervariable genes", Ann. Appl. Stat. 10) treat what does not belong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

#: The most degrees of freedom that are borrowed.
MOST = 8.0
#: The p-value, times the number of strategies, below which one lends nothing to others.
OUTLIER = 0.05


@dataclass(frozen=True)
class Prior:
    """What a table says of the variance of a trial, at its B budgets with comparisons.

    Attributes:
        variances: (B,) the mean at each budget.
        limits: (B,) degrees of freedom of all comparisons at it: bounds of those of a result.
        read: (C, B) weights of the budgets by which a cell reads its variance.
        df: degrees of freedom that what is borrowed counts for.
        trust: (C,) in [0, 1], whether a cell's strategy is as noisy as the others: of d0 it borrows so much.
    """

    variances: np.ndarray
    limits: np.ndarray
    read: np.ndarray
    df: float
    trust: np.ndarray

    def moderate(
        self, variances: np.ndarray, df: np.ndarray, shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Steadied variances and their degrees of freedom, NaN and 0 where nothing is known.

        A contrast over several budgets borrows from each by its share, and the bounds of the degrees of
        freedom add up by Satterthwaite's formula.

        Args:
            variances, df: (...) of contrasts, per unit variance of a trial.
            shares: (..., C) of each cell in the contrast's variance, if all trials had the same one.
        """
        parts = shares @ self.read * self.variances
        own = self.df * self.trusted(shares)
        borrowed, total = parts.sum(axis=-1), own + df
        bound = np.square(parts) @ (1.0 / self.limits)
        limit = np.divide(borrowed**2, bound, out=np.array(total, float), where=bound > 0)
        steadied = (own * borrowed + df * variances) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, steadied, np.nan), np.minimum(total, np.maximum(limit, df))

    def trusted(self, shares: np.ndarray) -> np.ndarray:
        """(...) the least trust in a cell that has a share of the contrast."""
        return np.where(shares > 0, self.trust, 1.0).min(axis=-1)


def fit_prior(
    variances: np.ndarray,
    df: np.ndarray,
    deviations: np.ndarray,
    at: np.ndarray,
    of: np.ndarray,
    budgets: np.ndarray,
    strategies: np.ndarray,
) -> Prior:
    """The prior of a table's variances.

    Args:
        variances: (K,) of contrasts between cells of one budget, per unit variance of a trial.
        df: (K,) their degrees of freedom; those of 0 are left out.
        deviations: (K, J) of the contrasts by seed. Contrasts with the same control, or of
            nested subsets, have deviations alike and count less.
        at, of: (K,) budget of each contrast, and its strategy.
        budgets, strategies: (C,) of the table's cells. A budget without a contrast reads off the straight
            line in log(budget) between its neighbours', and beyond them their value.
    """
    known = df > 0
    if not known.any():
        return Prior(np.zeros(1), np.ones(1), np.zeros((len(budgets), 1)), 0.0, np.ones(len(budgets)))
    variances, df, deviations, at, of = (each[known] for each in (variances, df, deviations, at, of))
    found, place = np.unique(at, return_inverse=True)
    limits = np.array([_whole_df(df[place == g], deviations[place == g]) for g in range(len(found))])
    p = {name: _noisier(variances, df, place, of == name) for name in np.unique(of)}
    lends = np.array([p[name] * len(p) >= OUTLIER for name in of])
    means = _pooled(variances, df * np.where(lends | ~_any(lends, place), 1.0, 0.0), place)
    read = [np.interp(np.log(budgets), np.log(found), unit) for unit in np.eye(len(found))]
    trust = np.array([p.get(name, 1.0) for name in strategies])
    return Prior(means, limits, np.stack(read, axis=1), _prior_df(variances, df, place), trust)


def _pooled(variances: np.ndarray, weights: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(B,) weighted mean variance at each budget; NaN where nothing has weight."""
    total = np.bincount(place, weights)
    return np.divide(
        np.bincount(place, weights * variances), total, out=np.full(len(total), np.nan), where=total > 0
    )


def _any(kept: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(K,) whether anything at the contrast's budget is kept."""
    return (np.bincount(place, kept) > 0)[place]


def _noisier(variances: np.ndarray, df: np.ndarray, place: np.ndarray, mine: np.ndarray) -> float:
    """P-value of an F test that a strategy's contrasts are no noisier than the others' at its budgets."""
    others = _pooled(variances, np.where(mine, 0.0, df), place)[place]
    own = mine & (others > 0)
    if not own.any():
        return 1.0
    ratio = df[own] @ (variances[own] / others[own]) / df[own].sum()
    return float(special.fdtrc(df[own].sum(), df[~mine].sum(), ratio))


def _prior_df(variances: np.ndarray, df: np.ndarray, place: np.ndarray) -> float:
    """d0, from how much more the logarithms of variances vary within a group than by chance."""
    positive, spare = variances > 0, len(df) - len(set(place))
    if not spare or not positive.any():
        return MOST
    floored = np.maximum(variances, 1e-5 * np.median(variances[positive]))
    logs = np.log(floored) - special.digamma(df / 2) + np.log(df / 2)
    centre = np.bincount(place, logs) / np.bincount(place)
    excess = np.square(logs - centre[place]).sum() / spare - special.polygamma(1, df / 2).mean()
    if excess <= special.polygamma(1, MOST / 2):
        return MOST
    return 2.0 * float(optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-6, MOST / 2))


def _whole_df(df: np.ndarray, deviations: np.ndarray) -> float:
    """Degrees of freedom of the mean of variances, from how alike the contrasts' deviations are.

    Two variances correlate as the square of their deviations' correlation, which is 1 / df by
    chance alone; that is taken off its mean over pairs, and one standard error put on, so
    that few contrasts claim little. With two seeds chance explains everything, and nothing is gained.
    """
    count, typical = len(df), float(df.mean())
    if count < 2 or typical < 1.5:
        return float(df.max())
    lengths = np.linalg.norm(deviations, axis=1, keepdims=True)
    unit = deviations / np.where(lengths > 0, lengths, 1.0)
    alike = np.square(unit @ unit.T)[np.triu_indices(count, 1)]
    high = alike.mean() + alike.std() / np.sqrt(len(alike))
    shared = np.clip((high - 1 / typical) / (1 - 1 / typical), 0.0, 1.0)
    return max(float(df.sum() / (1 + (count - 1) * shared)), float(df.max()))
