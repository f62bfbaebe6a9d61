"""Rectangles of one size."""

from jaxtyping import Float, Int
from torch import Tensor

from clxai.units.base import tiled, units


@units("grid", tiles=("height", "width"), options={"height": 4, "width": 4})
def grid(images: Float[Tensor, "image channel y x"], height: int, width: int) -> Int[Tensor, "y x"]:
    """Rectangles of `height` x `width` pixels that tile the image."""
    return tiled(*images.shape[-2:], height, width)
