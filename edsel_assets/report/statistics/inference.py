"""Tests and intervals of one table: differences to the control, and the annotation saved.

Symbols as in ``noise``, and: K cells that are compared with the control, L budgets of the control, m_k
mean of cell k, f the control's curve through its means.

**Annotation saved as a set.** Saved annotation inverts a curve, and where the curve is flat it is not a
number: every budget of a plateau gives the same score. So the interval is the set of control
budgets c whose score f(c) does not differ significantly from m_k:

    |m_k - f(c)| <= t * se(m_k - f(c)) + error of the interpolation at c,

as Fieller (1954, "Some problems in interval estimation", J. R. Stat. Soc. B 16) inverts a test to get the
interval of a ratio. A true c is missed as often as the test errs, on a slope and on a plateau
alike. The number shown is read off the monotone fit of f; the set is read off f itself, from its first to
its last accepted budget. So where the control falls, and several budgets have the cell's score, it holds
them all, and no bias of the fit is in it. The set may reach the end of the measured budgets: it is then
open at that end, as nothing is known beyond.

**Where there is no number.** On a plateau the curve's first crossing says where the plateau begins, which is
below the budget of random sampling too: no fault of the strategy. So the curve is called too flat to tell
where the set holds the cell's own budget and is open at both ends, or is open at one end and the control's
own means do not differ significantly between the smallest and the largest measured budget in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from edsel_assets.report.statistics.curve import Curve, isotonic, reached, read_curve
from edsel_assets.report.statistics.moderation import Prior, fit_prior
from edsel_assets.report.statistics.noise import Noise

LEVEL = 0.95


@dataclass(frozen=True)
class Errors:
    """Standard errors of contrasts, with what their t quantiles need; (...) each.

    A difference is uncertain by seeds, whose variance is known on few degrees of freedom, and by
    items, whose is known on many. Welch (1947, "The generalization of Student's problem", Biometrika 34)
    gives both together one number of degrees of freedom, and a series for the quantile. He reads
    both off variances that are themselves uncertain: his series allows for that, but not where
    nearly all is of seeds. Intervals of 95 % hold with the wider of the two. The far tails that Holm's
    correction uses do not. So p-values mix the tails by each part's share of the variance (after
    Cochran and Cox 1950, "Experimental designs"), which is more careful, and would make intervals too wide.

    Attributes:
        se: NaN where nothing is known of the spread over seeds.
        seed_df: degrees of freedom of the seeds' variance.
        seed_share: its share of the whole variance, in [0, 1].
        item_df: degrees of freedom of the items' variance.
    """

    se: np.ndarray
    seed_df: np.ndarray
    seed_share: np.ndarray
    item_df: float

    def half_width(self, bias: np.ndarray | float = 0.0) -> np.ndarray:
        """Half of the 95 % interval of a value that a bias of at most ``bias`` may be in.

        An unbiased estimate errs to both sides, one whose bias is many standard errors to one side alone. So
        the level of the t quantile goes from 95 to 90 % (Armstrong and Kolesar 2018, "Optimal inference in
        a class of regression models", Econometrica 86, section 3).
        """
        ratio = np.divide(bias, self.se, out=np.zeros(self.se.shape), where=self.se > 0)
        return bias + self._quantile(np.interp(ratio, _RATIOS, _LEVELS)) * self.se

    def _quantile(self, level: np.ndarray) -> np.ndarray:
        by_seed, by_item = self._dfs()
        seeds, items = self.seed_share, 1 - self.seed_share
        first = seeds**2 / by_seed + items**2 / by_item
        by_df = special.stdtrit(1.0 / first, 0.5 + level / 2)
        z = special.ndtri(0.5 + level / 2)
        series = z * (
            1
            + (1 + z**2) / 4 * first
            - (1 + z**2) / 2 * (seeds**2 / by_seed**2 + items**2 / by_item**2)
            + (3 + 5 * z**2 + z**4) / 3 * (seeds**3 / by_seed**2 + items**3 / by_item**2)
            - (15 + 32 * z**2 + 9 * z**4) / 32 * first**2
        )
        return np.maximum(by_df, series)

    def two_sided(self, value: np.ndarray) -> np.ndarray:
        """P-values of no difference; with no noise at all 1 for none and 0 for any; NaN stays."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(value == 0, 0.0, np.abs(value) / self.se)
        by_seed, by_item = (2.0 * special.stdtr(df, -t) for df in self._dfs())
        p = self.seed_share * by_seed + (1 - self.seed_share) * by_item
        return np.where(np.isnan(self.se), np.nan, p)

    def _dfs(self) -> tuple[np.ndarray, float]:
        return np.clip(self.seed_df, 1e-3, 1e9), min(self.item_df, 1e9)


def _levels(ratios: np.ndarray) -> np.ndarray:
    """The levels at which bias plus a two-sided half width covers ``LEVEL``, by bias in standard errors.

    The half width h solves cdf(h) - cdf(-h - 2 * ratio) = LEVEL, by halving.
    """
    low, high = (np.full(len(ratios), special.ndtri(p)) for p in (LEVEL, 0.5 + LEVEL / 2))
    for _ in range(40):
        middle = (low + high) / 2
        enough = special.ndtr(middle) - special.ndtr(-middle - 2 * ratios) >= LEVEL
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return 2 * special.ndtr(high) - 1


_RATIOS = np.linspace(0.0, 2.5, 101)
_LEVELS = _levels(_RATIOS)


@dataclass(frozen=True)
class Differences:
    """Cells against the control's at the same budget; (K,) each.

    Attributes:
        value: mean minus the control's.
        se: its standard error; ``half_width`` of its 95 % interval. NaN without two seeds anywhere.
        p: of no difference, two-sided; ``adjusted``: after Holm over the table's cells.
    """

    value: np.ndarray
    se: np.ndarray
    half_width: np.ndarray
    p: np.ndarray
    adjusted: np.ndarray


@dataclass(frozen=True)
class Needed:
    """The control's budget that one cell's score corresponds to.

    Attributes:
        budget: where the monotone curve reaches the score; -inf below the smallest budget's
            score, inf above the largest one's.
        low, high: ends of the 95 % set, -inf and inf where it is open; a set with no measured
            budget in it lies beyond the last, or before the first. NaN without an estimate of noise.
        flat: the curve is too flat to tell.
        p: of needing as many as the cell's own budget, two-sided; beyond the measured budgets, of the
            score at the nearest of them.
    """

    budget: float
    low: float
    high: float
    flat: bool
    p: float


def compare(
    means: np.ndarray,
    noise: Noise,
    budgets: np.ndarray,
    strategies: np.ndarray,
    cells: np.ndarray,
    controls: np.ndarray,
) -> tuple[Differences, Prior]:
    """Difference of each cell to the control's at its budget, and the table's prior of variances.

    Args:
        means, budgets, strategies: (C,) of which ``noise`` tells.
        cells, controls: (K,) rows of ``means``: what is compared with what.
    """
    contrasts = np.zeros((len(cells), len(means)))
    contrasts[np.arange(len(cells)), cells] = 1.0
    contrasts[np.arange(len(cells)), controls] -= 1.0
    unit, df = noise.design(contrasts)
    by_trial = _per_unit(contrasts, noise, unit)
    deviations = contrasts @ noise.seeds
    prior = fit_prior(by_trial, df, deviations, budgets[cells], strategies[cells], budgets, strategies)
    errors = standard_errors(contrasts, noise, prior)
    value = means[cells] - means[controls]
    p = errors.two_sided(value)
    return Differences(value, errors.se, errors.half_width(), p, holm(p)), prior


def standard_errors(contrasts: np.ndarray, noise: Noise, prior: Prior) -> Errors:
    """Standard errors of contrasts (..., C): the seeds' variance, steadied by the table, plus the items'."""
    unit, df = noise.design(contrasts)
    parts = noise.factors(contrasts)
    factor = parts.sum(axis=-1)
    shares = np.divide(parts, factor[..., None], out=np.zeros_like(parts), where=factor[..., None] > 0)
    df = _unequal_df(df, shares, noise, prior.trusted(shares))
    variance, df = prior.moderate(_per_unit(contrasts, noise, unit), df, shares)
    by_seed = factor * variance
    total = by_seed + noise.item_variance(contrasts)
    share = np.divide(by_seed, total, out=np.ones_like(total), where=total > 0)
    return Errors(np.sqrt(total), df, share, noise.item_df)


def _unequal_df(df: np.ndarray, shares: np.ndarray, noise: Noise, trust: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the contrasts' own variance, whose formula takes all trials as equally noisy.

    As far as that is not so, the noisiest cell has nearly all of the variance: then they are those of
    the cell with the fewest seeds, as any may be it.
    """
    spare = noise.present.sum(axis=1) - 1
    least = np.where((shares > 0) & (spare > 0), spare, np.inf).min(axis=-1)
    return trust * df + (1 - trust) * np.minimum(df, least)


def _per_unit(contrasts: np.ndarray, noise: Noise, unit: np.ndarray) -> np.ndarray:
    """The seeds' variance of contrasts as that of a single trial."""
    return np.divide(noise.seed_variance(contrasts), unit, out=np.zeros_like(unit), where=unit > 0)


def holm(p: np.ndarray) -> np.ndarray:
    """P-values so adjusted that any at most 0.05 in a table under the null is as rare as 0.05 (Holm 1979).

    NaNs are no tests and stay.
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """P-values so adjusted that of those at most q a share of q is of true nulls (Benjamini, Hochberg 1995).

    NaNs are no tests and stay.
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    steps = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return adjusted


def needed_budgets(
    means: np.ndarray,
    noise: Noise,
    prior: Prior,
    cells: np.ndarray,
    own: np.ndarray,
    curve: np.ndarray,
    budgets: np.ndarray,
) -> list[Needed]:
    """The control's budgets that the cells' scores correspond to.

    Args:
        means: (C,), higher is better.
        cells: (K,) rows to compare, at the budgets ``own`` (K,).
        curve: (L,) rows of the control.
        budgets: (L,) the control's, ascending; with one, a cell is above, below or at it.
    """
    weights = noise.present[curve].sum(axis=1).astype(float)
    fitted = isotonic(means[curve], weights)
    if not len(cells):
        return []
    read = read_curve(budgets, means[curve])
    contrasts = np.zeros((len(cells), len(read.where), len(means)))
    contrasts[:, :, curve] = -read.weights
    contrasts[np.arange(len(cells)), :, cells] += 1.0
    limit = standard_errors(contrasts, noise, prior).half_width(bias=read.error)
    gap = means[cells][:, None] - read.values
    found = [reached(budgets, fitted, means[cell]) for cell in cells]
    ends = [_accepted(read.where, gap[k], limit[k], at) for k, at in enumerate(found)]
    told = told_apart(means, noise, prior, curve) <= 1 - LEVEL
    flat = [_is_flat(*end, budget, budgets, told) for end, budget in zip(ends, own, strict=True)]
    p = _p_at(own, read, means, noise, prior, cells, curve)
    return [Needed(at, *end, *rest) for at, end, *rest in zip(found, ends, flat, p, strict=True)]


def _p_at(
    own: np.ndarray,
    read: Curve,
    means: np.ndarray,
    noise: Noise,
    prior: Prior,
    cells: np.ndarray,
    curve: np.ndarray,
) -> np.ndarray:
    """(K,) p-values that cells score what the curve has at their own budgets; its error counts for them."""
    columns = [read.values, read.error, *read.weights.T]
    logs = np.log(read.where)
    value, error, *weights = (np.interp(np.log(own), logs, column) for column in columns)
    contrasts = np.zeros((len(cells), len(means)))
    contrasts[:, curve] = -np.stack(weights, axis=1)
    contrasts[np.arange(len(cells)), cells] += 1.0
    beyond = np.maximum(np.abs(means[cells] - value) - error, 0.0)
    return standard_errors(contrasts, noise, prior).two_sided(beyond)


def told_apart(means: np.ndarray, noise: Noise, prior: Prior, curve: np.ndarray) -> np.ndarray:
    """(L, L) p-values that the control's means do not differ between two of its budgets."""
    units = np.eye(len(means))[curve]
    contrasts = units[:, None] - units[None]
    return standard_errors(contrasts, noise, prior).two_sided(contrasts @ means)


def _is_flat(low: float, high: float, own: float, budgets: np.ndarray, told: np.ndarray) -> bool:
    if not (low <= own <= high) or (np.isfinite(low) and np.isfinite(high)):
        return False
    inside = np.flatnonzero((low <= budgets) & (budgets <= high))
    if np.isinf(low) and np.isinf(high):
        return True
    return len(inside) > 1 and not told[inside[0], inside[-1]]


def _accepted(where: np.ndarray, gap: np.ndarray, limit: np.ndarray, at: float) -> tuple[float, float]:
    """Ends of the budgets whose gap is within the limit, interpolated between places.

    ``at`` is where the gap is zero, if anywhere: a set may be narrower than the step between places.
    """
    margin = limit - np.abs(gap)
    if np.isfinite(at):
        margin = np.insert(margin, np.searchsorted(where, at), np.interp(at, where, limit))
        where = np.insert(where, np.searchsorted(where, at), at)
    inside = np.flatnonzero(margin >= 0)
    if np.isnan(margin).any():
        return np.nan, np.nan
    if not len(inside):  # the whole curve is significantly lower, or higher
        beyond, before = np.nextafter(where[-1], np.inf), np.nextafter(where[0], 0)
        return (beyond, np.inf) if gap[-1] > 0 else (-np.inf, before)
    first, last = inside[0], inside[-1]
    low = -np.inf if first == 0 else _root(where, margin, first - 1)
    high = np.inf if last == len(where) - 1 else _root(where, margin, last)
    return low, high


def _root(where: np.ndarray, margin: np.ndarray, before: int) -> float:
    """Where the margin changes sign between two places, by a straight line in the logarithm."""
    part = margin[before] / (margin[before] - margin[before + 1])
    low, high = np.log(where[before]), np.log(where[before + 1])
    return float(np.exp(low + part * (high - low)))
