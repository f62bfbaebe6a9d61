"""Augmentation of whole batches on the device: every image draws its own parameters, no loop over images.

Images are float in [0, 1], [image, channel, y, x]. The distributions are those of torchvision's transforms of the same
name; only the order of the colour operations is drawn per batch instead of per image.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from clxai.keys import key_of

_TRIES = 10  # RandomResizedCrop gives up on an aspect ratio after as many
_LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601 weights, as torchvision's rgb_to_grayscale
_ASPECT = (3 / 4, 4 / 3)


def augment(
    images: Float[Tensor, "image channel y x"], recipe: Mapping[str, Any], generator: torch.Generator
) -> Float[Tensor, "image channel y x"]:
    """Apply the steps of an augmentation recipe in the order of SimCLR: crop, flip, colour jitter, grey.

    Keys of `recipe` (0, false or null: off): crop_padding (px), resized_crop [least, most area], flip, jitter {brightness,
    contrast, saturation, hue, probability}, grey (probability); sound, where the images are spectrograms, is last.
    """
    if recipe["crop_padding"]:
        images = shifted_crop(images, recipe["crop_padding"], generator)
    if recipe["resized_crop"]:
        images = resized_crop(images, *recipe["resized_crop"], generator)
    if recipe["flip"]:
        images = torch.where(_chance(images, 0.5, generator), images.flip(-1), images)
    if any(recipe["jitter"][name] for name in ("brightness", "contrast", "saturation", "hue")):
        images = colour_jitter(images, recipe["jitter"], generator)
    if recipe["grey"]:
        images = torch.where(_chance(images, recipe["grey"], generator), _grey(images), images)
    return sounding(images, recipe["sound"], generator) if recipe.get("sound") else images


def sounding(
    images: Float[Tensor, "image channel y x"], recipe: Mapping[str, float | int], generator: torch.Generator
) -> Float[Tensor, "image channel y x"]:
    """Change spectrograms, columns moments and rows frequencies, as sounds may differ: 0 is silence and stays silence.

    Keys of `recipe` (0: off), each drawn uniformly per image: time_shift, most columns by which it comes earlier or later, with
    silence where nothing was; gain, most share of the range of levels by which all that sounds is louder or softer; time_mask and
    frequency_mask, most columns and rows that fall silent, one block each [Park et al. 2019].
    """
    if recipe["time_shift"]:
        images = _later(images, recipe["time_shift"], generator)
    if recipe["gain"]:
        draw = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
        images = torch.where(images > 0, (images + recipe["gain"] * (2 * draw - 1)).clamp(0, 1), images)
    for most, axis in ((recipe["time_mask"], -1), (recipe["frequency_mask"], -2)):
        if most:
            images = _silenced(images, most, axis, generator)
    return images


def _later(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    shift = torch.randint(-most, most + 1, (len(images), 1), generator=generator, device=images.device)
    column = torch.arange(images.shape[-1], device=images.device) - shift
    there = (column >= 0) & (column < images.shape[-1])
    taken = column.clamp(0, images.shape[-1] - 1)[:, None, None].expand_as(images)
    return images.gather(-1, taken) * there[:, None, None]


def _silenced(images: Tensor, most: int, axis: int, generator: torch.Generator) -> Tensor:
    """Return images with a block of 0 to `most` neighbours along an axis, anywhere within it, at 0."""
    length, draw = images.shape[axis], torch.rand(2, len(images), 1, generator=generator, device=images.device)
    width = (draw[0] * (min(most, length) + 1)).floor()
    first = (draw[1] * (length - width + 1)).floor()
    place = torch.arange(length, device=images.device)
    silent = (place >= first) & (place < first + width)
    return images.masked_fill(silent[:, None, None, :] if axis == -1 else silent[:, None, :, None], 0.0)


def shifted_crop(
    images: Float[Tensor, "image channel y x"], padding: int, generator: torch.Generator
) -> Float[Tensor, "image channel y x"]:
    """Pad with zeros by `padding` pixels and crop back at a random place (torchvision's RandomCrop)."""
    n_images, channels, height, width = images.shape
    padded = functional.pad(images, [padding] * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, n_images), generator=generator, device=images.device)
    rows = (top[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
    image = torch.arange(n_images, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[image, channel, rows, columns]


def crop_boxes(
    n_images: int, least: float, most: float, size: tuple[int, int], generator: torch.Generator
) -> Float[Tensor, "4 image"]:
    """Draw the boxes (top, left, height, width; pixels) of torchvision's RandomResizedCrop for square and other images.

    Area is uniform in [least, most] of the image, the logarithm of the aspect ratio uniform; the first of 10 tries that fits is
    taken, the whole image (at the nearest allowed aspect ratio) if none does.
    """
    height, width = size
    draw = torch.rand(2, n_images, _TRIES, generator=generator, device=generator.device)
    area = height * width * (least + (most - least) * draw[0])
    aspect = torch.exp(math.log(_ASPECT[0]) + (math.log(_ASPECT[1]) - math.log(_ASPECT[0])) * draw[1])
    widths, heights = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = fits.int().argmax(dim=1, keepdim=True)
    any_fits = fits.any(dim=1)
    ratio = width / height
    whole = (round(height * _ASPECT[1]), height) if ratio > _ASPECT[1] else (width, height)
    whole = (width, round(width / _ASPECT[0])) if ratio < _ASPECT[0] else whole
    box_width = torch.where(any_fits, widths.gather(1, first).squeeze(1), float(whole[0]))
    box_height = torch.where(any_fits, heights.gather(1, first).squeeze(1), float(whole[1]))
    corner = torch.rand(2, n_images, generator=generator, device=generator.device)
    centre_top, centre_left = ((height - box_height) / 2).floor(), ((width - box_width) / 2).floor()
    top = torch.where(any_fits, (corner[0] * (height - box_height + 1)).floor(), centre_top)
    left = torch.where(any_fits, (corner[1] * (width - box_width + 1)).floor(), centre_left)
    return torch.stack([top, left, box_height, box_width])


def resized_crop(
    images: Float[Tensor, "image channel y x"], least: float, most: float, generator: torch.Generator
) -> Float[Tensor, "image channel y x"]:
    """Crop a random box and resize it to the full size, bilinear (torchvision's RandomResizedCrop, without antialiasing)."""
    height, width = images.shape[-2:]
    top, left, box_height, box_width = crop_boxes(len(images), least, most, (height, width), generator)
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = box_width / width, (2 * left + box_width) / width - 1
    theta[:, 1, 1], theta[:, 1, 2] = box_height / height, (2 * top + box_height) / height - 1
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def colour_jitter(
    images: Float[Tensor, "image channel y x"], strength: Mapping[str, float | int], generator: torch.Generator
) -> Float[Tensor, "image channel y x"]:
    """Scale brightness, contrast and saturation by U[max(0, 1 - s), 1 + s] and shift hue by U[-s, s] of the circle.

    Applied to an image with `strength["probability"]`. Saturation and hue need three channels and do nothing to one.
    """
    chosen = _chance(images, strength["probability"], generator)
    operations = {"brightness": _brightness, "contrast": _contrast, "saturation": _saturation, "hue": _hue}
    names = [name for name in operations if strength[name] and (images.shape[1] == 3 or name in ("brightness", "contrast"))]
    jittered = images
    for position in _host_order(len(names), generator):
        name = names[position]
        spread, centre = strength[name], 0.0 if name == "hue" else 1.0
        draw = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
        least = max(0.0, centre - spread) if centre else -spread
        jittered = operations[name](jittered, least + (centre + spread - least) * draw)
    return torch.where(chosen, jittered, images)


def _host_order(n: int, generator: torch.Generator) -> Iterator[int]:
    """Give a random order on the host without waiting for the device: a CUDA generator knows its seed and offset there."""
    if generator.device.type == "cuda":
        generator = torch.Generator().manual_seed(key_of(generator.initial_seed(), generator.get_offset()))
    return iter(torch.randperm(n, generator=generator).tolist())


@cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return per-channel numbers [1, channel, 1, 1], copied to the device once: each copy would wait for it."""
    return torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)


def _chance(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < probability


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images
    weights = _constant(_LUMA, images.dtype, images.device)
    return (images * weights).sum(dim=1, keepdim=True).expand_as(images)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return (factor * images + (1 - factor) * mean).clamp(0, 1)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * _grey(images)).clamp(0, 1)


def _hue(images: Tensor, shift: Tensor) -> Tensor:
    """Rotate the hue: RGB to HSV, shift, and back by the closed form of the HSV hexcone."""
    most, least = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    chroma = most - least
    red, green, blue = images.split(1, dim=1)
    safe = chroma.clamp(min=1e-12)
    sextant = torch.where(
        most == red, (green - blue) / safe, torch.where(most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    hue = sextant + 6 * shift
    offsets = _constant((5.0, 3.0, 1.0), images.dtype, images.device)
    k = (offsets + hue) % 6
    return most - chroma * torch.minimum(k, 4 - k).clamp(0, 1)
