"""Estimates of what each unit of an image contributes, from a sampled game: closed forms, for all images of a batch at once.

All return values [image, unit], float64, 0 for units that an image lacks, as parts of an additive account of the game: a mask is
worth about the base and the values of the units that are there. `explained_variance` alone reads masks that are held out.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clxai.mask_bank.game import Game
from clxai.mask_bank.sizes import BERNOULLI, SHAPLEY


class Account(NamedTuple):
    """An additive account of a game: what a mask without units is worth, and what each unit adds."""

    base: Float[Tensor, " image"]
    values: Float[Tensor, "image unit"]


class Shapley(NamedTuple):
    """Shapley values and, from the scatter of pairs of masks, their standard errors."""

    account: Account
    error: Float[Tensor, "image unit"]


def conditional_means(game: Game) -> Account:
    """Return twice the mean worth of masks with a unit less the mean of all, over masks drawn by coins [Petsiuk et al. 2018].

    The means are over the masks in which a unit is in fact there. Since these are half of all, each value is the mean with the
    unit less the mean without it: an estimate of the Banzhaf value [Wang, Jia 2023].
    """
    present, value = game.of(BERNOULLI)
    mean = value.mean(dim=1)
    inside = torch.einsum("imu,im->iu", present, value) / present.sum(dim=1).clamp(min=1)
    values = torch.where(game.there, 2 * (inside - mean[:, None]), 0.0)
    return Account(mean - values.sum(dim=1) / 2, values)


def regression(game: Game, penalty: float = 0.0, width: float | None = None) -> Account:
    """Return the ridge regression of the worth on the units that are there, with an intercept, over masks drawn by coins.

    sum_i w_i (v_i - a - z_i b)^2 + penalty |b|^2. Weights w = exp(-d^2 / (2 width^2)) with d = 1 - sqrt(k / u) the cosine
    distance of a mask of k units to that of all u [Ribeiro et al. 2016]; all 1 where `width` is None. Without weights and
    penalty b converges to the Banzhaf value [Hammer, Holzman 1992].
    """
    present, value = game.of(BERNOULLI)
    weight = torch.ones_like(value) if width is None else _kernel(present, game, width)
    total = weight.sum(dim=1)
    unit_mean, mean = torch.einsum("im,imu->iu", weight, present) / total[:, None], (weight * value).sum(dim=1) / total
    centred = (present - unit_mean[:, None]) * weight[..., None]
    inverse = _inverse(centred.mT @ present, game, penalty)
    values = (inverse @ (centred.mT @ value[..., None])).squeeze(2)
    return Account(mean - (unit_mean * values).sum(dim=1), values)


def constrained_regression(game: Game) -> Shapley:
    """Return Shapley values: the regression on masks drawn by the Shapley kernel, whose sum is v(all) - v(none).

    [Lundberg, Lee 2017, theorem 2; Covert, Lee 2021]: sampling is the weight, so each mask counts once. The errors take
    pairs of complements as what is drawn independently: the delta method, with as many degrees of freedom as pairs less units.
    """
    present, value = game.of(SHAPLEY)
    gain, whole = value - game.empty[:, None], game.whole - game.empty
    inverse = _inverse(present.mT @ present, game)
    sides = torch.cat([present.mT @ gain[..., None], game.there.double()[..., None]], dim=2)
    free, ones = (inverse @ sides).unbind(dim=2)
    share = (free.sum(dim=1) - whole) / ones.sum(dim=1)
    values = free - ones * share[:, None]
    left = gain - torch.einsum("imu,iu->im", present, values)
    score = (present * left[..., None]).unflatten(1, (-1, 2)).sum(dim=2).mT  # [image, unit, pair]
    moved = inverse @ score
    moved = moved - ones[..., None] * (moved.sum(dim=1) / ones.sum(dim=1)[:, None])[:, None]
    freedom = (score.shape[2] / (score.shape[2] - game.n_units + 1).clamp(min=1))[:, None]
    return Shapley(Account(game.empty, values), ((moved**2).sum(dim=2) * freedom).sqrt())


def left_out(game: Game) -> Account:
    """Return what the worth of all units loses without each of them."""
    values = game.whole[:, None] - game.without_one
    return Account(game.whole - values.sum(dim=1), values)


def explained_variance(game: Game, account: Account, law: str) -> Float[Tensor, " image"]:
    """Return R2 of an account on the held-out masks of a law: 1 where it is exact, 0 for their mean, below 0 for worse.

    NaN where all of them are worth the same.
    """
    present, value = game.of(law, held_out=True)
    told = account.base[:, None] + torch.einsum("imu,iu->im", present, account.values)
    scatter = ((value - value.mean(dim=1, keepdim=True)) ** 2).sum(dim=1)
    return torch.where(scatter > 0, 1 - ((value - told) ** 2).sum(dim=1) / scatter, torch.nan)


def _kernel(present: Tensor, game: Game, width: float) -> Float[Tensor, "image mask"]:
    distance = 1 - (present.sum(dim=2) / game.n_units[:, None]).sqrt()
    return torch.exp(-(distance**2) / (2 * width**2))


def _inverse(gram: Float[Tensor, "image unit unit"], game: Game, penalty: float = 0.0) -> Float[Tensor, "image unit unit"]:
    """Return the pseudo-inverse of Gram matrices with a penalty on their diagonal, and 1 there for units that an image lacks.

    Units that no mask separates thus share alike what they are worth together, and those that an image lacks are worth 0.
    """
    there = game.there.double()
    return torch.linalg.pinv(gram + torch.diag_embed(penalty * there + 1 - there), hermitian=True)
