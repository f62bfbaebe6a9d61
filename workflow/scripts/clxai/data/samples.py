"""Named samples of the images of a split: seeded, stratified, without an image in common, the same for all models."""

from collections.abc import Sequence

import numpy as np

from clxai.data.datasets import ImageData, stratified_choice
from clxai.errors import ClxaiError
from clxai.keys import key_of


def draw_sample(
    data: ImageData, name: str, split: str, n_images: int, seed: int, before: Sequence[tuple[str, int]] = ()
) -> np.ndarray:
    """Return the indices of a sample of a split, ascending.

    `before` are name and size of the samples of the same split that are drawn first: each is drawn from what they leave, by its
    own name and the seed, so that those that follow change none before them. Raises ClxaiError if too few images are left.
    """
    left = data.indices(split)
    for one, wanted in [*before, (name, n_images)]:
        if wanted > len(left):
            raise ClxaiError(
                f"samples.{one}.images must be at most the {len(left)} {split} images left of {data.name}. Got {wanted}"
            )
        rng = np.random.default_rng(key_of(one, seed))
        chosen = np.sort(left[stratified_choice(data.labels[left], wanted, rng)])
        left = np.setdiff1d(left, chosen)
    return chosen
