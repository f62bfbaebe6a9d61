"""Curves up to a cap: of at most a share `beta` of the units removed, as a network saw it that was trained with such masks."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.metrics.base import Curves, PerCurve, metric


def capped(curve: Float[ndarray, "*batch step"], fraction: Float[ndarray, " step"], beta: float) -> PerCurve:
    """Return the mean of a curve over removed fractions from 0 to `beta`, 1 / beta of the area; straight between steps."""
    place = int(np.searchsorted(fraction, beta))  # of the first step that is not before the cap
    before, after = fraction[place - 1], fraction[place]
    end = curve[..., place - 1] + (curve[..., place] - curve[..., place - 1]) * (beta - before) / (after - before)
    values = np.concatenate([curve[..., :place], end[..., None]], axis=-1)
    return np.trapezoid(values, np.append(fraction[:place], beta), axis=-1) / beta


@metric("auc_deletion_tenth", better=-1, low=0, high=1, options={"beta": 0.1})
@metric("auc_deletion_half", better=-1, low=0, high=1, options={"beta": 0.5})
def auc_deletion_capped(curves: Curves, beta: float) -> PerCurve:
    """Mean of the MoRF curve while at most `beta` of the units are removed [Zheng et al. 2025, Fid+ at the cap]."""
    return capped(curves("probability_matched", "morf"), curves.fraction, beta)


@metric("auc_insertion_tenth", better=1, low=0, high=1, options={"beta": 0.1})
@metric("auc_insertion_half", better=1, low=0, high=1, options={"beta": 0.5})
def auc_insertion_capped(curves: Curves, beta: float) -> PerCurve:
    """Mean of the LeRF curve while at most `beta` of the units are removed, the end of the insertion curve [Fid- at the cap]."""
    return capped(curves("probability_matched", "lerf"), curves.fraction, beta)


@metric("srg_tenth", better=1, low=-1, high=1, options={"beta": 0.1})
@metric("srg_half", better=1, low=-1, high=1, options={"beta": 0.5})
def srg_capped(curves: Curves, beta: float) -> PerCurve:
    """Mean of LeRF minus MoRF while at most `beta` of the units are removed."""
    return capped(curves("probability_matched", "lerf") - curves("probability_matched", "morf"), curves.fraction, beta)
