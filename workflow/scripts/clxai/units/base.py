"""What is removed and what replaces it: units, their ranking, removal steps and fills, all in pixel space [0, 1]."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError, unknown_name
from clxai.keys import key_of
from clxai.names import FILLS, allowed_units
from clxai.randomness import keyed_uniform

BLUR_SIGMA_SHARE = 0.15  # of the image size: the strokes of a digit and the parts of an object disappear


def check_unit(size: int, unit_px: int) -> None:
    """Raise ClxaiError unless square units of `unit_px` pixels tile an image of `size` pixels at least 2 x 2 times."""
    if unit_px not in allowed_units(size):
        raise ClxaiError(f"unit_px must tile the image size {size} px: one of {allowed_units(size)}. Got {unit_px}")


def unit_scores(attribution: Float[Tensor, "*batch y x"], unit_px: int) -> Float[Tensor, "*batch unit"]:
    """Return the mean attribution of each square unit, units in row order."""
    batch, size = attribution.shape[:-2], attribution.shape[-1]
    pooled = functional.avg_pool2d(attribution.reshape(-1, 1, *attribution.shape[-2:]), unit_px)
    return pooled.reshape(*batch, (size // unit_px) ** 2)


def rank_units(
    scores: Float[Tensor, "image unit"], index: Int[Tensor, " image"], seed: int
) -> tuple[Int[Tensor, "image unit"], Bool[Tensor, " image"]]:
    """Return each unit's rank, 0 for the highest score, and which images are degenerate (constant or not finite).

    Ties are broken by a key drawn from (seed, image index), not by position, which would favour the top left. A degenerate
    map is ranked by that key alone, that is, at random.
    """
    degenerate = ~torch.isfinite(scores).all(dim=1) | (scores.amax(dim=1) == scores.amin(dim=1))
    usable = torch.where(degenerate[:, None], torch.zeros_like(scores), scores)
    shuffled = keyed_uniform(key_of("ties", seed), index, scores.shape[1]).argsort(dim=1)
    order = shuffled.gather(1, usable.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))
    places = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places), degenerate


def tie_fraction(values: Float[Tensor, "image value"]) -> Float[Tensor, " image"]:
    """Return the share of values that occur more than once in their row, in [0, 1]."""
    ordered = values.sort(dim=1).values
    same = ordered[:, 1:] == ordered[:, :-1]
    tied = functional.pad(same, (1, 0)) | functional.pad(same, (0, 1))
    return tied.to(values.dtype).mean(dim=1)


def removal_counts(n_units: int, n_steps: int) -> Int[Tensor, " step"]:
    """Return how many units are gone at each of the n_steps + 1 points, round(j n / n_steps), from 0 to all.

    Raises ClxaiError if there are more steps than units.
    """
    if not 1 <= n_steps <= n_units:
        raise ClxaiError(f"flipping.steps must be in 1..{n_units}, the number of units. Got {n_steps}")
    return torch.round(torch.arange(n_steps + 1, dtype=torch.float64) * n_units / n_steps).long()


def removal_masks(rank: Int[Tensor, "mask unit"], count: Int[Tensor, " mask"], unit_px: int) -> Bool[Tensor, "mask y x"]:
    """Return masks of removed pixels: in each mask the units whose rank is below its count are gone."""
    side = math.isqrt(rank.shape[1])
    removed = (rank < count[:, None]).reshape(-1, side, side)
    return removed.repeat_interleave(unit_px, 1).repeat_interleave(unit_px, 2)


def fill_images(
    name: str,
    images: Float[Tensor, "image channel y x"],
    mean: Float[Tensor, "channel 1 1"],
    index: Int[Tensor, " image"],
    seed: int,
) -> Float[Tensor, "image channel y x"]:
    """Return what removed pixels are replaced by, in [0, 1]; depends on (seed, image) alone.

    mean: the training set's mean colour; zero: black; blur: Gaussian, sigma 0.15 of the size, reflect padding; noise: uniform
    in [0, 1) per pixel and channel.
    """
    if name == "mean":
        return mean.expand_as(images)
    if name == "zero":
        return torch.zeros_like(images)
    if name == "blur":
        return gaussian_blur(images, BLUR_SIGMA_SHARE * images.shape[-1])
    if name == "noise":
        return keyed_uniform(key_of("noise", seed), index, images[0].numel()).to(images.dtype).reshape(images.shape)
    raise unknown_name("fill", name, FILLS)


def gaussian_blur(images: Float[Tensor, "image channel y x"], sigma: float) -> Float[Tensor, "image channel y x"]:
    """Blur with a Gaussian of `sigma` pixels, cut at 3 sigma (at most size - 1), reflected at the borders."""
    channels, size = images.shape[1], images.shape[-1]
    radius = min(math.ceil(3 * sigma), size - 1)
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    padded = functional.pad(images, [radius] * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel, groups=channels)
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=channels)
