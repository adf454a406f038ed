"""How uncertain mean scores are: their variance over training seeds and over benchmark items, by formula.

Symbols: C cells (a cell is one strategy at one budget), J training seeds, I benchmark items,
n_c trials of cell c (one trial per seed). A contrast is a weighted sum of cell means.

**Two levels.** A mean is uncertain as another seed would have trained another model, and as another
draw of the benchmark would have held other items. A seed acts on every cell with a trial of it, and an item
on every cell with a score of it. So cells that share a seed, an item, or a prompt subset drawn by that
seed, have a covariance, and what they share leaves their difference.

**No resampling.** Drawing three seeds with replacement would give ten outcomes and a variance a third too
small. Variances and covariances are computed from the deviations, with the divisor n (n - 1). What remains of
"three seeds only" is in the degrees of freedom of ``moderation`` and the t quantiles of ``inference``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Noise:
    """The deviations that covariances are made of.

    Attributes:
        seeds: (C, J) deviation of a cell's mean by seed; 0 where the cell lacks the seed.
        present: (C, J) bool, whether the cell has a trial of the seed.
        items: (C, R) deviation by item, or a factor of the same covariance; R may be 0.
        item_df: degrees of freedom of the items' variance; infinite without items.
    """

    seeds: np.ndarray
    present: np.ndarray
    items: np.ndarray
    item_df: float

    def seed_covariance(self) -> np.ndarray:
        """(C, C) of the cells' means by the spread over seeds; 0 for cells of one trial.

        Where two cells share m of their n and n' seeds, an effect of the seed on both has the
        covariance m / (n n') in their means. The deviations' products expect less unless the
        seeds are the same (centring reaches beyond the shared ones), and are scaled to that.
        """
        n = self.present.sum(axis=1)
        common, overlap = self._overlap()
        scale = np.outer(*[1.0 / np.sqrt(np.maximum(n * (n - 1), 1))] * 2)
        wanted, expected = common / np.outer(n, n), scale * overlap
        factor = np.divide(wanted, expected, out=np.ones_like(wanted), where=(common > 1) & (expected > 0))
        return factor * (self.seeds @ self.seeds.T)

    def seed_variance(self, contrasts: np.ndarray) -> np.ndarray:
        """(...) variance of contrasts (..., C) from the spread over seeds; needs two trials a cell."""
        return np.maximum(((contrasts @ self.seed_covariance()) * contrasts).sum(axis=-1), 0.0)

    def item_variance(self, contrasts: np.ndarray) -> np.ndarray:
        """(...) variance of contrasts (..., C) from the spread over items."""
        return np.square(contrasts @ self.items).sum(axis=-1)

    def factors(self, contrasts: np.ndarray) -> np.ndarray:
        """(..., C) parts of the variance of contrasts (..., C) where each trial on its own has variance 1."""
        return np.square(contrasts) / self.present.sum(axis=1)

    def design(self, contrasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What ``seed_variance`` expects per unit variance of a trial, and its degrees of freedom.

        The variance is a sum of squares e'Ge of the trials' deviations e. For independent
        ones its mean is tr G and its degrees of freedom (tr G)^2 / tr(G^2) (Satterthwaite 1946):
        n - 1 for a paired difference of n seeds. Cells of one trial add none to either.

        Args:
            contrasts: (..., C).

        Returns:
            (...) means and (...) degrees of freedom, 0 where every cell has one trial only.
        """
        n = self.present.sum(axis=1)
        inner = np.where(n > 1, 1.0 / np.maximum(n * (n - 1), 1), 0.0)
        _, overlap = self._overlap()
        squares = np.square(contrasts) * inner
        mean = squares @ (n - 1)
        spread = ((squares @ overlap) * squares).sum(axis=-1)
        return mean, np.divide(mean**2, spread, out=np.zeros_like(mean), where=spread > 0)

    def _overlap(self) -> tuple[np.ndarray, np.ndarray]:
        """(C, C) seeds that two cells share, and the trace of the product of their centrings."""
        n = self.present.sum(axis=1)
        common = self.present.astype(float) @ self.present.T
        return common, common - common / n - common / n[:, None] + common**2 / np.outer(n, n)


def measure_noise(values: np.ndarray, items: ItemNoise | None = None) -> Noise:
    """The noise of the mean over seeds of each cell.

    Args:
        values: (C, J) score of each trial, NaN where there is none.
        items: what is known of the items; None: their draw is taken as no source of noise.
    """
    present = np.isfinite(values)
    n = present.sum(axis=1)
    centred = np.where(present, values - np.nanmean(values, axis=1, keepdims=True), 0.0)
    seeds = centred / np.sqrt(np.maximum(n * (n - 1), 1))[:, None]
    if items is None:
        return Noise(seeds, present, np.empty((len(values), 0)), np.inf)
    return Noise(seeds, present, items.deviations, items.df)


@dataclass(frozen=True)
class ItemNoise:
    """What the draw of benchmark items adds to the cells' means.

    Attributes:
        deviations: (C, R) with covariance of the means = deviations @ deviations.T.
        df: degrees of freedom.
    """

    deviations: np.ndarray
    df: float


def items_from_scores(scores: np.ndarray) -> ItemNoise:
    """The items' noise from the score of each item in each trial.

    The spread of a cell's item means over items holds each trial's own noise per item too. That
    noise is in the spread over seeds already, so it is taken off here: seeds and items are crossed, and
    the variance of a mean over both is that over seeds plus that over items less that of the rest
    (Cornfield and Tukey 1956; counting both in full is the pigeonhole bootstrap of Owen 2007, too wide).

    Args:
        scores: (C, J, I), NaN for a trial that there is not; every trial has all items, I at least 2.
    """
    present = np.isfinite(scores[:, :, 0])
    n, count = present.sum(axis=1), scores.shape[2]
    filled = np.where(present[:, :, None], scores, 0.0)
    means = filled.sum(axis=1) / n[:, None]  # (C, I)
    deviations = means - means.mean(axis=1, keepdims=True)
    rest = (filled - means[:, None, :]) * present[:, :, None]
    rest -= rest.mean(axis=2, keepdims=True)
    own = np.square(rest).sum(axis=(1, 2)) / np.maximum((n - 1) * (count - 1), 1)
    covariance = deviations @ deviations.T / (count - 1) - np.diag(own / n)
    return ItemNoise(_root_of(covariance / count), count - 1.0)


def items_from_stderr(stderr: np.ndarray, count: int) -> ItemNoise:
    """The items' noise where only standard errors are known: normal and apart for every cell.

    Cells share items, so their true difference is less noisy: intervals come out too wide.

    Args:
        stderr: (C,) standard error over items of a trial's score.
        count: items.
    """
    return ItemNoise(np.diag(stderr), max(count - 1.0, 1.0))


def average_items(parts: list[ItemNoise], tasks: int) -> ItemNoise:
    """The items' noise of the mean over ``tasks`` tasks, whose items are drawn apart.

    A task without a part adds none.
    """
    covariance = sum(part.deviations @ part.deviations.T for part in parts) / tasks**2
    return ItemNoise(_root_of(covariance), min(part.df for part in parts))


def _root_of(covariance: np.ndarray) -> np.ndarray:
    """(C, C) whose product with its transpose is the nearest covariance without negative variances."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
