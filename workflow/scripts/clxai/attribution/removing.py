"""How a method removes units itself, as the flipping does: what it is told of cut and fill, and images without some units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.fills.base import Fill, fill_images
from clxai.networks.inference import Encoder
from clxai.units.base import Cut, cut_images


@dataclass(frozen=True)
class Removal:
    """What removes units: how images are cut (a registered member and its options), the fill, and the seed of the flipping."""

    units: str
    options: Mapping[str, Any]
    fill: Fill
    seed: int

    def on(self, encoder: Encoder, images: Float[Tensor, "image channel y x"], index: Int[Tensor, " image"]) -> "Removing":
        """Return these images ready to lose units; what the fill does not need the mask for is computed once."""
        filled = None if self.fill.sees_mask else fill_images(self.fill, images, encoder.mean, index, self.seed)
        return Removing(self, encoder, images, index, cut_images(self.units, self.options, images), filled)


@dataclass(frozen=True)
class Removing:
    """Images that lose units. `filled` is None for a fill that needs the mask."""

    removal: Removal
    encoder: Encoder
    images: Float[Tensor, "image channel y x"]
    index: Int[Tensor, " image"]
    cut: Cut
    filled: Float[Tensor, "image channel y x"] | None

    def without(self, gone: Bool[Tensor, "row unit"], image: Int[Tensor, " row"]) -> Float[Tensor, "row channel y x"]:
        """Return normalised images, `image` says which, without the units that are gone."""
        removed = self.cut.masks((~gone).int(), torch.ones_like(image), image)
        filled = self.filled[image] if self.filled is not None else self._asked(image, removed)
        return self.encoder.normalise(torch.where(removed[:, None], filled, self.images[image]))

    def _asked(self, image: Tensor, removed: Tensor) -> Tensor:
        fill, seed = self.removal.fill, self.removal.seed
        return fill_images(fill, self.images[image], self.encoder.mean, self.index[image], seed, removed)
