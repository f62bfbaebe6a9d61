"""How much each objective counts in an epoch: as the recipe says, or by DeepFaith's dynamic weight.

A function of the history alone, so that a training that is resumed goes on with the weights that it would have had.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import pvariance
from typing import Any

from clxai.amortising.recipes import DEEPFAITH, OBJECTIVES

_EPOCHS, _STILL, _PATIENCE = 5, 1e-5, 10.0  # e, epsilon and C of the publication


def weights_of(recipe: Mapping[str, Any], history: Sequence[Mapping[str, float | int]]) -> dict[str, float]:
    """Return the weight of each objective in the epoch after those of the history."""
    if recipe.get("schedule") == DEEPFAITH:
        share = pattern_share([row["pattern"] for row in history])
        return {"least_squares": 0.0, "pattern": share, "local": 1 - share}
    return {name: float(recipe.get(name, 0)) for name in OBJECTIVES}


def pattern_share(losses: Sequence[float]) -> float:
    """Return DeepFaith's weight of the pattern loss in the epoch after these, from its own values so far, in [0, 1].

    It is 1 until the variance over the last 5 epochs is below 1e-5, then 1 - 1 / (1 + exp(-(t - t0) / 10)), t0 the first such
    epoch, and 1 again from where the variance exceeds 1e-4.
    """
    since = None
    for epoch in range(_EPOCHS, len(losses) + 1):
        variance = pvariance(losses[epoch - _EPOCHS : epoch])
        if since is None and variance < _STILL:
            since = epoch
        elif since is not None and variance > _PATIENCE * _STILL:
            since = None
    return 1.0 if since is None else 1 - 1 / (1 + math.exp(-(len(losses) - since) / _PATIENCE))
