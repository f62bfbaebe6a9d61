"""Ranks and their correlation, batched over leading axes."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Number = Float[ndarray, "*batch"] | np.floating  # NumPy gives a scalar for a single one


def mean_ranks(values: Float[ndarray, "*batch item"]) -> Float[ndarray, "*batch item"]:
    """Return ranks from 1, ties at their mean rank; NaN throughout where a value is not defined.

    Counts the smaller values and half of the equal ones, which is quick for the few methods of a study.
    """
    one, other = values[..., :, None], values[..., None, :]
    ranks = (other < one).sum(-1) + 0.5 * (other == one).sum(-1) + 0.5
    return np.where(np.isnan(values).any(-1, keepdims=True), np.nan, ranks)


def standardised(ranks: Float[ndarray, "*batch item"]) -> Float[ndarray, "*batch item"]:
    """Return ranks of mean 0 and length 1; NaN where all are tied."""
    centred = ranks - ranks.mean(-1, keepdims=True)
    length = np.sqrt((centred**2).sum(-1, keepdims=True))
    return centred / np.where(length > 0, length, np.nan)


def spearman(first: Float[ndarray, "*#batch item"], second: Float[ndarray, "*#batch item"]) -> Number:
    """Return Spearman's rank correlation along the last axis, mean ranks for ties; NaN where one side is constant."""
    return (standardised(mean_ranks(first)) * standardised(mean_ranks(second))).sum(-1)


def pairwise_spearman(values: Float[ndarray, "*batch judge item"]) -> Number:
    """Return the mean rank correlation over all pairs of judges."""
    units = standardised(mean_ranks(values))
    both = units @ np.swapaxes(units, -1, -2)
    return both[..., *np.triu_indices(both.shape[-1], 1)].mean(-1)


def rank_correlation(first: Float[ndarray, "*batch item"], second: Float[ndarray, "*batch item"]) -> Number:
    """Return Spearman's rank correlation along the last axis, mean ranks for ties; quick for many items, as units and channels.

    Places that are NaN in both are no items. NaN where one side is constant, or not defined in other places than the other.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=-1, nan_policy="omit") for values in (first, second)]
    centred = [values - np.nanmean(values, axis=-1, keepdims=True) for values in ranks]
    length = np.sqrt(np.nansum(centred[0] ** 2, -1) * np.nansum(centred[1] ** 2, -1))
    same = (np.isnan(first) == np.isnan(second)).all(-1) & (length > 0)
    return np.where(same, np.nansum(centred[0] * centred[1], -1) / np.where(length > 0, length, 1), np.nan)
