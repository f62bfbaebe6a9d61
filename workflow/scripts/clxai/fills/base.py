"""The family of fills: what removed pixels are replaced by, in pixel space [0, 1].

    @fill("name", needs="mask", options={"sigma": 0.15})
    def name(canvas: Canvas, sigma: float) -> Float[Tensor, "image channel y x"]

needs: "nothing" (the training set's mean colour and the keys of the images alone); "image"; "mask": such a fill sees which pixels
are gone, and is asked for each batch of perturbed images, the others once per image; "bank": the image, and the training images
with their embeddings by the model that is flipped, so that it cannot serve where there is no model yet. A fill depends on (seed,
image) and on what it declares to need, never on the other images of its batch. Images need not be square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.data.batches import in_unit_range
from clxai.data.datasets import StoredImages
from clxai.errors import ClxaiError
from clxai.registry import Entry, Family

FILLS = Family("fills", keywords={"needs": {"enum": ["nothing", "image", "mask", "bank"]}})
fill = FILLS.register


@dataclass(frozen=True)
class Bank:
    """What a run knows of its training images, and where the images that are filled lie among them.

    `images` are those of the data set, uint8 [image, channel, y, x], of which `items` are the training images; `embeddings` are
    theirs, of unit norm, and `own` those of the images that are filled.
    """

    images: np.ndarray | StoredImages
    items: Int[Tensor, " item"]
    labels: Int[Tensor, " item"]
    embeddings: Float[Tensor, "item feature"]
    own: Float[Tensor, "image feature"]

    @classmethod
    def of(
        cls,
        images: np.ndarray | StoredImages,
        items: Int[Tensor, " item"],
        labels: Int[Tensor, " item"],
        embeddings: Float[Tensor, "item feature"],
        own: Float[Tensor, "image feature"],
    ) -> "Bank":
        """Return the bank of embeddings of any norm."""
        return cls(images, items, labels, functional.normalize(embeddings, dim=1), functional.normalize(own, dim=1))

    def at(self, image: Int[Tensor, " row"] | slice) -> "Bank":
        """Return the bank for some of the images that are filled."""
        return replace(self, own=self.own[image])

    def pictures(self, places: Int[Tensor, " row"]) -> Float[Tensor, "row channel y x"]:
        """Return the training images at some places of the bank, in [0, 1], float32."""
        return in_unit_range(torch.from_numpy(self.images[self.items[places].cpu().numpy()]).to(self.own.device))


@dataclass(frozen=True)
class Canvas:
    """What a fill is given: images in [0, 1], the training set's mean colour, the images' numbers in the data set, and a seed.

    `removed` says which pixels are gone, for fills that declare to need the mask; `bank` what is known of the training images,
    for fills that declare to need that; None for the others.
    """

    images: Float[Tensor, "image channel y x"]
    mean: Float[Tensor, "channel 1 1"]
    index: Int[Tensor, " image"]
    seed: int
    removed: Bool[Tensor, "image y x"] | None = None
    bank: Bank | None = None


@dataclass(frozen=True)
class Fill:
    """A member of the family with its options, under the name by which a study knows it."""

    name: str
    entry: Entry
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sees_mask(self) -> bool:
        """Whether it must be asked again for every mask."""
        return self.entry.semantics["needs"] == "mask"

    @property
    def sees_bank(self) -> bool:
        """Whether it must be told of the training images."""
        return self.entry.semantics["needs"] == "bank"


def fills_of(choices: Sequence[Mapping[str, Any] | str]) -> tuple[Fill, ...]:
    """Return the fills that a job was told to use: a member's name, or {name, fill, options}."""
    return tuple(fill_of(choice) for choice in choices)


def fill_of(choice: Mapping[str, Any] | str) -> Fill:
    """Return one fill. Raises ClxaiError, with the nearest name, if there is no such member."""
    chosen = {"name": choice, "fill": choice, "options": {}} if isinstance(choice, str) else choice
    entry = FILLS[chosen["fill"]]
    return Fill(chosen["name"], entry, entry.options(chosen["options"]))


def fill_images(
    chosen: Fill,
    images: Float[Tensor, "image channel y x"],
    mean: Float[Tensor, "channel 1 1"],
    index: Int[Tensor, " image"],
    seed: int,
    removed: Bool[Tensor, "image y x"] | None = None,
    bank: Bank | None = None,
) -> Float[Tensor, "image channel y x"]:
    """Return what removed pixels are replaced by, in [0, 1].

    Raises ClxaiError if a fill that needs the mask or the bank is asked without it.
    """
    if chosen.sees_mask and removed is None:
        raise ClxaiError(f"fill {chosen.name!r} needs the mask of removed pixels: it cannot serve where there is none")
    if chosen.sees_bank and bank is None:
        raise ClxaiError(f"fill {chosen.name!r} needs the training images as a model embeds them: it serves flipping alone")
    return chosen.entry.definition(Canvas(images, mean, index, seed, removed, bank), **chosen.options)
