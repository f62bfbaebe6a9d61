"""Areas under curves of a score: deletion, insertion, and what lies between."""

from clxai.measures.metrics.base import Curves, PerCurve, area, insertion_curve, metric


@metric("auc_deletion", better=-1, low=0, high=1, options={"quantity": "probability"})
@metric("auc_deletion_matched", better=-1, low=0, high=1, options={"quantity": "probability_matched"})
@metric("auc_deletion_kept", better=-1, low=0, high=1, options={"quantity": "kept"})
@metric("auc_deletion_log_odds", better=-1, low=None, high=None, options={"quantity": "log_odds"})
def auc_deletion(curves: Curves, quantity: str) -> PerCurve:
    """Area under the MoRF curve."""
    return area(curves(quantity, "morf"), curves.fraction)


@metric("auc_insertion", better=1, low=0, high=1, options={"quantity": "probability"})
@metric("auc_insertion_matched", better=1, low=0, high=1, options={"quantity": "probability_matched"})
@metric("auc_insertion_kept", better=1, low=0, high=1, options={"quantity": "kept"})
@metric("auc_insertion_log_odds", better=1, low=None, high=None, options={"quantity": "log_odds"})
def auc_insertion(curves: Curves, quantity: str) -> PerCurve:
    """Area under the insertion curve."""
    return area(*insertion_curve(curves(quantity, "lerf"), curves.fraction))


@metric("srg", better=1, low=-1, high=1, tables=["variance"], options={"quantity": "probability"})
@metric("srg_matched", better=1, low=-1, high=1, tables=["contrasts", "variance"], options={"quantity": "probability_matched"})
@metric(
    "srg_matched_low", better=1, low=-1, high=1, tables=["contrasts", "variance"], options={"quantity": "probability_matched_low"}
)
@metric(
    "srg_matched_high",
    better=1,
    low=-1,
    high=1,
    tables=["contrasts", "variance"],
    options={"quantity": "probability_matched_high"},
)
@metric("srg_kept", better=1, low=-1, high=1, tables=["contrasts", "variance"], options={"quantity": "kept"})
@metric("srg_log_odds", better=1, low=None, high=None, tables=["variance"], options={"quantity": "log_odds"})
def srg(curves: Curves, quantity: str) -> PerCurve:
    """Symmetric relevance gain: area between LeRF and MoRF [Bluecher et al. 2024, eq. 5]."""
    return area(curves(quantity, "lerf") - curves(quantity, "morf"), curves.fraction)


@metric("aopc", better=1, low=-1, high=1, options={"quantity": "probability_matched"})
def aopc(curves: Curves, quantity: str) -> PerCurve:
    """`1 / (J + 1) sum_{j=0..J} (p_0 - p_j)`, MoRF [Samek et al. 2017, eq. 12]."""
    curve = curves(quantity, "morf")
    return (curve[..., :1] - curve).mean(axis=-1)
