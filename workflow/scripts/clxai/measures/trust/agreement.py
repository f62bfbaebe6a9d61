"""Whether set-ups of the test, fills and units, agree on which methods are better."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Panel, trust
from clxai.ranks import Number, mean_ranks, pairwise_spearman


@trust("agreement", better=1, null=0.0, low=-1, high=1, needs=["setups", "ranking"], across=True)
def agreement(panel: Panel) -> Mapping[str, Float[ndarray, " seed"]]:
    """Mean Spearman correlation, over all pairs of set-ups, of the order of the methods by their mean over images.

    Within each seed: one network is tested in several ways [Bluecher et al. 2024, section 5: .36 MoRF, .67 LeRF, .96 SRG].
    """
    return {part: pairwise_spearman(panel.means(part)) for part in INSTRUMENTS}


@trust("concordance", better=1, null=None, low=0, high=1, needs=["setups", "ranking"], across=True)
def concordance(panel: Panel) -> Mapping[str, Float[ndarray, " seed"]]:
    """Kendall's W of the set-ups' orders of the methods, corrected for ties; 1 / set-ups is expected of unrelated orders."""
    return {part: kendall_w(panel.means(part)) for part in INSTRUMENTS}


def kendall_w(values: Float[ndarray, "*batch judge item"]) -> Number:
    """Return 12 S / (m^2 (n^3 - n) - m T) for m judges of n items, T the sum of t^3 - t over groups of t ties [Kendall 1948].

    NaN where all judges leave all items tied.
    """
    m, n = values.shape[-2:]
    totals = mean_ranks(values).sum(-2)
    spread = ((totals - totals.mean(-1, keepdims=True)) ** 2).sum(-1)
    size = (values[..., :, None] == values[..., None, :]).sum(-1)  # of the group of ties of each item
    ties = (size**2 - 1.0).sum((-1, -2))  # t items of t^2 - 1 each are t^3 - t
    most = m**2 * (n**3 - n) - m * ties
    return 12 * spread / np.where(most > 0, most, np.nan)
