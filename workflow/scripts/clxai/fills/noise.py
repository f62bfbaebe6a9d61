"""Fills of random colour."""

from jaxtyping import Float
from torch import Tensor

from clxai.fills.base import Canvas, fill
from clxai.keys import key_of
from clxai.randomness import keyed_uniform


@fill("noise", needs="nothing")
def noise(canvas: Canvas) -> Float[Tensor, "image channel y x"]:
    """Uniform noise in [0, 1) per pixel and channel, keyed by seed and image."""
    values = keyed_uniform(key_of("noise", canvas.seed), canvas.index, canvas.images[0].numel())
    return values.to(canvas.images.dtype).reshape(canvas.images.shape)
