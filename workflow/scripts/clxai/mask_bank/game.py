"""A mask bank as methods read it: for each image a sampled game, in which units are players and log-odds are what they earn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.mask_bank.sizes import ALL, LEAVE_ONE_OUT, NONE
from clxai.runs import Run
from clxai.runtime.artefacts import read_arrays


@dataclass(frozen=True)
class Game:
    """What some images are worth, as the log-odds of one class each, float64, under the masks of a bank.

    `law` and `held_out` say of each mask how it was drawn and whether it is for judging alone. Units beyond an image's own
    `n_units` are never there; there may be more places than any image has units.
    """

    present: Bool[Tensor, "image mask unit"]
    value: Float[Tensor, "image mask"]
    n_units: Int[Tensor, " image"]
    law: Sequence[str]
    held_out: Bool[Tensor, " mask"]

    @property
    def there(self) -> Bool[Tensor, "image unit"]:
        """Which units each image has."""
        return torch.arange(self.present.shape[2], device=self.n_units.device) < self.n_units[:, None]

    @property
    def whole(self) -> Float[Tensor, " image"]:
        """What each image is worth with all its units."""
        return self.of(ALL)[1][:, 0]

    @property
    def empty(self) -> Float[Tensor, " image"]:
        """What is left when all units are gone."""
        return self.of(NONE)[1][:, 0]

    @property
    def without_one(self) -> Float[Tensor, "image unit"]:
        """What each image is worth without one unit, for each unit; for others what it is worth with all."""
        known = self.of(LEAVE_ONE_OUT)[1]
        rest = self.whole[:, None].expand(-1, self.present.shape[2] - known.shape[1])
        return torch.cat([known, rest], dim=1)

    def of(self, law: str, held_out: bool = False) -> tuple[Float[Tensor, "image mask unit"], Float[Tensor, "image mask"]]:
        """Return the masks of a law, 1 for a unit that is there, and what they are worth: those to fit, or those held out."""
        own = torch.tensor([one == law for one in self.law], device=self.held_out.device) & (self.held_out == held_out)
        return self.present[:, own].double(), self.value[:, own]


@dataclass(frozen=True)
class MaskBank:
    """A mask bank of some images for one head: the masks, packed, the log-odds of every class, and how the images are cut."""

    packed: UInt8[Tensor, "image mask byte"]
    log_odds: Float[Tensor, "image mask class"]
    n_units: Int[Tensor, " image"]
    labels: Int[Tensor, "map y x"]
    law: Sequence[str]
    held_out: Bool[Tensor, " mask"]

    def at(self, rows: Int[Tensor, " row"]) -> "MaskBank":
        """Return the bank of some of the images."""
        labels = self.labels if len(self.labels) == 1 else self.labels[rows]
        picked = {"packed": self.packed[rows], "log_odds": self.log_odds[rows], "n_units": self.n_units[rows]}
        return replace(self, labels=labels, **picked)

    def game(self, target: Int[Tensor, " image"]) -> Game:
        """Return what the images are worth to a class each."""
        # Whole bytes: matrices that begin at multiples of 64 bytes are solved alike in any batch.
        present = unpacked(self.packed).bool()
        own = self.log_odds.gather(2, target[:, None, None].expand(-1, self.log_odds.shape[1], 1)).squeeze(2)
        return Game(present, own.double(), self.n_units, self.law, self.held_out)

    def map_of(self, values: Float[Tensor, "image unit"]) -> Float[Tensor, "image y x"]:
        """Return maps in which each pixel has the value of its unit, float32."""
        return on_pixels(values, self.labels).float()


def unpacked(packed: UInt8[Tensor, "image mask byte"]) -> UInt8[Tensor, "image mask unit"]:
    """Return packed masks as 1 for a unit that is there, in whole bytes: the last places may be of no unit."""
    return (packed[..., None] >> torch.arange(8, dtype=torch.uint8, device=packed.device) & 1).flatten(2)


def on_pixels(values: Float[Tensor, "image unit"], labels: Int[Tensor, "map y x"]) -> Float[Tensor, "image y x"]:
    """Return maps in which each pixel has the value of its unit."""
    labels = labels.long().expand(len(values), -1, -1)
    return values.gather(1, labels.flatten(1)).view(labels.shape)


def read_bank(paths: Sequence[str | Path]) -> xarray.Dataset | None:
    """Read the mask bank that a method reads, one file; None if there is none."""
    return read_arrays(paths[0]) if paths else None


def banks_of(run: Run, bank: xarray.Dataset | None, method: str) -> dict[str, MaskBank]:
    """Return the mask bank of each head of a run, for a method that reads one.

    Raises ClxaiError if there is none, or if it is of other images or heads.
    """
    if bank is None:
        raise ClxaiError(f"method {method!r} reads a mask bank. Got none: give the file of rule mask_bank")
    if not set(run.heads) <= set(bank["head"].values) or bank["image"].values.tolist() != run.index.tolist():
        raise ClxaiError(f"method {method!r}: the mask bank is of other images or heads: delete it and run again")
    return {head: bank_of(bank, head, run.index.device) for head in run.heads}


def bank_of(bank: xarray.Dataset, head: str, device: torch.device) -> MaskBank:
    """Return the mask bank of one head, on a device."""
    log_odds = np.ascontiguousarray(bank["log_odds"].sel(head=head).values)
    packed, n_units, held_out, labels, own = (
        torch.from_numpy(values).to(device)
        for values in (*(bank[name].values for name in ("present", "n_units", "held_out", "unit")), log_odds)
    )
    cut = labels if labels.ndim == 3 else labels[None]
    return MaskBank(packed, own, n_units.long(), cut, bank["law"].values.tolist(), held_out.bool())
