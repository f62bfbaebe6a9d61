"""What a method returned, held against what it declares: extra numbers, shapes, signs, and that there is something finite."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from clxai.attribution.base import REDUCTIONS, Explanation
from clxai.errors import ClxaiError
from clxai.registry import Entry


def checked_maps(entry: Entry, found: Explanation, shape: tuple[int, ...]) -> Float[Tensor, "image y x"]:
    """Return the maps of a batch after channel reduction; `shape` is that of its images, [image, channel, y, x].

    Raises ClxaiError, naming the method, unless the extra numbers are the declared ones with their axes, the maps are one for
    each image and of its size, and those of a method without signs have no negative values.
    """
    what = f"method {entry.name!r}"
    _check_extras(entry, found, shape[0], what)
    if found.maps.ndim != 4 or (found.maps.shape[0], *found.maps.shape[2:]) != (shape[0], *shape[2:]):
        raise ClxaiError(f"{what}: maps must be [image, channel, y, x] of images {list(shape)}. Got {list(found.maps.shape)}")
    maps = REDUCTIONS[entry.semantics["reduction"]](found.maps)
    if maps.ndim != 3:
        raise ClxaiError(f"{what}: reduction 'none' needs maps of one channel. Got {found.maps.shape[1]}")
    if not entry.semantics["signed"] and bool((maps < 0).any()):
        raise ClxaiError(f"{what} is declared without signs, but has values down to {float(maps.min()):.3g}: declare signed=True")
    return maps


def _check_extras(entry: Entry, found: Explanation, n_images: int, what: str) -> None:
    """Raise ClxaiError unless the extra numbers are those that are declared, each with its axes."""
    declared = entry.semantics["extras"]
    if set(found.extras) != set(declared):
        names = (", ".join(sorted(names)) or "none" for names in (declared, found.extras))
        raise ClxaiError("{}: extras are declared as {}, but {} are returned".format(what, *names))
    for name, values in found.extras.items():
        axes = declared[name]["axes"]
        if values.ndim != len(axes) or values.shape[0] != n_images:
            raise ClxaiError(f"{what}: {name} must be [{', '.join(axes)}] of {n_images} images. Got {list(values.shape)}")


def check_finite(maps: Float[np.ndarray, "image y x"], method_name: str, head_name: str) -> None:
    """Raise ClxaiError if no map of a method is finite: that is a broken method, not a degenerate image."""
    if not np.isfinite(maps).all(axis=(1, 2)).any():
        raise ClxaiError(f"method {method_name!r}, head {head_name!r}: none of {len(maps)} maps is finite")
