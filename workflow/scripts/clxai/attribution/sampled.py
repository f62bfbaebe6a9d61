"""Methods that are means over the mask bank or regressions on it: no forward pass, the value of a unit on all its pixels.

Each stores `r2_held_out`: how much of the log-odds under masks of its law that it has not seen its additive account explains. The
lower it is, the more units act together, and the less any map can say, whatever its SRG.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clxai.attribution.base import METHODS, Explanation, Problem, method
from clxai.attribution.completeness import completeness_error
from clxai.errors import ClxaiError
from clxai.mask_bank.estimating import (
    Account,
    conditional_means,
    constrained_regression,
    explained_variance,
    left_out,
    regression,
)
from clxai.mask_bank.game import Game
from clxai.mask_bank.sizes import BERNOULLI, SHAPLEY, check_masks


@method(
    "lime",
    families=("perturbation", "surrogate"),
    aligned_to="unit",
    signed=True,
    seeding="keyed",
    reduction="none",
    reads_masks="bernoulli",
    masks_per_unit=4,
    extras={"r2_held_out": {"axes": ("image",), "unit": "1"}},
    options={"units": None, "fill": None, "width": 0.25, "penalty": 1.0},
    at_least={"penalty": 0},
)
def lime(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Weighted ridge regression of m on which units are there: a penalised Banzhaf value [Ribeiro et al. 2016]."""
    game = _game(problem, "lime")
    return _explained(problem, game, regression(game, float(options["penalty"]), float(options["width"])), BERNOULLI)


@method(
    "banzhaf",
    families=("perturbation", "surrogate"),
    aligned_to="unit",
    signed=True,
    seeding="keyed",
    reduction="none",
    reads_masks="bernoulli",
    masks_per_unit=4,
    extras={"r2_held_out": {"axes": ("image",), "unit": "1"}},
    options={"units": None, "fill": None},
)
def banzhaf(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """What a unit adds to m on average over all sets of the others, by least squares [Hammer, Holzman 1992]."""
    game = _game(problem, "banzhaf")
    return _explained(problem, game, regression(game), BERNOULLI)


@method(
    "kernel_shap",
    families=("perturbation", "shapley", "surrogate"),
    aligned_to="unit",
    signed=True,
    complete="exact",
    seeding="keyed",
    reduction="none",
    reads_masks="shapley",
    masks_per_unit=4,
    extras={
        "r2_held_out": {"axes": ("image",), "unit": "1"},
        "completeness_error": {"axes": ("image",), "unit": "1"},
        "sampling_error": {"axes": ("image",), "unit": "nat"},
        "convergence": {"axes": ("image",), "unit": "1"},
    },
    options={"units": None, "fill": None},
)
def kernel_shap(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Shapley values of units by least squares on pairs of masks; they add up to m(v) - m(b) [Lundberg, Lee 2017].

    `completeness_error` is 0 but for rounding. `sampling_error` is the root mean square over units of the standard error,
    `convergence` the largest one over the range of the values [Covert, Lee 2021].
    """
    game = _game(problem, "kernel_shap")
    account, error = constrained_regression(game)
    far = torch.where(game.there, account.values, torch.nan)
    span = far.nan_to_num(-torch.inf).amax(dim=1) - far.nan_to_num(torch.inf).amin(dim=1)
    whole = game.whole - game.empty
    extras = {
        "completeness_error": completeness_error(account.values.sum(dim=1) - whole, whole, account.values),
        "sampling_error": ((error**2).sum(dim=1) / game.n_units).sqrt(),
        "convergence": torch.where(span > 0, error.amax(dim=1) / span, torch.nan),
    }
    return _explained(problem, game, account, SHAPLEY, extras)


@method(
    "rise",
    families=("perturbation",),
    aligned_to="unit",
    signed=True,
    seeding="keyed",
    reduction="none",
    reads_masks="bernoulli",
    extras={"r2_held_out": {"axes": ("image",), "unit": "1"}},
    options={"units": None, "fill": None},
)
def rise(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The mean of m over masks with a unit less that over all masks, times 2 [Petsiuk et al. 2018]."""
    game = _game(problem, "rise")
    return _explained(problem, game, conditional_means(game), BERNOULLI)


@method(
    "leave_one_out",
    families=("perturbation",),
    aligned_to="unit",
    signed=True,
    reduction="none",
    reads_masks="leave_one_out",
    extras={"r2_held_out": {"axes": ("image",), "unit": "1"}},
    options={"units": None, "fill": None},
)
def leave_one_out(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """m(v) - m(v without the unit): occlusion of units, each alone."""
    game = _game(problem, "leave_one_out")
    return _explained(problem, game, left_out(game), BERNOULLI)


def _game(problem: Problem, name: str) -> Game:
    """Return the game of the problem's targets.

    Raises ClxaiError if there is no mask bank, or if it has too few masks for the units of an image.
    """
    if problem.masks is None:
        raise ClxaiError(f"method {name!r} reads a mask bank. Got none")
    game, semantics = problem.masks.game(problem.target), METHODS[name].semantics
    fitted = game.of(semantics["reads_masks"])[1].shape[1]
    check_masks(fitted, semantics["masks_per_unit"], int(game.n_units.max()), f"method {name!r}")
    return game


def _explained(
    problem: Problem, game: Game, account: Account, law: str, extras: Mapping[str, Tensor] | None = None
) -> Explanation:
    """Return maps of the values, and how much of the held-out masks they explain."""
    judged = {"r2_held_out": explained_variance(game, account, law), **(extras or {})}
    return Explanation(problem.masks.map_of(account.values)[:, None], judged)
