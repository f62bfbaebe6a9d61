"""Whether a curve falls at every step, however far."""

import numpy as np
from scipy.stats import rankdata

from clxai.measures.metrics.base import Curves, PerCurve, defined, metric


@metric("monotonicity", better=1, low=-1, high=1, options={"quantity": "log_odds"})
def monotonicity(curves: Curves, quantity: str) -> PerCurve:
    """Minus Spearman's rho with the step, MoRF, mean ranks for ties; undefined for a constant curve.

    1: the curve falls at every step.
    """
    ranks = rankdata(curves(quantity, "morf"), axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    steps = np.arange(ranks.shape[-1]) - (ranks.shape[-1] - 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=-1) * (steps**2).sum())
    return -(ranks * steps).sum(axis=-1) / defined(norm)
