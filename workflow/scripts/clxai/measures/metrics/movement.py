"""Whether the embedding moves predictably and continuously while units are removed, and whether that is the loss of evidence.

z_j is the embedding at step j, f_j the removed fraction, m_j the target's log-odds.
"""

from clxai.measures.metrics.base import Curves, PerCurve, defined, metric
from clxai.measures.metrics.correlations import partial_correlation, rank_correlation


@metric("drift_monotonicity", better=0, low=-1, high=1)
def drift_monotonicity(curves: Curves) -> PerCurve:
    """Spearman's rho of `abs(z_j - z_0)` with `f_j`, MoRF, mean ranks for ties; undefined for a path without length.

    1: every step leads farther away from the clean image.
    """
    return rank_correlation(curves("drift_l2"))


@metric("largest_step", better=0, low=0, high=1)
def largest_step(curves: Curves) -> PerCurve:
    """Largest `abs(z_j - z_{j-1})` as a share of their sum, MoRF; undefined for a path without length.

    1 / J: all steps are equally long; 1: one jump.
    """
    steps = curves("step_length")
    return steps.max(axis=-1) / defined(steps.sum(axis=-1))


@metric("drift_follows_loss", better=0, low=-1, high=1)
def drift_follows_loss(curves: Curves) -> PerCurve:
    """Partial correlation of `abs(z_j - z_0)` with `m_0 - m_j` given `f_j`, MoRF; undefined where one is a line in `f`.

    Both grow with what is removed. What is left of each is its deviation from a straight line: 1, the embedding moves where the
    evidence goes.
    """
    return partial_correlation(curves("drift_l2"), -curves("log_odds"), curves.fraction)
