"""Whether a curve falls at every step, however far."""

from clxai.measures.metrics.base import Curves, PerCurve, metric
from clxai.measures.metrics.correlations import rank_correlation


@metric("monotonicity", better=1, low=-1, high=1, options={"quantity": "log_odds"})
def monotonicity(curves: Curves, quantity: str) -> PerCurve:
    """Minus Spearman's rho with the step, MoRF, mean ranks for ties; undefined for a constant curve.

    1: the curve falls at every step.
    """
    return -rank_correlation(curves(quantity, "morf"))
