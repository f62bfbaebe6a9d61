"""In which order the units of an image go, found again from its map as flipping found it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray
from jaxtyping import Float, Int, UInt
from numpy import ndarray
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.units.base import Cut, cut_images
from clxai.units.removal import rank_units, removal_counts


@dataclass(frozen=True)
class Cutting:
    """Images cut by one setting of units: the cut, the label maps as they are stored, how many units are gone at each step."""

    name: str
    cut: Cut
    counts: Int[ndarray, "image step"]
    index: Int[Tensor, " image"]

    @classmethod
    def of(cls, units: Mapping[str, Any], images: Float[Tensor, "image channel y x"], index: ndarray, n_steps: int) -> "Cutting":
        """Cut images as flipping cut them."""
        cut = cut_images(units["units"], units["options"], images)
        n_units = cut.units_of(torch.arange(len(images)))
        return cls(units["name"], cut, removal_counts(n_units, n_steps).numpy(), torch.from_numpy(index))

    @property
    def labels(self) -> Int[ndarray, "map y x"]:
        """The label maps, one for all images or one per image."""
        return self.cut.labels.numpy()

    def check(self, curves: xarray.Dataset, path: object) -> None:
        """Raise ClxaiError unless curves are those of these images, cut in this way."""
        same_images = np.array_equal(curves["image"].values, self.index.numpy())
        if not same_images or not np.array_equal(np.squeeze(self.labels), np.squeeze(curves["unit"].values)):
            raise ClxaiError(f"{path}: other images than the sample's, or cut otherwise than units.{self.name}: delete it")

    def ordered(
        self, maps: Float[ndarray, "head image y x"], seed: int
    ) -> tuple[UInt[ndarray, "head image unit"], Float[ndarray, "head image unit"]]:
        """Return each unit's rank, 0 for the one that MoRF removes first, and its mean attribution.

        Places of units that an image lacks are last, and NaN.
        """
        n_units = self.cut.units_of(torch.arange(len(self.index)))
        scores = [self.cut.scores(torch.from_numpy(np.ascontiguousarray(explained))) for explained in maps]
        ranks = [rank_units(explained, self.index, seed, n_units)[0] for explained in scores]
        kind = np.uint8 if self.cut.most <= 256 else np.uint16
        return torch.stack(ranks).numpy().astype(kind), torch.stack(scores).numpy()
