"""How far the test leaves the images that a network knows, and what it says where it does not."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import Panel, trust
from clxai.measures.trust.means import defined_parts, mean_over
from clxai.names import REFERENCE
from clxai.ranks import spearman

SHARES = {"bank": "off_manifold_share", "mahalanobis": "off_manifold_share_mahalanobis"}


@trust(
    "off_manifold",
    better=-1,
    null=None,
    low=0,
    high=1,
    needs=["methods", "random"],
    metrics=["off_manifold_share", "off_manifold_share_mahalanobis"],
)
def off_manifold(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """Share of the removed fraction over which embeddings are farther from the training ones than 95 % of clean test images.

    By the distance to the `bank_k`-th neighbour (`bank`) and by the relative one of Mahalanobis (`mahalanobis`), mean over
    methods, and for the random order (`bank_random`, `mahalanobis_random`).
    """
    own = {part: mean_over(panel, metric) for part, metric in SHARES.items()}
    return defined_parts({**own, **{f"{part}_random": mean_over(panel, metric, [REFERENCE]) for part, metric in SHARES.items()}})


@trust(
    "r_oms",
    better=1,
    null=None,
    low=0,
    high=1,
    needs=["random"],
    metrics=["auc_deletion_matched", "auc_insertion_matched", "auc_deletion_kept", "auc_insertion_kept"],
)
def r_oms(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """Area under the score of images with a random share removed [Bluecher et al. 2024, R-OMS]; high: the fill changes little.

    Both orders of the random map are random; `matched` of the probability at the fitted temperature, `kept` of the decision.
    """
    names = {part: [f"auc_{way}_{part}" for way in ("deletion", "insertion")] for part in ("matched", "kept")}
    return {part: sum(mean_over(panel, metric, [REFERENCE]) for metric in metrics) / 2 for part, metrics in names.items()}


@trust("inside", better=1, null=0.0, low=-1, high=1, needs=["ranking"], metrics=["srg_inside", "srg_matched"])
def inside(panel: Panel) -> Mapping[str, ndarray]:
    """What the part of the curves says over which both orders are inside, where clean images lie.

    `srg`: `srg_inside`, mean over methods; `ranking`: Spearman correlation of the order of the methods inside with that by the
    whole SRG, by their means over images, within each seed.
    """
    part, whole = (_mean_over_images(panel(metric)) for metric in ("srg_inside", "srg_matched"))
    return {"srg": mean_over(panel, "srg_inside"), "ranking": spearman(part, whole)}


def _mean_over_images(values: Float[ndarray, "seed image method"]) -> Float[ndarray, "seed method"]:
    """Return means over images, undefined values left out."""
    known = np.isfinite(values)
    count = known.sum(1)
    return np.where(known, values, 0).sum(1) / np.where(count > 0, count, np.nan)
