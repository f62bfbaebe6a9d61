"""Whether the order of the methods comes out again: in other trainings, on other images."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.keys import key_of
from clxai.measures.trust.base import INSTRUMENTS, Panel, trust
from clxai.ranks import mean_ranks, standardised

LEAST_SEEDS = 4  # that make halves of several


@trust("replication", better=1, null=0.0, low=-1, high=1, needs=["ranking"], options={"splits": 32})
def replication(panel: Panel, splits: int) -> Mapping[str, float]:
    """Mean Spearman correlation of one seed's order of the methods on half of the images with another seed's on the other half.

    Over all pairs of seeds and a number of splits, the same for all models. With one seed: of the same network on both halves.
    `srg_halves`: of half of the seeds together with the other half of them, over all such halves; with four seeds or more.
    """
    inside, pairs = halves(panel.n_images, splits), pairs_of(panel)
    both = {part: (panel.means(part, of=inside), panel.means(part, of=~inside)) for part in INSTRUMENTS}
    found = {part: replicated(*means, pairs) for part, means in both.items()}
    if panel.n_seeds >= LEAST_SEEDS:
        found |= {f"{part}_halves": replicated_by_halves(*means) for part, means in both.items()}
    return found


def replicated_by_halves(first: Float[ndarray, "split seed method"], second: Float[ndarray, "split seed method"]) -> float:
    """Return the mean correlation of the order by the mean of some seeds, half of them rounded down, with that of the others."""
    n_seeds = first.shape[1]
    chosen = np.array([np.isin(range(n_seeds), half) for half in combinations(range(n_seeds), n_seeds // 2)], float)
    means = [(part / part.sum(1, keepdims=True)) @ values for part, values in ((chosen, first), (1 - chosen, second))]
    one, other = (standardised(mean_ranks(mean)) for mean in means)
    found = (one * other).sum(-1)
    return float(np.nanmean(found)) if np.isfinite(found).any() else np.nan


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
