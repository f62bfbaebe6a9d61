"""Prepared data sets: memory-mapped uint8 images with labels, splits and channel statistics.

The test split is for reporting alone; whatever is selected or fitted uses train and val.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clxai.artefacts import map_images, read_arrays
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.names import SPLITS


@dataclass(frozen=True)
class ImageData:
    """A prepared data set: images [image, channel, y, x] uint8 (memory-mapped), labels, splits and channel statistics."""

    name: str
    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def indices(self, split: str) -> np.ndarray:
        """Return the image indices of one split, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def open_prepared(name: str, images_path: str | Path, labels_path: str | Path) -> ImageData:
    """Open a prepared data set; the images stay on disk until they are used."""
    images, labels = map_images(images_path), read_arrays(labels_path)
    if len(images) != labels.sizes["image"]:
        raise ClxaiError(f"{images_path}: {len(images)} images, but {labels_path} has {labels.sizes['image']} labels")
    return ImageData(
        name=name,
        images=images,
        labels=labels["label"].values.astype(np.int64),
        split=labels["split"].values,
        class_names=tuple(json.loads(labels.attrs["class_names"])),
        mean=tuple(np.atleast_1d(labels.attrs["mean"]).tolist()),
        std=tuple(np.atleast_1d(labels.attrs["std"]).tolist()),
    )


def evaluation_sample(data: ImageData, n_images: int, seed: int) -> np.ndarray:
    """Return the indices of a seeded, stratified sample of the test split, ascending; the same for all models."""
    test = data.indices("test")
    if n_images > len(test):
        raise ClxaiError(f"study.evaluation_images must be at most the {len(test)} test images of {data.name}. Got {n_images}")
    chosen = stratified_choice(data.labels[test], n_images, np.random.default_rng(key_of("evaluation", seed)))
    return np.sort(test[chosen])


def stratified_choice(labels: np.ndarray, n_chosen: int, rng: np.random.Generator) -> np.ndarray:
    """Return positions of `n_chosen` items whose class shares are those of `labels`, by largest remainder."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    quota = n_chosen * counts / len(labels)
    share = np.floor(quota).astype(int)
    # Ties between remainders are broken at random, so that no class is favoured by its number.
    remainder = np.lexsort((rng.random(len(counts)), share - quota))
    share[remainder[: n_chosen - share.sum()]] += 1
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(inverse[shuffled], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[rank < np.repeat(share, counts)])
