"""On how few units a map lies. Neither number knows the network: a wrong map can be sparse.

a_u is the magnitude of a unit's mean attribution, n the number of units of the image.
"""

import numpy as np
from scipy.special import entr

from clxai.measures.metrics.base import PerCurve, defined, metric
from clxai.measures.metrics.maps import Maps, per_map


@metric("sparseness", better=1, low=0, high=1, reads="maps")
def sparseness(maps: Maps) -> PerCurve:
    """Gini index of `a_u`: 0 where all are equal, `1 - 1/n` where one has all; undefined for a map of zeros.

    [Hurley, Rickard 2009; Chalasani et al. 2020]
    """
    ascending = np.sort(np.abs(maps.scores), axis=-1)  # units that an image lacks are 0, and first
    n = maps.n_units[:, None]
    place = np.arange(1, ascending.shape[-1] + 1) - (ascending.shape[-1] - n)
    total = maps.n_units * ascending.sum(axis=-1)
    return per_map(((2 * place - n - 1) * ascending).sum(axis=-1) / defined(total))


@metric("complexity", better=-1, low=0, high=None, reads="maps")
def complexity(maps: Maps) -> PerCurve:
    """Entropy of the shares of `a_u` in their sum, nat, at most `log n`; undefined for a map of zeros [Bhatt et al. 2020]."""
    magnitude = np.abs(maps.scores)
    return per_map(entr(magnitude / defined(magnitude.sum(axis=-1, keepdims=True))).sum(axis=-1))
