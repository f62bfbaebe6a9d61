"""Whether the embedding moves predictably and continuously while units are removed, and where to."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import Panel, trust
from clxai.measures.trust.means import defined_parts, mean_over
from clxai.names import REFERENCE

PREDICTABLE = {"monotone": "drift_monotonicity", "continuous": "largest_step", "straight": "straightness"}


@trust(
    "movement",
    better=1,
    null=None,
    low=-1,
    high=1,
    needs=["methods"],
    metrics=["drift_monotonicity", "largest_step", "straightness"],
)
def movement(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """How predictably the embedding moves as units go in the order of an explanation, mean over methods.

    `monotone`: `drift_monotonicity`; `continuous`: 1 less `largest_step`; `straight`: `straightness`; 1 is best.
    """
    return defined_parts({part: _predictable(panel, part, panel.explanations) for part in PREDICTABLE})


@trust(
    "movement_excess",
    better=1,
    null=0.0,
    low=-2,
    high=2,
    needs=["methods", "random"],
    metrics=["drift_monotonicity", "largest_step", "straightness"],
)
def movement_excess(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """The same less that of the random order of the same network and image."""
    names = panel.explanations, [REFERENCE]
    both = {part: [_predictable(panel, part, some) for some in names] for part in PREDICTABLE}
    return defined_parts({part: own - chance for part, (own, chance) in both.items()})


@trust(
    "follows_loss",
    better=1,
    null=0.0,
    needs=["methods"],
    metrics=["drift_follows_loss", "drift_srg", "drift_projection_srg"],
)
def follows_loss(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """Whether the embedding moves where the evidence goes, mean over methods.

    `loss`: `drift_follows_loss`, drift and loss of log-odds given the removed fraction; `encoder`: `drift_srg`, important units
    move the embedding first; `projection`: the same of the projection, for models that have one.
    """
    parts = {"loss": "drift_follows_loss", "encoder": "drift_srg", "projection": "drift_projection_srg"}
    return defined_parts({part: mean_over(panel, metric) for part, metric in parts.items()})


@trust("towards", better=0, null=0.0, needs=["methods"], metrics=["towards_class", "towards_mean"])
def towards(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """How much nearer the embedding comes, over the path, to another class and to the mean of all images, mean over methods."""
    return defined_parts({part: mean_over(panel, f"towards_{part}") for part in ("class", "mean")})


def _predictable(panel: Panel, part: str, names: list[str]) -> Float[ndarray, "seed image"]:
    """Return a part of the movement, 1 at best, of these methods."""
    values = mean_over(panel, PREDICTABLE[part], names)
    return np.subtract(1, values) if part == "continuous" else values
