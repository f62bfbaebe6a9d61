"""Random masks as augmentation: a network learns, on its training images, to bear that units are missing.

As F-Fidelity's fine-tuning has it [Zheng et al. 2025], with all channels of a unit removed together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.data.batches import ImageStore
from clxai.fills.base import Fill, fill_images, fill_of
from clxai.keys import key_of
from clxai.randomness import generator
from clxai.runtime.memory import at_once
from clxai.units.base import Cut, cut_images
from clxai.units.tiles import check_share, whole_units


@dataclass(frozen=True)
class Masking:
    """How views of training images are masked: their cut, the most units that each loses, the fill, the seed.

    `cut` and `most` have one entry for all training images or one per image, in the order of the store; `places` is the
    largest number of units of an image, `index` are the images' numbers in the data set. The label maps may stay in main memory,
    all else is on the device.
    """

    cut: Cut
    places: int
    most: Int[Tensor, " map"]
    fill: Fill
    mean: Float[Tensor, "channel 1 1"]
    index: Int[Tensor, " image"]
    seed: int

    def mask(
        self, images: Float[Tensor, "row channel y x"], positions: Int[Tensor, " image"], epoch: int, step: int
    ) -> Float[Tensor, "row channel y x"]:
        """Remove units from views of the training images at `positions`, all images of one view after those of another.

        Each row loses a number of units that is uniform on 0..most; which ones is uniform too. What is drawn depends on (seed,
        epoch, step) for the masks and on (seed, epoch, view, image) for the fill. Nothing here waits for the device.
        """
        own = positions.to(images.device)
        draws = generator("masks", self.seed, epoch, step, device=images.device)
        gone = self._removed(positions, own.repeat(len(images) // len(own)), draws)
        views = zip(images.split(len(own)), gone.split(len(own)), strict=True)
        filled = [
            fill_images(self.fill, view, self.mean, self.index[own], key_of("masked units", self.seed, epoch, number), removed)
            for number, (view, removed) in enumerate(views)
        ]
        return torch.where(gone[:, None], torch.cat(filled), images)

    def _removed(self, positions: Tensor, own: Int[Tensor, " row"], draws: torch.Generator) -> Bool[Tensor, "row y x"]:
        """Draw the removed pixels of rows, each with its training image's place in the store."""
        device, cut = own.device, self.cut
        n_units, most = (values.expand(len(self.index))[own] for values in (cut.n_units, self.most))
        if len(cut.labels) > 1:
            labels = cut.labels[positions.to(cut.labels.device)].to(device)
            cut = replace(cut, labels=labels, n_units=n_units[: len(positions)])
        share = torch.rand(len(own), generator=draws, device=device, dtype=torch.float64)
        count = torch.minimum((share * (most + 1)).long(), most)
        priority = torch.rand(len(own), self.places, generator=draws, device=device)
        absent = torch.arange(self.places, device=device) >= n_units[:, None]
        order = priority.masked_fill(absent, 2.0).argsort(dim=1, stable=True)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(self.places, device=device).expand_as(order))
        return cut.masks(rank, count, torch.arange(len(own), device=device) % len(positions))


def masking_of(
    masks: Mapping[str, Any] | None, store: ImageStore, mean: Float[Tensor, "channel 1 1"], seed: int
) -> Masking | None:
    """Return the masking that a recipe asks for by {share, units, fill}, the training images cut once; None without masks.

    Says in the log how the images are cut. Raises ClxaiError if the share of its units that an image may lose is below one unit
    in every image.
    """
    if not masks or not masks["share"]:
        return None
    cut = _cut(masks["units"], store)
    allowed = torch.tensor([whole_units(masks["share"], n_units) for n_units in cut.n_units.tolist()])
    if int(allowed.max()) < 1:
        check_share(masks["share"], cut.most, "models.*.masks.share", f"images cut by {masks['units']['units']}")
    without, of = int((allowed < 1).sum()), "all images alike" if len(allowed) == 1 else f"{len(allowed)} images each"
    print(
        f"masks: {of} cut into {int(cut.n_units.min())} to {cut.most} units, of which up to {int(allowed.max())} are removed"
        + (f"; {without} images have too few units to lose one" if without else ""),
        flush=True,
    )
    cut = replace(cut, labels=cut.labels.to(store.home), n_units=cut.n_units.to(store.device))
    index = torch.from_numpy(store.indices).to(store.device)
    return Masking(cut, cut.most, allowed.to(store.device), fill_of(masks["fill"]), mean, index, seed)


def _cut(units: Mapping[str, Any], store: ImageStore) -> Cut:
    """Cut training images, a part at a time where each has a label map of its own."""
    rows, found = max(2, at_once("cut", store.images.shape[2:])), []
    for start in range(0, len(store), rows):
        images = store.take(torch.arange(start, min(start + rows, len(store))).to(store.home))
        found.append(cut_images(units["units"], units["options"], images))
        if len(found[0].labels) == 1 and len(images) > 1:
            break
    labels = torch.cat([cut.labels.cpu() for cut in found])
    return replace(found[0], labels=labels, n_units=torch.cat([cut.n_units.cpu() for cut in found]))
