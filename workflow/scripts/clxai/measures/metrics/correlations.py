"""Correlations along the steps of curves, one per curve."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from clxai.measures.metrics.base import PerCurve, defined

_ROUNDING = 1e-9  # what is left of a curve when it is a straight line, relative to the curve


def rank_correlation(curve: Float[ndarray, "*batch step"]) -> PerCurve:
    """Return Spearman's rho of a curve with its step, mean ranks for ties, in [-1, 1]; NaN for a constant curve.

    It is that with the removed fraction too, which rises with the step.
    """
    ranks = rankdata(curve, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    steps = np.arange(ranks.shape[-1]) - (ranks.shape[-1] - 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=-1) * (steps**2).sum())
    return (ranks * steps).sum(axis=-1) / defined(norm)


def partial_correlation(
    one: Float[ndarray, "*#batch step"], other: Float[ndarray, "*#batch step"], given: Float[ndarray, " step"]
) -> PerCurve:
    """Return Pearson's correlation of two curves over the steps, each less its regression line on `given`, in [-1, 1].

    NaN where one of them is a straight line in `given`.
    """
    first, second = _residual(one, given), _residual(other, given)
    norm = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.clip((first * second).sum(axis=-1) / defined(norm), -1, 1)


def _residual(curve: Float[ndarray, "*batch step"], given: Float[ndarray, " step"]) -> Float[ndarray, "*batch step"]:
    """Return a curve less its regression line; exactly 0 where that is all there is."""
    centred, place = curve - curve.mean(axis=-1, keepdims=True), given - given.mean()
    left = centred - (centred @ place)[..., None] * place / (place @ place)
    scale = np.abs(curve).max(axis=-1, keepdims=True)
    return np.where(np.abs(left).max(axis=-1, keepdims=True) <= _ROUNDING * scale, 0.0, left)
