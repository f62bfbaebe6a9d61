"""How many units have to go, or to stay, for the decision: in shares of the units, by the decision alone."""

import numpy as np

from clxai.measures.metrics.base import Curves, PerCurve, metric


@metric("flip_size", better=-1, low=0, high=1)
def flip_size(curves: Curves) -> PerCurve:
    """Removed share at the first step at which the class is lost, MoRF; 1 where it never is, which `never_flipped` counts.

    An upper bound of the smallest set of units whose removal changes the decision [Vermeire et al. 2022], as far as steps tell.
    The mean is one restricted to 1, so that images that are never flipped count as what is known of them.
    """
    lost = curves("kept", "morf") == 0
    return np.where(lost.any(axis=-1), curves.fraction[lost.argmax(axis=-1)], 1.0)


@metric("never_flipped", better=0, low=0, high=1)
def never_flipped(curves: Curves) -> PerCurve:
    """1 where the class is lost at no step, MoRF, not even with all units gone; else 0.

    Of these images `flip_size` is only known to be more than 1.
    """
    return curves("kept", "morf").all(axis=-1).astype(np.float64)


@metric("anchor_size", better=-1, low=0, high=1)
def anchor_size(curves: Curves) -> PerCurve:
    """Share of the units that is still there, LeRF, at the last step before the class is first lost; 0 where it never is.

    Of the units that the map puts first so many, and any more of them, hold the decision: the size of an anchor
    [Ribeiro et al. 2018] for one draw of the fill, the map choosing its units.
    """
    lost = curves("kept", "lerf") == 0
    before = np.maximum(lost.argmax(axis=-1) - 1, 0)
    return np.where(lost.any(axis=-1), 1 - curves.fraction[before], 0.0)
