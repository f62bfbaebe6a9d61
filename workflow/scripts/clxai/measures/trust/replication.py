"""Whether the order of the methods comes out again: in other trainings, on other images."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.keys import key_of
from clxai.measures.trust.base import INSTRUMENTS, Panel, trust
from clxai.measures.trust.ranks import mean_ranks, standardised


@trust("replication", better=1, null=0.0, low=-1, high=1, needs=["ranking"], options={"splits": 32})
def replication(panel: Panel, splits: int) -> Mapping[str, float]:
    """Mean Spearman correlation of one seed's order of the methods on half of the images with another seed's on the other half.

    Over all pairs of seeds and a number of splits, the same for all models. With one seed: of the same network on both halves.
    """
    inside, pairs = halves(panel.n_images, splits), pairs_of(panel)
    return {part: replicated(panel.means(part, of=inside), panel.means(part, of=~inside), pairs) for part in INSTRUMENTS}


def halves(n_images: int, splits: int) -> np.ndarray:
    """Return which images are in the first half [split, image], drawn by the number of images alone."""
    rng = np.random.default_rng(key_of("halves", n_images))
    return rng.permuted(np.tile(np.arange(n_images), (splits, 1)), axis=1) < n_images // 2


def pairs_of(panel: Panel) -> np.ndarray:
    """Return which seeds are compared [seed, seed]: different ones, in a study of one seed that one with itself."""
    same = np.eye(len(panel.seed), dtype=bool)
    return same if panel.n_seeds == 1 else ~same


def replicated(
    first: Float[ndarray, "split seed method"], second: Float[ndarray, "split seed method"], pairs: np.ndarray
) -> float:
    """Return the mean correlation of the orders of two halves over splits and pairs; NaN without one that is defined."""
    one, other = (standardised(mean_ranks(half)) for half in (first, second))
    found = (one @ np.swapaxes(other, -1, -2))[:, pairs]
    return float(np.nanmean(found)) if np.isfinite(found).any() else np.nan
