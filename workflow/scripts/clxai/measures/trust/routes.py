"""Scores that can be compared between models whose confidences differ: several routes, of which a claim needs all."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import Method, Panel, trust
from clxai.measures.trust.means import mean_over
from clxai.names import REFERENCE

AREAS = ("auc_deletion_matched", "auc_insertion_matched")  # of an order and of the reversed one: of LeRF
SEARCHED = ("best_order", "worst_order")


@trust(
    "routes",
    better=1,
    null=0.0,
    needs=["methods", "random"],
    metrics=["srg_matched", "srg_kept", "auc_deletion_matched", "auc_insertion_matched"],
)
def routes(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """SRG by every route that does without confidence, mean over methods; compare models in `trust_contrasts.csv`.

    `matched`, `kept`: SRG at the fitted temperature and of decisions; `matched_excess`, `kept_excess`: less that of the random
    order; `naopc`: NAOPC less that of the random order, for the units and the fill by which the study searches the best and the
    worst order.
    """
    found = {}
    for part in ("matched", "kept"):
        found[part] = mean_over(panel, f"srg_{part}")
        found[f"{part}_excess"] = found[part] - mean_over(panel, f"srg_{part}", [REFERENCE])
    if all(any(_is_of(panel, method) for method in panel.of_member(member)) for member in SEARCHED):
        found["naopc"] = np.mean(naopc(panel), axis=-1) - naopc(panel, [REFERENCE])[..., 0]
    return found


def _is_of(panel: Panel, method: Method) -> bool:
    """Say whether an order was searched with the units and the fill of a panel."""
    return (method.options["units"], method.options["fill"]) == panel.setup


def naopc(panel: Panel, names: list[str] | None = None) -> Float[ndarray, "seed image method"]:
    """Return the normalised area over the MoRF curve of these methods, by default those that are ranked, in [0, 1]; 1 is best.

    (AUC_worst - AUC) / (AUC_worst - AUC_best) of one image [Edin et al. 2025], at the fitted temperature. Best and worst are the
    extremes of all orders that the study has flipped, searched ones and reversed ones among them. NaN where they are equal.
    """
    every = [method.name for method in panel.methods]
    areas = np.concatenate([panel(metric, every) for metric in AREAS], axis=-1)
    best, worst = areas.min(-1, keepdims=True), areas.max(-1, keepdims=True)
    return (worst - panel(AREAS[0], names)) / np.where(worst > best, worst - best, np.nan)
