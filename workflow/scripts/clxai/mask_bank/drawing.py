"""Which units are there in each mask of a bank: the fixed ones, and pairs of complements drawn by two laws.

Everything drawn is keyed by purpose, seed and image, and numbered by unit: no number depends on the other images of a bank, on
how many units these have, or on the batch.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.mask_bank.sizes import ALL, BERNOULLI, LEAVE_ONE_OUT, NONE, SHAPLEY
from clxai.randomness import keyed_uniform


def laws_of(n_units: int, n_pairs: int) -> list[str]:
    """Return the law of each mask, in the order in which `draw_masks` returns them; `n_pairs` of each law that is drawn."""
    return [ALL, NONE, *[LEAVE_ONE_OUT] * n_units, *[SHAPLEY] * 2 * n_pairs, *[BERNOULLI] * 2 * n_pairs]


def held_out_of(n_units: int, fitted: int, held: int) -> list[bool]:
    """Return which masks are held out: the last pairs of each law. They are drawn independently, so that any are as good."""
    drawn = [*[False] * 2 * fitted, *[True] * 2 * held]
    return [*[False] * (2 + n_units), *drawn, *drawn]


def draw_masks(
    index: Int[Tensor, " image"], n_units: Int[Tensor, " image"], most: int, n_pairs: int, seed: int
) -> Bool[Tensor, "image mask unit"]:
    """Return which units are there in each mask; those beyond an image's own `n_units` never are.

    First all units, none, and all but one, for each of `most` units (all of them once more for a unit that an image lacks); then
    pairs of complements whose size has the Shapley kernel's law P(k) ~ 1 / (k (u - k)), any units of that number; then pairs of
    complements in which each unit is there with probability 1/2. Raises ClxaiError if an image has fewer than two units.
    """
    if int(n_units.min()) < 2:
        raise ClxaiError("a mask bank needs images of at least two units. Got one: choose smaller units")
    there = (torch.arange(most, device=index.device) < n_units[:, None])[:, None]
    one_out = there & ~torch.eye(most, dtype=torch.bool, device=index.device)
    first = [_of_shapley_size(index, n_units, most, n_pairs, seed), _by_coins(index, most, n_pairs, seed)]
    pairs = [torch.stack([some & there, ~some & there], dim=2).flatten(1, 2) for some in first]
    return torch.cat([there, torch.zeros_like(there), one_out, *pairs], dim=1)


def _of_shapley_size(
    index: Int[Tensor, " image"], n_units: Int[Tensor, " image"], most: int, n_pairs: int, seed: int
) -> Bool[Tensor, "image pair unit"]:
    """Return any k units of each image, k from the Shapley kernel [Lundberg, Lee 2017, theorem 2]."""
    drawn = keyed_uniform(key_of("mask bank", "sizes", seed), index, n_pairs)
    size = 1 + torch.searchsorted(_cumulated(n_units, most), drawn, right=True).clamp(max=n_units[:, None] - 2)
    order = _by_unit("units", index, most, n_pairs, seed)
    order = order.masked_fill(torch.arange(most, device=index.device) >= n_units[:, None, None], torch.inf)
    return order.argsort(dim=2).argsort(dim=2) < size[..., None]


def _cumulated(n_units: Int[Tensor, " image"], most: int) -> Float[Tensor, "image size"]:
    """Return the distribution function of the sizes 1 to u - 1 of each image's own u."""
    size = torch.arange(1, most, dtype=torch.float64, device=n_units.device)
    weight = torch.where(size < n_units[:, None], 1 / (size * (n_units[:, None] - size)).abs().clamp(min=1), 0.0)
    return weight.cumsum(dim=1) / weight.sum(dim=1, keepdim=True)


def _by_coins(index: Int[Tensor, " image"], most: int, n_pairs: int, seed: int) -> Bool[Tensor, "image pair unit"]:
    """Return each unit with probability 1/2."""
    return _by_unit("coins", index, most, n_pairs, seed) < 0.5


def _by_unit(purpose: str, index: Int[Tensor, " image"], most: int, n_pairs: int, seed: int) -> Float[Tensor, "image pair unit"]:
    """Return a uniform number for each unit of each pair; the stream is by unit, so that `most` changes none of them."""
    drawn = keyed_uniform(key_of("mask bank", purpose, seed), index, most * n_pairs)
    return drawn.view(len(index), most, n_pairs).transpose(1, 2)
