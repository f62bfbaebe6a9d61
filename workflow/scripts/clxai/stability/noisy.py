"""A run that looks at its images with a little noise."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clxai.data.batches import ImageStore
from clxai.keys import key_of
from clxai.networks.embeddings import embed
from clxai.randomness import keyed_uniform
from clxai.runs import Run


@dataclass(frozen=True)
class NoisyRun(Run):
    """A run that sees some images, by their numbers in the data set, otherwise than they are stored, and has embedded them so."""

    replaced: Int[Tensor, " replaced"]
    instead: Float[Tensor, "replaced channel y x"]

    @property
    def images(self) -> Tensor:
        """The chosen images in [0, 1], float32, with what stands instead of some."""
        same = self.index[:, None] == self.replaced
        instead = self.instead[same.int().argmax(dim=1)]
        return torch.where(same.any(dim=1)[:, None, None, None], instead, super().images)


def noisy_images(
    images: Float[Tensor, "image channel y x"], index: Int[Tensor, " image"], radius: float, draw: int, seed: int
) -> Float[Tensor, "image channel y x"]:
    """Return images in [0, 1] with uniform noise of up to `radius` either way in each pixel and channel, clipped to [0, 1].

    Drawn by draw, seed and image, whatever images are beside it.
    """
    noise = keyed_uniform(key_of("stability", draw, seed), index, images[0].numel()).view_as(images)
    return (images + (radius * (2 * noise - 1)).to(images)).clamp(0, 1)


def noisy(run: Run, radius: float, draw: int, seed: int) -> NoisyRun:
    """Return the run looking at its images with noise, embedded anew; all other images and the heads are its own."""
    images = noisy_images(run.images, run.index, radius, draw, seed)
    embeddings = run.all_embeddings.clone()
    store = ImageStore(images.cpu().numpy(), np.arange(len(images)), run.index.device)
    embeddings[run.index] = embed(run.encoder, store)
    return NoisyRun(run.data, run.encoder, run.checkpoint, run.heads, embeddings, run.index, run.index, images)
