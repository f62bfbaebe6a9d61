"""The family of fills: what removed pixels are replaced by, in pixel space [0, 1].

    @fill("name", needs="mask", options={"sigma": 0.15})
    def name(canvas: Canvas, sigma: float) -> Float[Tensor, "image channel y x"]

needs: "nothing" (the training set's mean colour and the keys of the images alone), "image", or "mask": such a fill sees which
pixels are gone, and is asked for each batch of perturbed images; the others are computed once per image. A fill depends on (seed,
image) and on what it declares to need, never on the other images of its batch. Images need not be square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.registry import Entry, Family

FILLS = Family("fills", keywords={"needs": {"enum": ["nothing", "image", "mask"]}})
fill = FILLS.register


@dataclass(frozen=True)
class Canvas:
    """What a fill is given: images in [0, 1], the training set's mean colour, the images' numbers in the data set, and a seed.

    `removed` says which pixels are gone, for fills that declare to need the mask; None for the others.
    """

    images: Float[Tensor, "image channel y x"]
    mean: Float[Tensor, "channel 1 1"]
    index: Int[Tensor, " image"]
    seed: int
    removed: Bool[Tensor, "image y x"] | None = None


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
) -> Float[Tensor, "image channel y x"]:
    """Return what removed pixels are replaced by, in [0, 1].

    Raises ClxaiError if a fill that needs the mask is asked without it.
    """
    if chosen.sees_mask and removed is None:
        raise ClxaiError(f"fill {chosen.name!r} needs the mask of removed pixels: it cannot serve where there is none")
    return chosen.entry.definition(Canvas(images, mean, index, seed, removed), **chosen.options)
