"""What an explainer learns from: images with the mask bank of all their heads and classes, and with the maps of teachers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from clxai.data.batches import ImageStore
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.mask_bank.game import unpacked
from clxai.mask_bank.sizes import ALL, NONE


@dataclass(frozen=True)
class Teachers:
    """Values of units by the teachers of each image and head, for the class that the head predicts, each with its share.

    Shares of one image and head add up to 1, or to 0 where no teacher is kept.
    """

    values: Float[Tensor, "image head teacher unit"]
    share: Float[Tensor, "image head teacher"]


@dataclass(frozen=True)
class Batch:
    """Some images as an explainer is trained on them, with some of the masks of each law."""

    images: Float[Tensor, "image channel y x"]
    labels: Int[Tensor, "map y x"]
    n_units: Int[Tensor, " image"]
    present: Float[Tensor, "image mask unit"]
    worth: Float[Tensor, "image mask head class"]
    whole: Float[Tensor, "image head class"]
    empty: Float[Tensor, "image head class"]
    taught: Teachers | None

    @property
    def there(self) -> Bool[Tensor, "image unit"]:
        """Which units each image has."""
        return torch.arange(self.present.shape[2], device=self.n_units.device) < self.n_units[:, None]

    @property
    def target(self) -> Int[Tensor, "image head"]:
        """The class that each head predicts with all units: it has the largest log-odds."""
        return self.whole.argmax(dim=2)


@dataclass(frozen=True)
class Lessons:
    """The images of a sample with their mask bank, on the device; `heads` in the order of the bank."""

    store: ImageStore
    labels: Int[Tensor, "map y x"]
    n_units: Int[Tensor, " image"]
    packed: UInt8[Tensor, "image mask byte"]
    log_odds: Float[Tensor, "image mask head class"]
    law: Sequence[str]
    held_out: Bool[np.ndarray, " mask"]
    heads: tuple[str, ...]
    taught: Teachers | None = None

    @property
    def places(self) -> int:
        """The largest number of units of an image."""
        return int(self.labels.max()) + 1

    @property
    def scale(self) -> Float[Tensor, " head"]:
        """Standard deviation of each head's log-odds over clean images and classes, in nat: heads then count alike."""
        return self._of(ALL).permute(1, 0, 2).flatten(1).std(dim=1).clamp(min=1e-6)

    def masks_of(self, *laws: str, held_out: bool | None = None) -> Int[Tensor, " mask"]:
        """Return the numbers of the masks of some laws: those to fit, those held out, or for None both."""
        own = np.isin(np.array(self.law), laws)
        return torch.from_numpy(np.flatnonzero(own if held_out is None else own & (self.held_out == held_out)))

    def batch(self, positions: Int[Tensor, " image"], masks: Int[Tensor, " mask"]) -> Batch:
        """Return the images at these positions with these masks."""
        rows, columns = positions.to(self.packed.device), masks.to(self.packed.device)
        whole, empty = (self._of(law)[rows] for law in (ALL, NONE))
        return Batch(
            self.store.take(positions),
            self.labels if len(self.labels) == 1 else self.labels[rows],
            self.n_units[rows],
            unpacked(self.packed[rows[:, None], columns])[..., : self.places].float(),
            self.log_odds[rows[:, None], columns],
            whole,
            empty,
            None if self.taught is None else Teachers(self.taught.values[rows], self.taught.share[rows]),
        )

    def _of(self, law: str) -> Float[Tensor, "image head class"]:
        return self.log_odds[:, list(self.law).index(law)]


def lessons_of(
    data: ImageData, bank: xarray.Dataset, device: torch.device, split: str, pool: xarray.Dataset | None = None
) -> Lessons:
    """Return the images of a mask bank as lessons, with the teachers of a pool.

    Raises ClxaiError if an image is not of the split that is meant: explainers see none that they are judged on.
    """
    index = bank["image"].values
    foreign = np.setdiff1d(index, data.indices(split))
    if len(foreign):
        raise ClxaiError(f"explainers learn from {split} images. Got image {int(foreign[0])}, and {len(foreign) - 1} more")
    labels = torch.from_numpy(bank["unit"].values)
    packed, log_odds, n_units = (torch.from_numpy(bank[name].values).to(device) for name in ("present", "log_odds", "n_units"))
    return Lessons(
        ImageStore(data.images, index, device),
        (labels if labels.ndim == 3 else labels[None]).to(device),
        n_units.long(),
        packed,
        log_odds.float(),
        bank["law"].values.tolist(),
        bank["held_out"].values.astype(bool),
        tuple(bank["head"].values.tolist()),
        None if pool is None else _teachers(pool, index, device),
    )


def digest_of(*arrays: xarray.Dataset) -> str:
    """Return a digest of the numbers of some datasets, for the fingerprint of a training."""
    digest = hashlib.sha256()
    for dataset in arrays:
        for name in sorted(dataset.data_vars):
            digest.update(name.encode() + np.ascontiguousarray(dataset[name].values).tobytes())
    return digest.hexdigest()


def _teachers(pool: xarray.Dataset, index: np.ndarray, device: torch.device) -> Teachers:
    """Return the teachers of a pool. Raises ClxaiError if it is of other images."""
    if pool["image"].values.tolist() != index.tolist():
        raise ClxaiError("the pool of teachers is of other images than the mask bank: delete it and run again")
    values, share = (torch.from_numpy(pool[name].values).float().to(device) for name in ("value", "share"))
    return Teachers(values, share)
