"""Maps beside the images that they explain and the units of the flipping: all that metrics of maps read."""

from dataclasses import dataclass

import numpy as np
import xarray
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.measures.metrics.masks import unit_sums


@dataclass(frozen=True)
class Maps:
    """Maps of some images, what they explain, and how these are cut.

    `images` is the mean over the channels, in [0, 1]. `scores` is the mean attribution of each unit, as flipping ranks them, and
    `brightness` the mean of the image over it; both are 0 in the places of units that an image lacks, and NaN where a pixel is
    not finite. `n_units` is the number of units of an image, `labels` the label map, one for all images or one per image.
    """

    pixels: Float[ndarray, "explained_by image y x"]
    images: Float[ndarray, "image y x"]
    scores: Float[ndarray, "explained_by image unit"]
    brightness: Float[ndarray, "image unit"]
    n_units: Int[ndarray, " image"]
    labels: Int[ndarray, "map y x"]


def maps_of(curves: xarray.Dataset, maps: xarray.Dataset, images: Float[ndarray, "image y x"]) -> Maps:
    """Return the maps that a curves file was made from, with its images and units.

    Raises ClxaiError if maps or images are not those of the curves.
    """
    explained = maps.sel(head=curves["explained_by"].values)["attribution"].values.astype(np.float64)
    if not np.array_equal(maps["image"], curves["image"]) or images.shape != explained.shape[1:]:
        raise ClxaiError("the maps are of other images than the curves: delete both and run again")
    pixels, unit = np.where(np.isfinite(explained), explained, np.nan), curves["unit"].values
    sums, sizes = unit_sums(np.concatenate([pixels, images[None]]), unit)
    means, labels = sums / np.maximum(sizes, 1), unit if unit.ndim == 3 else unit[None]
    return Maps(pixels, images, means[:-1], means[-1], (sizes > 0).sum(axis=1), labels)


def per_map(values: Float[ndarray, "explained_by image"]) -> Float[ndarray, "explained_by 1 1 image"]:
    """Return numbers of maps as metrics give them: the same for every scoring head and fill."""
    return values[:, None, None]
