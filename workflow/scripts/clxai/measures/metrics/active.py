"""How much of a map lies where the image is active, as a recording is where there is sound.

Active is what is brighter than `level`, in [0, 1]: of a spectrogram with 80 dB between black and white, what is more than 30 dB
above black. The image itself lies there without knowing the network.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from clxai.attribution.truth import relevance_mass, relevance_rank
from clxai.measures.metrics.base import PerCurve, metric
from clxai.measures.metrics.maps import Maps, per_map

_LEVEL = 0.375  # 30 of 80 dB


@metric("active_share", better=0, low=0, high=1, reads="maps")
def active_share(maps: Maps) -> PerCurve:
    """Share of the image that is active: what the three others are by chance."""
    return _active(maps).double().mean((-2, -1)).numpy()


@metric("active_mass", better=1, low=0, high=1, reads="maps")
def active_mass(maps: Maps) -> PerCurve:
    """Share of the positive relevance that is in the active region [Arras, Osman, Samek 2022]; undefined without either."""
    return per_map(relevance_mass(torch.from_numpy(maps.pixels), _active(maps)).numpy())


@metric("active_rank", better=1, low=0, high=1, reads="maps")
def active_rank(maps: Maps) -> PerCurve:
    """Share of the K highest pixels that is active, K the number of active ones; undefined for K = 0.

    [Arras, Osman, Samek 2022]
    """
    return per_map(relevance_rank(torch.from_numpy(maps.pixels), _active(maps)).numpy())


@metric("active_peak", better=1, low=0, high=1, reads="maps")
def active_peak(maps: Maps) -> PerCurve:
    """1 where the highest pixel is active, else 0, of several the mean; undefined without an active one.

    The pointing game [Zhang et al. 2018].
    """
    values, inside = torch.from_numpy(maps.pixels), _active(maps)
    highest = values == values.amax((-2, -1), keepdim=True)
    known = inside.any(-1).any(-1) & ~values.isnan().any(-1).any(-1)
    return per_map(torch.where(known, (highest & inside).sum((-2, -1)) / highest.sum((-2, -1)).double(), torch.nan).numpy())


def _active(maps: Maps) -> Bool[Tensor, "image y x"]:
    return torch.from_numpy(maps.images > _LEVEL)
