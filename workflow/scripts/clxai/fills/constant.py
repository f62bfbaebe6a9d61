"""Fills of one colour."""

import torch
from jaxtyping import Float
from torch import Tensor

from clxai.fills.base import Canvas, fill


@fill("mean", needs="nothing")
def mean(canvas: Canvas) -> Float[Tensor, "image channel y x"]:
    """The mean colour of the training set."""
    return canvas.mean.expand_as(canvas.images)


@fill("zero", needs="nothing")
def zero(canvas: Canvas) -> Float[Tensor, "image channel y x"]:
    """Black."""
    return torch.zeros_like(canvas.images)
