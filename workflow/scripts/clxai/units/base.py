"""The family of units: how images are cut into what is removed as a whole, as label maps [y, x] -> unit.

    @units("name", tiles=("height", None), options={"height": 4})
    def name(images: Float[Tensor, "image channel y x"], height: int) -> Int[Tensor, "y x"]

A member returns one map for all images, or one per image [image, y, x]; units are numbered from 0, none is empty, and images may
have different numbers of units. A unit loses all its channels together.

tiles: for units that tile the image, the options that hold the height and the width of a unit in pixels, None for the whole side;
so that planning can check them. count: the option that says how many units are wanted, where that many are not promised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.registry import Family
from clxai.units.tiles import check_tiles

UNITS = Family(
    "units",
    keywords={
        "tiles": {"type": ["null", "array"], "items": {"type": ["null", "string"]}, "default": None},
        "count": {"type": ["null", "string"], "default": None},
    },
)
units = UNITS.register


@dataclass(frozen=True)
class Cut:
    """Images cut into units: the label maps, one for all images or one per image, and the number of units of each map.

    `block` is the height and width of a unit in pixels where units tile the image in row order, else None.
    """

    labels: Int[Tensor, "map y x"]
    n_units: Int[Tensor, " map"]
    block: tuple[int, int] | None

    @property
    def most(self) -> int:
        """The largest number of units of an image."""
        return int(self.n_units.max())

    def first(self, n_images: int) -> "Cut":
        """Return the first images' own."""
        return replace(self, labels=self.labels[:n_images], n_units=self.n_units[:n_images])

    def units_of(self, image: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
        """Return the number of units of some images."""
        n_units = self.n_units.to(image.device)
        return n_units.expand(len(image)) if len(n_units) == 1 else n_units[image]

    def scores(self, attribution: Float[Tensor, "image y x"]) -> Float[Tensor, "image unit"]:
        """Return the mean attribution of each unit; NaN in the places of units that an image lacks."""
        if self.block is not None:
            return functional.avg_pool2d(attribution[:, None], self.block).flatten(1)
        shape = (len(attribution), self.most)
        labels = self.labels.expand(len(attribution), -1, -1).flatten(1).long()
        values = attribution.flatten(1).double()  # sums in another order differ by less than what is left in float32
        sums = values.new_zeros(shape).scatter_add(1, labels, values)
        sizes = values.new_zeros(shape).scatter_add(1, labels, torch.ones_like(values))
        return (sums / sizes).to(attribution.dtype)

    def masks(
        self, rank: Int[Tensor, "mask unit"], count: Int[Tensor, " mask"], image: Int[Tensor, " mask"]
    ) -> Bool[Tensor, "mask y x"]:
        """Return masks of removed pixels: of each image the units whose rank is below the count are gone."""
        gone = rank < count[:, None]
        height, width = self.labels.shape[1:]
        if self.block is not None:
            rows = gone.reshape(len(gone), height // self.block[0], width // self.block[1])
            return rows.repeat_interleave(self.block[0], 1).repeat_interleave(self.block[1], 2)
        if len(self.labels) == 1:
            return gone.index_select(1, self.labels.flatten().int()).view(len(gone), height, width)
        return gone.gather(1, self.labels[image].flatten(1).long()).view(len(gone), height, width)


def cut_images(kind: str, options: Mapping[str, Any], images: Float[Tensor, "image channel y x"]) -> Cut:
    """Cut images by a member of the family.

    Raises ClxaiError if there is no such member, if it cannot cut images of this size, or if its maps have a gap in the numbers.
    """
    entry = UNITS[kind]
    settings = entry.options(options)
    if entry.semantics["tiles"] is not None:
        check_tiles(f"units.{kind}", entry.semantics["tiles"], settings, (images.shape[-2], images.shape[-1]))
    labels = entry.definition(images, **settings).to(images.device)
    labels = labels if labels.ndim == 3 else labels[None]
    n_units = labels.amax(dim=(1, 2)) + 1
    # Each unit that occurs is counted once: as many as there are numbers up to the largest, and none below 0.
    ordered = labels.flatten(1).sort(dim=1).values
    gaps = (ordered[:, 0] < 0) | (1 + (ordered.diff(dim=1) > 0).sum(dim=1) != n_units)
    if gaps.any():
        number = int(gaps.int().argmax())
        raise ClxaiError(
            f"units {kind!r}: map {number} does not number its units from 0 to {int(n_units[number]) - 1} without a gap"
        )
    return Cut(labels.to(torch.int16 if int(n_units.max()) < 2**15 else torch.int32), n_units.long(), _block_of(labels))


def count_of(kind: str) -> str | None:
    """Return the option by which units are asked for a number that is not promised, if they have one."""
    return UNITS[kind].semantics["count"]


def tiled(height: int, width: int, unit_height: int, unit_width: int) -> Int[Tensor, "y x"]:
    """Return the label map of rectangles in row order."""
    rows, columns = torch.arange(height) // unit_height, torch.arange(width) // unit_width
    return rows[:, None] * (width // unit_width) + columns


def _block_of(labels: Int[Tensor, "map y x"]) -> tuple[int, int] | None:
    """Return height and width of the units if the one map is a tiling in row order, whoever made it: its masks are quicker."""
    if len(labels) > 1:
        return None
    own, (height, width) = labels[0].cpu(), labels.shape[1:]
    unit_height, unit_width = (int((line == line[0]).cumprod(0).sum()) for line in (own[:, 0], own[0]))
    if height % unit_height or width % unit_width or not torch.equal(own.long(), tiled(height, width, unit_height, unit_width)):
        return None
    return unit_height, unit_width
