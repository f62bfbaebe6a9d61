"""The image itself, blurred."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from clxai.fills.base import Canvas, fill


@fill("blur", needs="image", options={"sigma": 0.15})
def blur(canvas: Canvas, sigma: float) -> Float[Tensor, "image channel y x"]:
    """The image blurred by a Gaussian; `sigma` is a share of the image's shorter side.

    At the default the strokes of a digit and the parts of an object disappear.
    """
    return gaussian_blur(canvas.images, sigma * min(canvas.images.shape[-2:]))


def gaussian_blur(images: Float[Tensor, "image channel y x"], sigma: float) -> Float[Tensor, "image channel y x"]:
    """Blur with a Gaussian of `sigma` pixels, cut at 3 sigma (at most a side - 1), reflected at the borders."""
    for axis in (3, 2):
        images = _blur_along(images, sigma, axis)
    return images


def _blur_along(images: Tensor, sigma: float, axis: int) -> Tensor:
    """Blur along one axis, 2 (y) or 3 (x)."""
    channels, size = images.shape[1], images.shape[axis]
    radius = min(math.ceil(3 * sigma), size - 1)
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    if axis == 2:
        kernel = kernel.transpose(2, 3)
    padding = [radius, radius, 0, 0] if axis == 3 else [0, 0, radius, radius]
    return functional.conv2d(functional.pad(images, padding, mode="reflect"), kernel, groups=channels)
