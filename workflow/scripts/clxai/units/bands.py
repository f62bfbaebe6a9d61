"""Whole rows, as the frequencies of a spectrogram."""

from jaxtyping import Float, Int
from torch import Tensor

from clxai.units.base import tiled, units


@units("bands", tiles=("height", None), options={"height": 4})
def bands(images: Float[Tensor, "image channel y x"], height: int) -> Int[Tensor, "y x"]:
    """Bands of `height` rows over the whole width."""
    return tiled(*images.shape[-2:], height, images.shape[-1])
