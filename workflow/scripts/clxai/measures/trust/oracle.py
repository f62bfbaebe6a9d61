"""Whether the test puts the known truth first, and what knows nothing last."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Panel, trust
from clxai.names import REFERENCE


@trust("oracle", better=1, null=0.5, low=0, high=1, needs=["oracle", "methods"])
def oracle(panel: Panel) -> Mapping[str, ndarray]:
    """How often the map of the evidence is above a method, and a method above the random map; ties count half.

    Per image and seed, mean over methods, and of the means over images within each seed (`srg_over_methods_means`).
    """
    found = {}
    for part in INSTRUMENTS:
        truth, methods, chance = _three(panel, part)
        for name, (high, low) in {"over_methods": (truth, methods), "methods_over_random": (methods, chance)}.items():
            found[f"{part}_{name}"] = wins(high - low).mean(-1)
            found[f"{part}_{name}_means"] = wins(high.mean(1) - low.mean(1)).mean(-1)
    return found


@trust("oracle_order", better=1, null=0.16666666666666666, low=0, high=1, needs=["oracle", "methods"])
def oracle_order(panel: Panel) -> Mapping[str, ndarray]:
    """How often the map of the evidence is above a method that is above the random map; ties do not count.

    Per image and seed, mean over methods, and of the means over images within each seed (`srg_means`).
    """
    found = {}
    for part in INSTRUMENTS:
        truth, methods, chance = _three(panel, part)
        found[part] = ((truth > methods) & (methods > chance)).mean(-1)
        truth, methods, chance = (values.mean(1) for values in (truth, methods, chance))
        found[f"{part}_means"] = ((truth > methods) & (methods > chance)).mean(-1)
    return found


def wins(difference: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Return 1 where a difference is above 0, 0 where it is below, a half at 0, NaN where it is not defined."""
    return (1 + np.sign(difference)) / 2


def _three(panel: Panel, part: str) -> tuple[ndarray, ndarray, ndarray]:
    """Return the scores of the truth (the mean, where there are several), of the methods and of the random map, with one axis."""
    truth = panel.rated(part, [method.name for method in panel.of_member("oracle")]).mean(-1, keepdims=True)
    return truth, panel.rated(part), panel.rated(part, [REFERENCE])
