"""What scikit-learn's digits are, for planning: nothing is loaded."""

from collections.abc import Mapping
from typing import Any

from clxai.data.sizes import shape_of
from clxai.errors import ClxaiError

N_IMAGES, SIDE = 1797, 8  # the side in pixels


def check(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError unless each pixel of a digit becomes a whole number of pixels."""
    height, width = shape_of(entry["size"]) or (SIDE, SIDE)
    if height != width or height % SIDE:
        raise ClxaiError(f"{where}.size must be a multiple of {SIDE}, the side of a digit. Got {entry['size']}")


def extent(entry: Mapping[str, Any], where: str) -> tuple[dict[str, int], tuple[int, int]]:
    """Return the images by split, all in train, and their height and width."""
    return {"train": N_IMAGES}, (SIDE, SIDE)


def channels(entry: Mapping[str, Any]) -> int:
    """Return the channels of the images: they are grey."""
    return 1
