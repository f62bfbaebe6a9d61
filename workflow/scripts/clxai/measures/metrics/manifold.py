"""Which part of a curve lies where clean images lie.

An embedding is outside where its distance to the training embeddings is above what 95 % of the clean test images do not exceed.
"""

import numpy as np

from clxai.measures.metrics.base import Curves, PerCurve, area, defined, metric


@metric("off_manifold_share", better=-1, low=0, high=1, options={"quantity": "bank_distance"})
@metric("off_manifold_share_mahalanobis", better=-1, low=0, high=1, options={"quantity": "relative_mahalanobis"})
def off_manifold_share(curves: Curves, quantity: str) -> PerCurve:
    """AUC of [outside], MoRF: the share of the removed fraction over which the embedding is outside."""
    return area(curves.outside(quantity), curves.fraction)


@metric("srg_inside", better=1, low=-1, high=1, options={"quantity": "probability_matched"})
def srg_inside(curves: Curves, quantity: str) -> PerCurve:
    """Mean of LeRF minus MoRF over those intervals of `f` at both ends of which both orders are inside; undefined without one.

    The area over these intervals is divided by their width, so that a gap of 1 gives 1 however little is inside.
    """
    gain = curves(quantity, "lerf") - curves(quantity, "morf")
    inside = (curves.outside("bank_distance", "morf") + curves.outside("bank_distance", "lerf")) == 0
    width = np.diff(curves.fraction) * (inside[..., 1:] & inside[..., :-1])
    return ((gain[..., 1:] + gain[..., :-1]) / 2 * width).sum(axis=-1) / defined(width.sum(axis=-1))
