"""The pool of teachers: maps of methods on training images, without duplicates, and of these the ones that masks bear out.

Nothing here sees an image, a mask or a metric that explainers are judged by: masks are those of the training images' own bank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from clxai.amortising.objectives import correlation, removal_correlation
from clxai.errors import ClxaiError
from clxai.mask_bank.game import MaskBank, bank_of
from clxai.mask_bank.sizes import ALL, LAWS
from clxai.ranks import rank_correlation
from clxai.units.base import Cut

POOL = ("image", "head", "method", "kept", "reason")  # columns of the table
METRICS = ("removal_correlation", "deletion_correlation")
KEPT = "kept"


class Teacher(NamedTuple):
    """The maps of one method for one head, and which of them explain another class than the head predicts with all units."""

    maps: Float[Tensor, "image y x"]
    other: Bool[ndarray, " image"]


@dataclass(frozen=True)
class Judged:
    """The maps of the teachers of one head, by units, and how well training masks bear them out, by the metrics' names."""

    values: Float[ndarray, "teacher image unit"]
    metrics: Mapping[str, Float[ndarray, "teacher image"]]


def pool_teachers(
    bank: MaskBank, maps: Mapping[str, Teacher], target: Int[Tensor, " image"], duplicates: float, faithful: float
) -> tuple[Float[ndarray, "image teacher unit"], Float[ndarray, "image teacher"], list[list[str]]]:
    """Return the maps of one head by units, standardised, the share of each, and by image and teacher why it is kept or dropped.

    Of two maps of an image whose units have a rank correlation of at least `duplicates` the one goes whose method is worse by
    the mean of the first metric over all images. Then a map goes that is below the `faithful` quantile, over those left of its
    image, of any metric. Shares of an image are equal and add up to 1; all are 0 where none is left.
    """
    judged = judge(bank, [found for found, _ in maps.values()], target)
    reasons = np.full(judged.values.shape[:2], KEPT, dtype=object)
    ranks_nothing = np.nanstd(judged.values, axis=2) == 0
    reasons[ranks_nothing | ~np.isfinite(judged.metrics[METRICS[0]])] = "ranks nothing"
    reasons[np.array([other for _, other in maps.values()])] = "explains another class"
    _drop_duplicates(judged, list(maps), reasons, duplicates)
    _drop_unfaithful(judged, reasons, faithful)
    kept = (reasons == KEPT).T
    share = kept / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    values = judged.values - np.nanmean(judged.values, axis=2, keepdims=True)
    spread = np.nanstd(judged.values, axis=2, keepdims=True)
    scaled = np.nan_to_num(values / np.where(spread > 0, spread, 1))
    return scaled.transpose(1, 0, 2), share, reasons.T.tolist()


def judge(bank: MaskBank, maps: Sequence[Float[Tensor, "image y x"]], target: Int[Tensor, " image"]) -> Judged:
    """Return maps by units with the correlation of removed values with drops on held-out masks, and of values with deletions.

    Maps of which a value is not finite rank nothing: their metrics are NaN.
    """
    game = bank.game(target)
    places = int(bank.n_units.max())
    cut = Cut(bank.labels, bank.n_units if len(bank.labels) > 1 else bank.n_units[:1], None)
    values = torch.stack([cut.scores(one) for one in maps]).double()
    held = [game.of(law, held_out=True) for law in LAWS]
    present, worth = torch.cat([one for one, _ in held], dim=1)[..., :places], torch.cat([one for _, one in held], dim=1)
    there = game.there[:, :places]
    drop, lost = (game.whole[:, None] - worth), (game.whole[:, None] - game.without_one[:, :places])
    filled = values.nan_to_num().where(there, 0)
    filled = filled / filled.std(dim=2, keepdim=True).clamp(min=1e-12)
    lost_scale, drop_scale = (one.std(dim=1, keepdim=True).clamp(min=1e-12) for one in (lost, drop))
    removal = [removal_correlation(one[:, None], present, (drop / drop_scale)[..., None])[:, 0] for one in filled]
    deletion = [correlation(one, lost / lost_scale, there.double()) for one in filled]
    whole = (values.isfinite() | ~there).all(dim=2)
    found = dict(zip(METRICS, (torch.stack(removal), torch.stack(deletion)), strict=True))
    own = values.where(whole[..., None], 0).where(there, torch.nan)
    return Judged(own.numpy(), {name: numbers.where(whole, torch.nan).numpy() for name, numbers in found.items()})


