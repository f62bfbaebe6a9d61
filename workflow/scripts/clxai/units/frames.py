"""Whole columns, as the moments of a spectrogram."""

from jaxtyping import Float, Int
from torch import Tensor

from clxai.units.base import tiled, units


@units("frames", tiles=(None, "width"), options={"width": 4})
def frames(images: Float[Tensor, "image channel y x"], width: int) -> Int[Tensor, "y x"]:
    """Frames of `width` columns over the whole height."""
    return tiled(*images.shape[-2:], images.shape[-2], width)
