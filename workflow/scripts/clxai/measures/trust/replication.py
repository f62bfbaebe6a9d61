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
    inside = halves(panel.n_images, splits)[:, panel.image]
    return {part: replicated(panel.rated(part), inside, panel.n_seeds == 1) for part in INSTRUMENTS}


def halves(n_images: int, splits: int) -> np.ndarray:
    """Return which images are in the first half [split, image], drawn by the number of images alone."""
    rng = np.random.default_rng(key_of("halves", n_images))
    return rng.permuted(np.tile(np.arange(n_images), (splits, 1)), axis=1) < n_images // 2


def replicated(values: Float[ndarray, "seed image method"], inside: np.ndarray, same: bool) -> float:
    """Return the mean correlation over splits and pairs of seeds, of one seed with itself if `same`; NaN without a pair."""
    pairs = np.eye(len(values), dtype=bool) if same else ~np.eye(len(values), dtype=bool)
    if not pairs.any():
        return np.nan
    one, other = (standardised(mean_ranks(_means(values, half))) for half in (inside, ~inside))
    found = (one @ np.swapaxes(other, -1, -2))[:, pairs]
    return float(np.nanmean(found)) if np.isfinite(found).any() else np.nan


def _means(values: Float[ndarray, "seed image method"], half: np.ndarray) -> Float[ndarray, "split seed method"]:
    """Return the means over the images of each half; NaN where a draw of the images left it empty."""
    count = half.sum(1)[:, None, None]
    return np.einsum("ti,sim->tsm", half.astype(float), values) / np.where(count > 0, count, np.nan)
