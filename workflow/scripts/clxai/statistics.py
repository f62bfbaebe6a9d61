"""Uncertainty where training seeds are the units and images are nested in them, and corrected tests."""

from collections.abc import Hashable, Mapping

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

LEVEL = 0.95


def bootstrap_weights(n_seeds: int, n_images: int, n_draws: int, rng: np.random.Generator) -> Float[ndarray, "draw seed image"]:
    """Return how often each image of each seed is drawn: seeds with replacement, then images within each drawn seed."""
    seeds = rng.integers(n_seeds, size=(n_draws, n_seeds))
    weights = np.zeros((n_draws, n_seeds, n_images))
    for position in range(n_seeds):  # the drawn seeds of one replicate, at most a handful
        images = rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_draws)
        np.add.at(weights, (np.arange(n_draws), seeds[:, position]), images)
    return weights


def weighted_means(
    values: Float[ndarray, "seed image column"], weights: Float[ndarray, "draw seed image"]
) -> Float[ndarray, "draw column"]:
    """Return the mean of each column under each draw; NaN values are left out of both sums."""
    flat, shares = values.reshape(-1, values.shape[-1]), weights.reshape(len(weights), -1)
    known = np.isfinite(flat)
    total, count = shares @ np.where(known, flat, 0.0), shares @ known.astype(np.float64)
    return total / np.where(count == 0, np.nan, count)


def interval(
    values: Float[ndarray, "seed image column"], weights: Float[ndarray, "draw seed image"]
) -> tuple[Float[ndarray, " column"], Float[ndarray, " column"]]:
    """Return the percentile interval at 95 % of the hierarchical bootstrap [Davison, Hinkley 1997, section 3.8]."""
    tail = 100 * (1 - LEVEL) / 2
    means = weighted_means(values, weights)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)  # NaN where a draw is undefined: those are done one by one
    for column in np.flatnonzero(np.isnan(means).any(axis=0)):
        known = means[np.isfinite(means[:, column]), column]
        if len(known):
            low[column], high[column] = np.percentile(known, [tail, 100 - tail])
    return low, high


def seed_deviation(values: Float[ndarray, "seed image column"]) -> Float[ndarray, " column"]:
    """Return the standard deviation (n - 1) of the seeds' means; NaN for a single seed."""
    n_seeds, n_images = values.shape[:2]
    if n_seeds == 1:
        return np.full(values.shape[-1], np.nan)
    one_seed_each = np.repeat(np.eye(n_seeds)[:, :, None], n_images, axis=2)
    return weighted_means(values, one_seed_each).std(axis=0, ddof=1)


def holm_zero_tests(
    samples: Mapping[Hashable, np.ndarray], alpha: float
) -> tuple[Float[ndarray, " test"], Bool[ndarray, " test"]]:
    """Test each sample's mean against 0 (two-sided t) and return Holm-corrected p-values and rejections at `alpha`.

    A sample without spread is not rejected if it is all 0, rejected otherwise.
    """
    p_values = [_zero_test(sample) for sample in samples.values()]
    from statsmodels.stats.multitest import multipletests  # half a second, and only the checks need it

    rejected, corrected, _, _ = multipletests(p_values, alpha=alpha, method="holm")
    return corrected, rejected


def _zero_test(sample: np.ndarray) -> float:
    if np.ptp(sample) == 0:
        return float((sample == 0).all())
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(sample, 0.0).pvalue)
