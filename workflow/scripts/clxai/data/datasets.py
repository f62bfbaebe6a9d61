"""Prepared data sets: memory-mapped uint8 images with labels, splits and channel statistics.

The test split is for reporting alone; whatever is selected or fitted uses train and val.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.runtime.artefacts import map_images, read_arrays

if TYPE_CHECKING:
    import xarray


class StoredImages:
    """The images of a data set in their file, uint8 [image, channel, y, x]; those that are read are compared with their CRC-32.

    Indexing is along `image`, by a number, a slice or an array. Raises ClxaiError, naming file and image, if one is damaged.
    """

    def __init__(self, path: str | Path, crc32: np.ndarray) -> None:
        self.path, self.mapped, self.crc32 = path, map_images(path), crc32
        self.shape = self.mapped.shape

    def __len__(self) -> int:
        return len(self.mapped)

    def __getitem__(self, index: int | np.integer | slice | np.ndarray) -> np.ndarray:
        pixels = np.asarray(self.mapped[index])
        found = crc32_of(pixels.reshape(-1, *self.shape[1:]))
        differ = np.flatnonzero(found != np.atleast_1d(self.crc32[index]))
        if len(differ):
            image = np.atleast_1d(np.arange(len(self))[index])[differ[0]]
            raise ClxaiError(f"{self.path}: image {image} is damaged (its checksum differs): delete the file and run again")
        return pixels

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype)


def crc32_of(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return the CRC-32 of the bytes of each image, uint32 [image]."""
    return np.fromiter((zlib.crc32(np.ascontiguousarray(image)) for image in images), dtype=np.uint32)


@dataclass(frozen=True)
class ImageData:
    """A data set: images [image, channel, y, x], uint8 (in their file) or float in [0, 1], labels, splits, channel statistics.

    `evidence` [image, y, x] uint8 says where the evidence of the class is, by the number of its part and 0 elsewhere; None where
    that is not known. `names` are those of the images in their source, None where they have none there. `groups` say which images
    belong together, None where that is not known. `spectrogram` says what a cell of a spectrogram is, None of other images.
    """

    name: str
    images: np.ndarray | StoredImages
    labels: np.ndarray
    split: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    evidence: np.ndarray | None = None
    names: np.ndarray | None = None
    groups: np.ndarray | None = None
    spectrogram: Mapping[str, Any] | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def indices(self, split: str) -> np.ndarray:
        """Return the image indices of one split, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def open_prepared(name: str, images_path: str | Path, labels_path: str | Path) -> ImageData:
    """Open a prepared data set; the images stay on disk until they are used."""
    labels = read_arrays(labels_path)
    if not {"label", "split", "crc32"} <= set(labels):
        raise ClxaiError(f"{labels_path}: no label, split and crc32 per image: delete it and run again")
    images = StoredImages(images_path, labels["crc32"].values)
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
        evidence=_evidence_in(labels, images.shape, labels_path),
        names=labels["name"].values.astype(str) if "name" in labels else None,
        groups=labels["group"].values.astype(str) if "group" in labels else None,
        spectrogram=json.loads(labels.attrs["spectrogram"]) if "spectrogram" in labels.attrs else None,
    )


def ids_of(data: ImageData, index: np.ndarray) -> dict[str, np.ndarray]:
    """Return by what images can be known again: `index` in the data set, `crc32` of their bytes, `name` where they have one."""
    images = data.images
    crc32 = images.crc32[index] if isinstance(images, StoredImages) else crc32_of(images[index])
    return {"index": index, "crc32": crc32, **({} if data.names is None else {"name": data.names[index]})}


def _evidence_in(labels: "xarray.Dataset", shape: Sequence[int], path: str | Path) -> np.ndarray | None:
    """Return the evidence that is stored with the labels, if any. Raises ClxaiError unless it is a mask for each image."""
    if "evidence" not in labels:
        return None
    evidence = labels["evidence"].values
    if evidence.dtype != np.uint8 or evidence.shape != (shape[0], *shape[2:]):
        raise ClxaiError(
            f"{path}: evidence must be uint8 [image, y, x] of {[shape[0], *shape[2:]]}. Found {evidence.dtype} of "
            f"{list(evidence.shape)}: delete it and run again"
        )
    return evidence


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
