"""Images without some units, by a cut and a fill, as the flipping removes them: for methods that do so and for the mask bank."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.fills.base import Fill
from clxai.fills.perturbing import Perturbing
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
        """Return these images ready to lose units."""
        perturbing = Perturbing(encoder, images, index, encoder.normalise(images), self.fill, self.seed)
        return Removing(perturbing.ready(), cut_images(self.units, self.options, images))


@dataclass(frozen=True)
class Removing:
    """Images that lose units."""

    perturbing: Perturbing
    cut: Cut

    def without(self, gone: Bool[Tensor, "row unit"], image: Int[Tensor, " row"]) -> Float[Tensor, "row channel y x"]:
        """Return normalised images, `image` says which, without the units that are gone."""
        return self.perturbing(image, self.cut.masks((~gone).int(), torch.ones_like(image), image))
