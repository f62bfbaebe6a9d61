"""How far the projection moves on which a contrastive loss is computed; undefined for networks without one.

q_j is the unit projection at step j.
"""

from clxai.measures.metrics.base import Curves, PerCurve, area, metric


@metric("drift_projection_auc", better=0, low=0, high=2)
def drift_projection_auc(curves: Curves) -> PerCurve:
    """AUC of `abs(q_j - q_0)`, MoRF."""
    return area(curves("drift_projection"), curves.fraction)


@metric("drift_projection_srg", better=1, low=-2, high=2)
def drift_projection_srg(curves: Curves) -> PerCurve:
    """AUC of `abs(q_j - q_0)`, MoRF minus LeRF."""
    return area(curves("drift_projection", "morf") - curves("drift_projection", "lerf"), curves.fraction)