def gather(
    bank: xarray.Dataset, maps: Mapping[str, xarray.Dataset], duplicates: float, faithful: float
) -> tuple[xarray.Dataset, pd.DataFrame]:
    """Return the pool of all heads, `value` and `share`, and the table of why each map is kept or dropped.

    `maps` are what `explain` returned, by the method's name, which goes with the maps everywhere.
    Raises ClxaiError if maps are of other images or heads than the bank.
    """
    values, shares, rows = [], [], []
    images, whole = bank["image"].values, list(bank["law"].values).index(ALL)
    for head in bank["head"].values.tolist():
        target = bank["log_odds"].sel(head=head).isel(mask=whole).argmax("class").values
        own = {name: _teacher(found, name, head, images, target) for name, found in maps.items()}
        value, share, reasons = pool_teachers(
            bank_of(bank, head, torch.device("cpu")), own, torch.from_numpy(target), duplicates, faithful
        )
        values.append(value)
        shares.append(share)
        for image, told in zip(images.tolist(), reasons, strict=True):
            rows += [(image, head, name, reason == KEPT, reason) for name, reason in zip(maps, told, strict=True)]
    named = {
        "value": (("image", "head", "teacher", "unit"), np.stack(values, axis=1).astype(np.float32)),
        "share": (("image", "head", "teacher"), np.stack(shares, axis=1).astype(np.float32)),
    }
    coords = {"image": images, "head": bank["head"].values, "teacher": list(maps)}
    return xarray.Dataset(named, coords), pd.DataFrame(rows, columns=POOL)


def _teacher(found: xarray.Dataset, name: str, head: str, images: ndarray, target: ndarray) -> Teacher:
    """Return the maps of one teacher and head. Raises ClxaiError if they are of other images or heads."""
    there = found["head"].values.tolist()
    if found["image"].values.tolist() != images.tolist() or head not in there:
        raise ClxaiError(f"teacher {name!r}: its maps are of other images or heads: delete them and run again")
    own = found.sel(head=head)
    return Teacher(torch.from_numpy(own["attribution"].values), own["target"].values != target)


def _drop_duplicates(judged: Judged, names: list[str], reasons: ndarray, most: float) -> None:
    """Mark maps that rank the units as one of a better method does, which is left itself."""
    quality = np.nanmean(judged.metrics[METRICS[0]], axis=1)
    order = np.argsort(-np.nan_to_num(quality, nan=-np.inf), kind="stable")
    for place, own in enumerate(order):
        for better in order[:place]:
            both: Bool[ndarray, " image"] = (reasons[own] == KEPT) & (reasons[better] == KEPT)
            if both.any():
                alike = np.zeros(len(both), dtype=bool)
                alike[both] = rank_correlation(judged.values[own][both], judged.values[better][both]) >= most
                reasons[own][alike] = f"duplicate of {names[better]}"


def _drop_unfaithful(judged: Judged, reasons: ndarray, share: float) -> None:
    """Mark maps below the quantile of a metric, over the maps that are left of the image."""
    left = reasons == KEPT
    for name, numbers in judged.metrics.items():
        own = np.where(left, numbers, np.nan)
        some = left.any(axis=0)
        bar = np.full(left.shape[1], -np.inf)
        bar[some] = np.nanquantile(own[:, some], share, axis=0)
        reasons[left & (numbers < bar) & (reasons == KEPT)] = f"{name} below the quantile"
