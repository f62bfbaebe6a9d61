"""Whether what a map says of sets of units is what the network loses without them, over the held-out masks of the mask bank."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.mask_bank.sizes import BERNOULLI
from clxai.measures.metrics.base import PerCurve, defined, metric
from clxai.measures.metrics.masks import Masks

_ROUNDING = 1e-9  # what is left of equal sums, relative to the largest
_FEWEST = 3  # masks of one size that have a correlation: of two it is 1 or -1


@metric("faithfulness_correlation", better=1, low=-1, high=1, reads="masks", tables=["contrasts"])
def faithfulness_correlation(masks: Masks) -> PerCurve:
    """Pearson's correlation of the attributions of the units that are gone with what m loses [Bhatt et al. 2020].

    Over masks drawn by coins, both less their mean over the masks without as many units: however many are gone says nothing of
    where. Undefined where one of them is then the same for all.
    """
    grouped = _grouped(masks.of(BERNOULLI))
    return _correlations(grouped, np.arange(len(masks.gone)) * (grouped.told.shape[-1] // len(masks.gone)))


@metric("infidelity", better=-1, low=0, high=None, reads="masks", options={"scaled": False})
@metric("infidelity_scaled", better=-1, low=0, high=1, reads="masks", tables=["contrasts"], options={"scaled": True})
def infidelity(masks: Masks, scaled: bool) -> PerCurve:
    """Mean square of what the map says of a set of units less what m loses, over the mean square of that [Yeh et al. 2019].

    Over masks drawn by coins. 0: exact, 1: as good as a map of zeros. Scaled: the map times the factor of at least 0 that
    makes it least, so that only its shape counts.
    """
    coins = masks.of(BERNOULLI)
    told, lost = coins.told, coins.lost
    both = np.einsum("eim,sfim->esfi", told, lost)
    own, whole = (told**2).sum(axis=-1)[:, None, None], (lost**2).sum(axis=-1)[None]
    factor = np.where(own > 0, np.maximum(both, 0) / np.where(own > 0, own, 1), own) if scaled else 1.0
    return np.maximum(whole - 2 * factor * both + factor**2 * own, 0) / defined(whole)


@metric("sensitivity_n", better=1, low=-1, high=1, reads="masks", tables=["contrasts"], options={"least": 0.0, "most": 1.0})
@metric("sensitivity_n_few", better=1, low=-1, high=1, reads="masks", options={"least": 0.0, "most": 0.25})
@metric("sensitivity_n_most", better=1, low=-1, high=1, reads="masks", options={"least": 0.75, "most": 1.0})
def sensitivity_n(masks: Masks, least: float, most: float) -> PerCurve:
    """Correlation over the masks without n units, the mean over n, by masks less one [Ancona et al. 2018].

    Only sizes from the share `least` to the share `most` of the units, of which there are three masks or more; undefined where
    no size has a correlation.
    """
    found = by_size(masks)
    share = found.n / masks.n_units[found.image]
    weight = np.where((share >= least) & (share <= most) & (found.count >= _FEWEST), found.count - 1.0, 0.0)
    known = np.isfinite(found.correlation) & (weight > 0)
    first = np.searchsorted(found.image, np.arange(len(masks.gone)))
    total = np.add.reduceat(np.where(known, weight, 0.0), first, axis=-1)
    return np.add.reduceat(np.where(known, weight * found.correlation, 0.0), first, axis=-1) / defined(total)


class BySize(NamedTuple):
    """Correlations over groups of masks, those of one image without n units: sensitivity-n itself.

    `image` is the place of the group's image, ascending, `n` the number of units that are gone, ascending within it, `count` the
    number of masks.
    """

    correlation: Float[ndarray, "explained_by scored_by fill group"]
    image: Int[ndarray, " group"]
    n: Int[ndarray, " group"]
    count: Int[ndarray, " group"]


def by_size(masks: Masks) -> BySize:
    """Return the correlation over the masks of each size of each image."""
    grouped = _grouped(masks)
    return BySize(_correlations(grouped, grouped.start), grouped.image, grouped.n, grouped.count)


class _Grouped(NamedTuple):
    """Masks in order of image and number of units gone, what is told and lost less the mean of their group.

    Of each group its first mask, the place of its image, the number of units gone, and the number of masks.
    """

    told: Float[ndarray, "explained_by mask"]
    lost: Float[ndarray, "scored_by fill mask"]
    start: Int[ndarray, " group"]
    image: Int[ndarray, " group"]
    n: Int[ndarray, " group"]
    count: Int[ndarray, " group"]


def _grouped(masks: Masks) -> _Grouped:
    """Return all masks of all images, grouped."""
    n_sizes = int(masks.gone.max()) + 1
    group = (np.arange(len(masks.gone))[:, None] * n_sizes + masks.gone).ravel()
    order = np.argsort(group, kind="stable")
    groups, start, count = np.unique(group[order], return_index=True, return_counts=True)
    told, lost = (values.reshape(*values.shape[:-2], -1)[..., order] for values in (masks.told, masks.lost))
    centred = (_centred(values, start, count) for values in (told, lost))
    return _Grouped(*centred, start, groups // n_sizes, groups % n_sizes, count)


def _correlations(grouped: _Grouped, start: Int[ndarray, " run"]) -> Float[ndarray, "explained_by scored_by fill run"]:
    """Return the correlation over each run of masks, in [-1, 1]; NaN where one side is 0."""
    one, other = grouped.told[:, None, None], grouped.lost[None]
    norm = np.sqrt(np.add.reduceat(one**2, start, axis=-1) * np.add.reduceat(other**2, start, axis=-1))
    return np.clip(np.add.reduceat(one * other, start, axis=-1) / defined(norm), -1, 1)


def _centred(
    values: Float[ndarray, "*batch mask"], start: Int[ndarray, " group"], count: Int[ndarray, " group"]
) -> Float[ndarray, "*batch mask"]:
    """Return values less the mean of their group; exactly 0 where that is all there is."""
    mean, largest = np.add.reduceat(values, start, axis=-1) / count, np.maximum.reduceat(np.abs(values), start, axis=-1)
    left = values - np.repeat(mean, count, axis=-1)
    return np.where(np.abs(left) <= _ROUNDING * np.repeat(largest, count, axis=-1), 0.0, left)
