"""The stability artefact: how far the maps of one method move in each draw of noise, beside how far the network's output does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray
from jaxtyping import Float, Int
from torch import Tensor

from clxai.attribution.explaining import explain
from clxai.runs import Run
from clxai.stability.noisy import noisy
from clxai.units.base import Cut, cut_images
from clxai.units.removal import rank_units

_DRAWN = ("head", "image", "draw")
# Name in the file: axes, unit, meaning.
VARIABLES: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "change": (_DRAWN, "1", "distance of the noisy image's map from the clean one's, over the length of that"),
    "turn": (_DRAWN, "1", "distance of the two maps, each divided by its own length"),
    "rank_correlation": (
        _DRAWN,
        "1",
        "Spearman correlation of the orders in which units would be removed",
    ),
    "output_change": (_DRAWN, "nat", "magnitude of the change of the log-odds of the target"),
    "same_prediction": (
        _DRAWN,
        "1",
        "1: the head predicts the class of the clean image, which both maps explain",
    ),
    "distance": (("image", "draw"), "1", "distance of the noisy image from the clean one, pixels in [0, 1]"),
    "log_odds": (("head", "image"), "nat", "log-odds of the target on the clean image"),
}


def measure_stability(
    run: Run, method: Mapping[str, Any], units: Mapping[str, Any], radius: float, draws: int, seed: int
) -> xarray.Dataset:
    """Explain the run's images clean and with `draws` draws of noise, and return how far they differ, one value per draw.

    `method` are the arguments of `explain` by name, `units` how images are cut, `seed` breaks ties as flipping does. Each draw is
    explained as an image of its own: its neighbours are searched anew.
    """
    clean, cut = explain(run, **method), cut_images(units["units"], units["options"], run.images.cpu())
    found: dict[str, list[Tensor]] = {}
    for draw in range(draws):
        moved = noisy(run, radius, draw, method["seed"])
        numbers = _compared(clean, explain(moved, **method), cut, run.index, seed)
        numbers["distance"] = (moved.images - run.images).flatten(1).norm(dim=1)
        for name, values in numbers.items():
            found.setdefault(name, []).append(values)
    values = {name: torch.stack(parts, dim=-1).cpu().numpy() for name, parts in found.items()}
    values["log_odds"] = clean["log_odds"].values
    coords = {"head": clean["head"].values, "image": clean["image"].values, "draw": np.arange(draws)}
    attrs = {"method": clean.attrs["method"], "radius": radius, "units": units["name"], "seed": method["seed"]}
    return xarray.Dataset({name: _variable(name, values[name]) for name in VARIABLES}, coords, attrs)


def _compared(clean: xarray.Dataset, moved: xarray.Dataset, cut: Cut, index: Tensor, seed: int) -> dict[str, Tensor]:
    """Return the numbers [head, image] of one draw."""
    own, other = (torch.from_numpy(maps["attribution"].values) for maps in (clean, moved))
    orders = [order_correlation(one, two, cut, index, seed) for one, two in zip(own, other, strict=True)]
    return {
        **map_changes(own, other),
        "rank_correlation": torch.stack(orders),
        "output_change": torch.from_numpy(np.abs(moved["log_odds"].values - clean["log_odds"].values)),
        "same_prediction": torch.from_numpy(clean["target"].values == moved["target"].values),
    }


def map_changes(own: Float[Tensor, "head image y x"], other: Float[Tensor, "head image y x"]) -> dict[str, Tensor]:
    """Return `change` and `turn` [head, image] of two maps: 0 where they are equal, NaN where one of them has no length then."""
    own, other = own.double().flatten(2), other.double().flatten(2)
    one, two = (maps / torch.where((length := maps.norm(dim=2)) > 0, length, torch.nan)[..., None] for maps in (own, other))
    change = (other - own).norm(dim=2) / torch.where((length := own.norm(dim=2)) > 0, length, torch.nan)
    same = (own == other).all(dim=2)
    return {name: values.masked_fill(same, 0) for name, values in {"change": change, "turn": (two - one).norm(dim=2)}.items()}


def order_correlation(
    one: Float[Tensor, "image y x"], two: Float[Tensor, "image y x"], cut: Cut, index: Int[Tensor, " image"], seed: int
) -> Float[Tensor, " image"]:
    """Return Spearman's correlation of the orders in which flipping would remove the units of each image by two maps.

    Orders have no ties: 1 - 6 sum d^2 / (n^3 - n). A constant map has the random order of its image, with noise as without.
    """
    n_units = cut.units_of(torch.arange(len(one), device=index.device)).cpu()
    ranks = [rank_units(cut.scores(maps), index.cpu(), seed, n_units)[0].double() for maps in (one, two)]
    return 1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum(dim=1) / (n_units.double() ** 3 - n_units)


def _variable(name: str, values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    axes, unit, text = VARIABLES[name]
    kind = np.int8 if values.dtype == bool else np.float32
    return axes, values.astype(kind), {"units": unit, "description": text}
