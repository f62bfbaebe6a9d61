"""The embedding's path while units are removed: how far it leads, how straight and how smooth it is.

z_j is the embedding at step j, D the mean distance between two class centroids. None of them depends on the scoring head.
"""

from clxai.measures.metrics.base import Curves, PerCurve, area, defined, metric


@metric("drift_auc", better=0, low=0, high=None)
def drift_auc(curves: Curves) -> PerCurve:
    """AUC of `abs(z_j - z_0) / D`, MoRF."""
    return area(curves("drift"), curves.fraction)


@metric("drift_srg", better=1, low=None, high=None)
def drift_srg(curves: Curves) -> PerCurve:
    """AUC of `abs(z_j - z_0) / D`, MoRF minus LeRF."""
    return area(curves("drift", "morf") - curves("drift", "lerf"), curves.fraction)


@metric("drift_cosine_auc", better=0, low=0, high=2)
def drift_cosine_auc(curves: Curves) -> PerCurve:
    """AUC of `1 - cos(z_j, z_0)`, MoRF."""
    return area(curves("drift_cosine"), curves.fraction)


@metric("off_manifold_auc", better=-1, low=0, high=2)
def off_manifold_auc(curves: Curves) -> PerCurve:
    """AUC of the distance to the `bank_k`-th nearest training embedding, unit vectors, MoRF [Sun et al. 2022]."""
    return area(curves("bank_distance"), curves.fraction)


@metric("centroid_auc", better=0, low=0, high=None)
def centroid_auc(curves: Curves) -> PerCurve:
    """AUC of `abs(z_j - mu_c) / D`, `c` the target of the explaining head, MoRF."""
    return area(curves("centroid_distance"), curves.fraction) / curves.spread


@metric("path_length", better=0, low=0, high=None)
def path_length(curves: Curves) -> PerCurve:
    """`L = sum_j abs(z_j - z_{j-1}) / D`, MoRF."""
    return curves("step_length").sum(axis=-1) / curves.spread


@metric("straightness", better=0, low=0, high=1)
def straightness(curves: Curves) -> PerCurve:
    """`abs(z_J - z_0) / (D L)`, MoRF; undefined for a path without length."""
    return curves("drift_l2")[..., -1] / defined(curves("step_length").sum(axis=-1))


@metric("roughness", better=-1, low=0, high=None)
def roughness(curves: Curves) -> PerCurve:
    """Mean norm of the second divided difference of `z` against `f` over the inner steps, over `D`, MoRF."""
    return _bend(curves) / curves.spread


@metric("roughness_relative", better=-1, low=0, high=None)
def roughness_relative(curves: Curves) -> PerCurve:
    """`roughness / L`; undefined for a path without length."""
    return _bend(curves) / defined(curves("step_length").sum(axis=-1))


def _bend(curves: Curves) -> PerCurve:
    return curves("acceleration")[..., 1:-1].mean(axis=-1)
