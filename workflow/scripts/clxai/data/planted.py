"""What the planted data are, for planning: how many images, of which size, with which evidence. Nothing is loaded."""

from collections.abc import Mapping
from typing import Any

from clxai.data.sizes import shape_of
from clxai.errors import ClxaiError, unknown_name
from clxai.names import SPLITS
from clxai.registry import declared

PATCH = 8  # side in pixels of a digit, of a distractor and of the place of either
SIDE = 32  # of an image whose size is not given
VARIANTS = {"plain": 1, "shortcut": 2, "redundant": 2}  # parts of the evidence: each is a label in the mask, from 1


def arguments_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of the source, defaults filled in."""
    return {**declared("sources")["planted"].semantics["options"], **entry["arguments"]}


def check(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError unless the variant is known, and all patches find a place of their own in an image of this size."""
    chosen, (height, width) = arguments_of(entry), side_of(entry)
    if chosen["variant"] not in VARIANTS:
        raise ClxaiError(f"{where}.arguments.variant: {unknown_name('variant', chosen['variant'], VARIANTS)}")
    needed, room = VARIANTS[chosen["variant"]] + chosen["distractors"], (height + 1) * (width + 1) // (2 * (PATCH + 1) ** 2)
    if needed > room:
        raise ClxaiError(
            f"{where}.size must be larger, or {where}.arguments.distractors smaller: {needed} patches of {PATCH}x{PATCH} px find "
            f"free places if they take half of the image at most, and [{height}, {width}] is for {room}"
        )


def side_of(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of the images in pixels."""
    return shape_of(entry["size"]) or (SIDE, SIDE)


def counts_of(entry: Mapping[str, Any], n_images: int) -> dict[str, int]:
    """Return how many of `n_images` each split has: test first, val of what is left, as where a source has no splits."""
    test = round(entry["test_fraction"] * n_images)
    val = round(entry["val_fraction"] * (n_images - test))
    return dict(zip(SPLITS, (n_images - test - val, val, test), strict=True))


def extent(entry: Mapping[str, Any], where: str) -> tuple[dict[str, int], tuple[int, int]]:
    """Return the images by split, and their height and width."""
    return counts_of(entry, arguments_of(entry)["images"]), side_of(entry)


def parts(entry: Mapping[str, Any]) -> int:
    """Return how many parts the evidence has."""
    return VARIANTS[arguments_of(entry)["variant"]]


def channels(entry: Mapping[str, Any]) -> int:
    """Return the channels of the images: they are grey."""
    return 1
