"""The baselines of a method: made by a fill, one for each image that is explained, or a set of training images for all."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from clxai.data.batches import in_unit_range
from clxai.errors import ClxaiError
from clxai.fills.base import Fill, fill_images
from clxai.fills.baselines import TRAINING, Digest, preview, source_of
from clxai.keys import key_of
from clxai.randomness import keyed_uniform
from clxai.runs import Run


@dataclass(frozen=True)
class Baseline:
    """Normalised images that stand for nothing, in what way, and the numbers of the training images if they are such.

    `cardinality`: "single", one for each image of the run, or "set", all of them for every image.
    """

    images: Float[Tensor, "reference channel y x"]
    mode: str
    source: str
    shown: UInt8[np.ndarray, "shown channel y x"]
    cardinality: str = "single"
    index: tuple[int, ...] = ()

    def of(self, rows: Int[Tensor, " row"]) -> Float[Tensor, "reference channel y x"]:
        """Return what a method is handed with these images of the run."""
        return self.images[rows] if self.cardinality == "single" else self.images

    def after(self, digest: Digest, handed: Float[Tensor, "reference channel y x"], rows: Int[Tensor, " row"]) -> Digest:
        """Return the digest of all that was handed over, these images of the run among it; a set is handed to each batch anew."""
        return digest if self.cardinality == "set" and int(rows[0]) > 0 else digest.then(handed)


def filled(run: Run, fill: Fill, seed: int) -> Baseline:
    """Return one baseline for each image of a run, made by a fill."""
    images = fill_images(fill, run.images, run.encoder.mean, run.index, seed)
    source = source_of(fill.entry.name, fill.options, seed)
    return Baseline(run.encoder.normalise(images), fill.name, source, preview(images))


def drawn(run: Run, n_images: int, seed: int) -> Baseline:
    """Return a set of training images, drawn by the seed, ascending by their number; none of them is explained.

    Raises ClxaiError if there are not enough.
    """
    train = run.data.indices("train")
    free = ~np.isin(train, run.index.cpu().numpy())
    if n_images > free.sum():
        raise ClxaiError(f"references: {n_images} training images are asked for, {free.sum()} are not explained: lower it")
    # By place in the split: the same ones whatever stands before it.
    draw = keyed_uniform(key_of("references", seed), torch.arange(len(train)), 1)[:, 0].numpy()
    index = np.sort(train[np.argsort(np.where(free, draw, np.inf), kind="stable")[:n_images]])
    images = in_unit_range(torch.from_numpy(run.data.images[index]).to(run.index.device))
    source = f"training split, {n_images} images drawn by seed {seed}"
    return Baseline(run.encoder.normalise(images), TRAINING, source, preview(images), "set", tuple(index.tolist()))
