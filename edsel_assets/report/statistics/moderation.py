"""Variances estimated from few seeds, steadied by those of the table's other cells.

A variance from three seeds has two degrees of freedom and a t quantile of 4.3. The cells of a table
are alike, so their variances tell of each other. Smyth (2004, "Linear models and empirical Bayes
methods", Stat. Appl. Genet. Mol. Biol. 3:3, sections 3 and 6.2) takes the true variances as drawn from
one scaled inverse chi-squared distribution, estimates it from the table, and gives each cell

    (d0 * s0^2 + d * s^2) / (d0 + d)    on d0 + d degrees of freedom.

d0 is large where the cells' variances differ no more than chance allows, and 0 where they differ widely:
then nothing is borrowed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special


@dataclass(frozen=True)
class Prior:
    """What the table says of a cell's variance: ``variance`` on ``df`` degrees of freedom.

    ``limit`` bounds the degrees of freedom of any result: those that the whole table has.
    """

    variance: float
    df: float
    limit: float

    def moderate(self, variances: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steadied variances and their degrees of freedom, NaN and 0 where nothing is known."""
        own = np.where(df > 0, variances, 0.0)
        if np.isinf(self.df):
            return np.full_like(own, self.variance), np.full_like(own, self.limit)
        total = self.df + df
        steadied = (self.df * self.variance + df * own) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, steadied, np.nan), np.minimum(total, np.maximum(self.limit, df))


def fit_prior(variances: np.ndarray, df: np.ndarray, deviations: np.ndarray) -> Prior:
    """The prior of a table's variances.

    Args:
        variances: (K,) of contrasts, per unit variance of a trial.
        df: (K,) their degrees of freedom; cells of 0 are left out.
        deviations: (K, J) of the contrasts by seed. Contrasts with the same control, or of
            nested subsets, have deviations alike and count less.
    """
    known = df > 0
    variances, df, deviations = variances[known], df[known], deviations[known]
    positive = variances > 0
    if len(df) < 2 or not positive.any():
        return Prior(0.0, 0.0, float(df.max(initial=0.0)))
    limit = max(_whole_df(df, deviations), float(df.max()))
    floored = np.maximum(variances, 1e-5 * np.median(variances[positive]))
    logs = np.log(floored) - special.digamma(df / 2) + np.log(df / 2)
    excess = logs.var(ddof=1) - special.polygamma(1, df / 2).mean()
    if excess <= special.polygamma(1, 5e3):
        return Prior(float(df @ variances / df.sum()), np.inf, limit)
    prior = 2.0 * optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-6, 1e4)
    mean = logs.mean() + special.digamma(prior / 2) - np.log(prior / 2)
    return Prior(float(np.exp(mean)), float(prior), limit)


def _whole_df(df: np.ndarray, deviations: np.ndarray) -> float:
    """Degrees of freedom of the table's mean variance, from how alike the contrasts' deviations are.

    Two variances correlate as the square of their deviations' correlation, which is 1 / df by
    chance alone; that is taken off its mean over pairs, and one standard error put on, so
    that few contrasts claim little. With two seeds chance explains everything, and nothing is gained.
    """
    count, typical = len(df), float(df.mean())
    if typical < 1.5:
        return typical
    lengths = np.linalg.norm(deviations, axis=1, keepdims=True)
    unit = deviations / np.where(lengths > 0, lengths, 1.0)
    alike = np.square(unit @ unit.T)[np.triu_indices(count, 1)]
    high = alike.mean() + alike.std() / np.sqrt(len(alike))
    shared = np.clip((high - 1 / typical) / (1 - 1 / typical), 0.0, 1.0)
    return float(df.sum() / (1 + (count - 1) * shared))
