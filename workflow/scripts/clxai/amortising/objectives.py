"""What explainers are trained on: pure functions of values of units and of sampled games, smaller is better.

Axes: image, unit, mask, head, class. Masks say which units are there; a drop is what the log-odds lose when the others are gone.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLAT = 1e-3  # standard deviations of values below this share of the head's scale count as this: an explainer begins at 0


def least_squares(
    values: Float[Tensor, "image unit head class"],
    present: Float[Tensor, "image mask unit"],
    worth: Float[Tensor, "image mask head class"],
    ends: tuple[Float[Tensor, "image head class"], Float[Tensor, "image head class"]],
    there: Bool[Tensor, "image unit"],
    scale: Float[Tensor, " head"],
) -> Float[Tensor, ""]:
    """Return the mean squared error of the additive account on masks drawn by the Shapley kernel [Jethani et al. 2022].

    `ends` is what all units and none are worth. Before the masks are told, what is missing to their difference is spread evenly
    over the units; what is missing costs its square over the number of units. Both are least at the Shapley values, the second
    without any more forward pass when images are explained. Errors count in multiples of the head's scale.
    """
    whole, empty = ends
    n_units = there.sum(dim=1)[:, None, None]
    missing = whole - empty - values.sum(dim=1)
    even = values + there[..., None, None] * (missing / n_units)[:, None]
    left = worth - empty[:, None] - torch.einsum("bmu,buhc->bmhc", present, even)
    return (left / scale[:, None]).square().mean() + ((missing / scale[:, None]).square() / n_units).mean()


def local(
    values: Float[Tensor, "image head unit"],
    present: Float[Tensor, "image mask unit"],
    drop: Float[Tensor, "image mask head"],
) -> Float[Tensor, ""]:
    """Return 1/2 - 1/2 of the mean of `removal_correlation`: 0 best, 1 worst."""
    return (1 - removal_correlation(values, present, drop).mean()) / 2


def removal_correlation(
    values: Float[Tensor, "image head unit"],
    present: Float[Tensor, "image mask unit"],
    drop: Float[Tensor, "image mask head"],
) -> Float[Tensor, "image head"]:
    """Return the correlation, over masks, of the values that are removed with the drop [Bhatt et al. 2020].

    The sum is over the units that are gone, since the drop is what their removal costs.
    """
    told = values.sum(dim=2, keepdim=True) - torch.einsum("bmu,bhu->bhm", present, values)
    return correlation(told, drop.mT, torch.ones_like(told))


def pattern(
    values: Float[Tensor, "image head unit"],
    taught: Float[Tensor, "image head teacher unit"],
    share: Float[Tensor, "image head teacher"],
    there: Bool[Tensor, "image unit"],
) -> Float[Tensor, ""]:
    """Return 1 - the mean correlation with teachers over units, weighted by their `share`s; 0 where there is no teacher."""
    weight = there[:, None, None].to(values.dtype).expand_as(taught)
    found = correlation(values[:, :, None].expand_as(taught), taught, weight)
    return ((1 - found) * share).sum() / share.sum().clamp(min=1e-12)


def correlation(
    one: Float[Tensor, "*batch item"], other: Float[Tensor, "*batch item"], weight: Float[Tensor, "*batch item"]
) -> Float[Tensor, "*batch"]:
    """Return Pearson's correlation over the last axis; of values that hardly differ it shrinks to 0, see `FLAT`."""
    total = weight.sum(dim=-1, keepdim=True)
    centred = [values - (weight * values).sum(dim=-1, keepdim=True) / total for values in (one, other)]
    first, second = (((weight * values.square()).sum(dim=-1) / total[..., 0]) for values in centred)
    product = (weight * centred[0] * centred[1]).sum(dim=-1) / total[..., 0]
    return product / ((first + FLAT**2) * (second + FLAT**2)).sqrt()
