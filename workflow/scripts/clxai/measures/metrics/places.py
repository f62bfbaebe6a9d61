"""Where the embedding moves while units are removed: towards another class, or to the middle of all.

The end is the same for all orders, the filled image; hence the mean over the path.
"""

from clxai.measures.metrics.base import Curves, PerCurve, area, metric


@metric("towards_class", better=0, low=None, high=None, options={"quantity": "other_distance"})
@metric("towards_mean", better=0, low=None, high=None, options={"quantity": "mean_distance"})
def towards(curves: Curves, quantity: str) -> PerCurve:
    """AUC of `(o_0 - o_j) / D`, MoRF, `o_j` the distance to the place at step `j`: how much nearer it is on average."""
    distance = curves(quantity)
    return area(distance[..., :1] - distance, curves.fraction) / curves.spread
