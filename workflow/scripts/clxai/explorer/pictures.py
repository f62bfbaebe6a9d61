"""Pictures: images, and what removed pixels are replaced by, as bytes that a browser can draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Integer, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from clxai.data.batches import in_unit_range
from clxai.data.datasets import ImageData
from clxai.explorer.orders import Cutting
from clxai.fills.base import Bank, Fill, fill_images

COLOURS = 3  # channels that are shown as colours; any other number is shown as its mean


@dataclass(frozen=True)
class Gallery:
    """The images of a sample in [0, 1], their numbers in the data set, and what fills are told of the training images."""

    data: ImageData
    index: Int[ndarray, " image"]
    images: Float[Tensor, "image channel y x"]
    seed: int

    @classmethod
    def of(cls, data: ImageData, index: ndarray, seed: int) -> "Gallery":
        """Read these images."""
        return cls(data, index, in_unit_range(torch.from_numpy(data.images[index])), seed)

    def filled(self, fill: Fill, rows: slice, embeddings: Tensor | None = None) -> Float[Tensor, "image channel y x"]:
        """Return what replaces removed pixels of some images, for fills that need no mask; `embeddings` of the whole data set."""
        bank = None if embeddings is None else self._bank(embeddings, rows)
        return self._asked(fill, torch.arange(len(self.index))[rows], None, bank)

    def perturbed(
        self, fill: Fill, cutting: Cutting, ranks: Integer[ndarray, "image unit"], n_images: int
    ) -> Float[Tensor, "followed step channel y x"]:
        """Return the first images at every step of an order, for fills that see the mask."""
        n_steps = cutting.counts.shape[1]
        row = torch.arange(n_images).repeat_interleave(n_steps)
        counts = torch.from_numpy(cutting.counts[:n_images].ravel())
        removed = cutting.cut.masks(torch.from_numpy(ranks[:n_images].astype(np.int64))[row], counts, row)
        filled = self._asked(fill, row, removed, None)
        return torch.where(removed[:, None], filled, self.images[row]).unflatten(0, (n_images, n_steps))

    def _asked(self, fill: Fill, row: Tensor, removed: Tensor | None, bank: Bank | None) -> Tensor:
        mean = torch.tensor(self.data.mean, dtype=torch.float32)[:, None, None]
        return fill_images(fill, self.images[row], mean, torch.from_numpy(self.index)[row], self.seed, removed, bank)

    def _bank(self, embeddings: Tensor, rows: slice) -> Bank:
        items = torch.from_numpy(self.data.indices("train"))
        labels, own = torch.from_numpy(self.data.labels)[items], embeddings[self.index[rows]]
        return Bank.of(self.data.images, items, labels, embeddings[items], own)


def drawable(images: Float[Tensor, "*batch channel y x"]) -> UInt8[ndarray, "*batch shown y x"]:
    """Return pictures as bytes: three channels as colours, or one if these are equal or there are others, whose mean it is."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    if images.shape[-3] != COLOURS:
        return (images.clamp(0, 1).mean(dim=-3, keepdim=True) * 255).round().to(torch.uint8).numpy()
    grey = bool((pixels == pixels[..., :1, :, :]).all())
    return (pixels[..., :1, :, :] if grey else pixels).numpy()


def blocks(n_images: int, shape: Sequence[int], most_bytes: int = 2_000_000, most_images: int = 50) -> list[slice]:
    """Return which images are loaded together: at most 50, and no more than about two megabytes of pixels."""
    at_once = max(1, min(most_images, most_bytes // int(np.prod(shape))))
    return [slice(start, min(start + at_once, n_images)) for start in range(0, n_images, at_once)]


def thumbnails(images: Float[Tensor, "image channel y x"], side: int = 32) -> UInt8[ndarray, "image shown row column"]:
    """Return small pictures, the longer side at most `side` pixels, by areas."""
    height, width = images.shape[-2:]
    scale = min(1.0, side / max(height, width))
    small = images if scale == 1 else functional.adaptive_avg_pool2d(images, (round(height * scale), round(width * scale)))
    return drawable(small)


def by_mask(fills: Sequence[Fill]) -> Mapping[str, bool]:
    """Return of each fill whether it sees the mask, so that the page cannot make its pictures."""
    return {fill.name: fill.sees_mask for fill in fills}
