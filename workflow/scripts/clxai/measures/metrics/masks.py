"""What maps say of masks of the mask bank, and what these are worth: all that metrics read that are not of curves.

The masks are those that are held out, on which no method is fitted: the same ones for every method, head and fill.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.mask_bank.sizes import ALL


@dataclass(frozen=True)
class Masks:
    """Held-out masks of some images, each a set S of units that are gone.

    `told` is the sum of the attributions of the units in S. `lost` is what the target's log-odds lose without them,
    m(x) - m(x without S), nat; NaN for a fill that has no mask bank. `gone` is the number of units in S, `n_units` that of the
    image, `law` says how each mask was drawn.
    """

    told: Float[ndarray, "explained_by image mask"]
    lost: Float[ndarray, "scored_by fill image mask"]
    gone: Int[ndarray, "image mask"]
    n_units: Int[ndarray, " image"]
    law: ndarray

    def of(self, law: str) -> "Masks":
        """Return the masks of one law."""
        own = self.law == law
        return Masks(self.told[..., own], self.lost[..., own], self.gone[:, own], self.n_units, self.law[own])


def masks_of(curves: xarray.Dataset, maps: xarray.Dataset, banks: Mapping[str, xarray.Dataset]) -> Masks:
    """Return the held-out masks of the images of a curves file, as its maps account for them.

    `maps` are those that the curves were made from, `banks` the mask banks of the same run, images and units by fill, at least
    one; masks do not depend on the fill. Raises ClxaiError if there is no bank, or if one is of other images, heads or units.
    """
    if not banks:
        raise ClxaiError(f"metrics of masks need a mask bank of units {curves.attrs.get('units')!r}. Got none")
    for fill, bank in banks.items():
        _check_bank(curves, bank, fill)
    one = next(iter(banks.values()))
    held = one["held_out"].values.astype(bool)
    values = unit_values(maps.sel(head=curves["explained_by"].values), curves)
    gone = _gone(one.isel(mask=held), values.shape[-1])
    told = np.matmul(gone.astype(np.float64), values.transpose(1, 2, 0)).transpose(2, 0, 1)
    fills = [banks.get(fill) for fill in curves["fill"].values.tolist()]
    shape = (curves.sizes["scored_by"], *gone.shape[:2])
    lost = [np.full(shape, np.nan) if bank is None else _lost(bank, curves, held) for bank in fills]
    return Masks(told, np.stack(lost, axis=1), gone.sum(axis=2), one["n_units"].values, one["law"].values[held])


def unit_values(maps: xarray.Dataset, curves: xarray.Dataset) -> Float[ndarray, "head image unit"]:
    """Return what a map says of each unit: the sum over its pixels; 0 in the places of units that an image lacks.

    Of a method whose values belong to units (`aligned_to: unit`), which stand on each of their pixels, the mean. NaN where a
    pixel is not finite.
    """
    values = maps["attribution"].values.astype(np.float64)
    sums, sizes = unit_sums(np.where(np.isfinite(values), values, np.nan), curves["unit"].values)
    return sums / np.maximum(sizes, 1) if maps.attrs.get("aligned_to") == "unit" else sums


def unit_sums(
    values: Float[ndarray, "head image y x"], unit: Int[ndarray, "*map y x"]
) -> tuple[Float[ndarray, "head image unit"], Int[ndarray, "image unit"]]:
    """Return the sum of each unit's pixels and their number, both 0 in the places of units that an image lacks.

    `unit` is the label map [y, x] of all images, or one per image.
    """
    n_images, most = values.shape[1], int(unit.max()) + 1
    labels = np.broadcast_to(unit, values.shape[1:]).reshape(n_images, -1)
    place = (labels + most * np.arange(n_images)[:, None]).ravel()
    order = np.argsort(place, kind="stable")
    units, start, size = np.unique(place[order], return_index=True, return_counts=True)
    sums, sizes = np.zeros((len(values), n_images * most)), np.zeros(n_images * most, dtype=np.int64)
    sums[:, units] = np.add.reduceat(values.reshape(len(values), -1)[:, order], start, axis=1)
    sizes[units] = size
    return sums.reshape(len(values), n_images, most), sizes.reshape(n_images, most)


def _check_bank(curves: xarray.Dataset, bank: xarray.Dataset, fill: str) -> None:
    """Raise ClxaiError unless a bank is of the images, the heads and the units of a curves file."""
    same = {
        "images": np.array_equal(bank["image"], curves["image"]),
        "heads": set(curves["scored_by"].values.tolist()) <= set(bank["head"].values.tolist()),
        "units": np.array_equal(bank["unit"], curves["unit"]),
    }
    for what, agrees in same.items():
        if not agrees:
            raise ClxaiError(f"the mask bank of fill {fill!r} is of other {what} than the curves: delete it and run again")


def _gone(bank: xarray.Dataset, most: int) -> Bool[ndarray, "image mask unit"]:
    """Return which units each mask lacks; those that an image does not have are not gone."""
    present = np.unpackbits(bank["present"].values, axis=2, bitorder="little", count=most).astype(bool)
    return ~present & (np.arange(most) < bank["n_units"].values[:, None])[:, None]


def _lost(bank: xarray.Dataset, curves: xarray.Dataset, held: Any) -> Float[ndarray, "scored_by image mask"]:
    """Return what the log-odds of each scoring head's target lose under the masks that are held out."""
    odds = bank["log_odds"].sel(head=curves["scored_by"].values).transpose("head", "image", "mask", "class").values
    target = curves["target"].transpose("scored_by", "image").values.astype(np.int64)
    own = np.take_along_axis(odds.astype(np.float64), target[:, :, None, None], axis=3)[..., 0]
    return own[..., bank["law"].values == ALL] - own[..., held]
