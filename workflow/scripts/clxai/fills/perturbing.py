"""Images that lose pixels to a fill: what the flipping engine and searches for an order embed."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.fills.base import Bank, Fill, fill_images
from clxai.networks.inference import Encoder


@dataclass(frozen=True)
class Perturbing:
    """Images and one fill, both normalised once: masks and the affine normalisation commute.

    `clean` are the normalised images in the type in which the backbone computes, `filled` their replacements, None for a fill
    that needs the mask. `bank` is for fills that need it.
    """

    encoder: Encoder
    images: Float[Tensor, "image channel y x"]
    index: Int[Tensor, " image"]
    clean: Float[Tensor, "image channel y x"]
    fill: Fill
    seed: int
    bank: Bank | None = None
    filled: Float[Tensor, "image channel y x"] | None = None

    def ready(self) -> "Perturbing":
        """Return the same with what the fill does not need the mask for, computed once."""
        if self.fill.sees_mask:
            return self
        return replace(self, filled=self._asked(torch.arange(len(self.images), device=self.images.device), None))

    def __call__(self, image: Int[Tensor, " row"], removed: Bool[Tensor, "row y x"]) -> Float[Tensor, "row channel y x"]:
        """Return some images, normalised, without the removed pixels."""
        filled = self._asked(image, removed) if self.filled is None else self.filled[image]
        return torch.where(removed[:, None], filled, self.clean[image])

    def empty(self, image: Int[Tensor, " row"]) -> Float[Tensor, "row channel y x"]:
        """Return what is left of some images when everything is removed."""
        if self.filled is not None:
            return self.filled[image]
        return self._asked(image, torch.ones_like(self.images[image, 0], dtype=torch.bool))

    def _asked(self, image: Tensor, removed: Tensor | None) -> Tensor:
        """Ask the fill for the replacement of these pixels of some images."""
        bank = self.bank.at(image) if self.fill.sees_bank and self.bank else None
        filled = fill_images(self.fill, self.images[image], self.encoder.mean, self.index[image], self.seed, removed, bank)
        return self.encoder.normalise(filled).to(self.clean.dtype)
