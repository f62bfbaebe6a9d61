"""The learning rate of a training: what networks and explainers are trained with."""

import math
from collections.abc import Mapping
from typing import Any

_WARMUP_FROM = 0.1  # the warm-up starts at this share of the learning rate


def learning_rate(recipe: Mapping[str, Any], progress: float) -> float:
    """Return the learning rate after `progress` epochs: linear warm-up from a tenth, then cosine to 0 or constant."""
    peak, warmup, epochs = recipe["learning_rate"], recipe["warmup_epochs"], recipe["epochs"]
    if progress < warmup:
        return peak * (_WARMUP_FROM + (1 - _WARMUP_FROM) * progress / warmup)
    if recipe["schedule"] == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (epochs - warmup)))
