"""The family of data sources: functions from an entry of `datasets` to labels, splits and a reader of images.

    @source("name", needs=("path",))
    def name(config: Mapping) -> Source

needs: keys of the entry that must be given; a needed path must exist. takes: keys besides, of those that only some sources have.
options: allowed keys of `arguments` with their defaults, where `planning` checks none. evidence: the source knows where in each
image the evidence of its class is. modality: audio, where images are spectrograms. planning: a module without torch whose
functions tell planning, before any image is read, what it can know; each may be left out, as may the module:

    check(entry, where)     raise ClxaiError if the entry cannot work
    extent(entry, where)    (images by split, (height, width) or None) of the source, as far as they are known
    files(entry)            (name, path) of each file that the images come from; `datasets.*.watch` says what is watched of them
    content(entry)          a plain value that is another one where the images are, instead of the digests of all files
    parts(entry)            how many parts the evidence has, 0 for none; without it as many as `evidence` says
    groups(entry)           whether it is known which images belong together; without it, it is not
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clxai.errors import STORE_8_BITS, ClxaiError
from clxai.registry import Family

SOURCES = Family(
    "sources",
    keywords={
        "needs": {"type": "array", "items": {"enum": ["name", "path"]}, "default": []},
        "takes": {
            "type": "array",
            "items": {"enum": ["name", "path", "arguments", "download", "grey", "first_label", "groups"]},
            "default": [],
        },
        "planning": {"type": ["null", "string"], "default": None},
        "evidence": {"type": "boolean", "default": False},
        "modality": {"enum": ["image", "audio"], "default": "image"},
    },
)
source = SOURCES.register


@dataclass(frozen=True)
class Source:
    """Labels, split codes (0 train, 1 val, 2 test) and a reader of single images, uint8 [y, x] or [y, x, channel].

    `names` are those of the images, where they have any; `skipped` are the names of what is no image of the set, or not whole,
    by reason.
    `evidence` reads the mask of single images, uint8 [y, x]: 0 where there is no evidence of the class, else the part's number.
    `groups` say which images belong together, such as those of a speaker, where that is known. `spectrogram` says what the cells
    of spectrograms are (`data.mel.Mel.record`); None where images are no spectrograms.
    """

    labels: np.ndarray
    split: np.ndarray
    class_names: tuple[str, ...]
    read: Callable[[int], np.ndarray]
    names: Sequence[str] = ()
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    evidence: Callable[[int], np.ndarray] | None = None
    groups: Sequence[str] = ()
    spectrogram: Mapping[str, Any] | None = None

    def name_of(self, index: int) -> str:
        """Return the name of an image, or its number where it has none."""
        return self.names[index] if self.names else f"image {index}"

    def image(self, index: int, shape: tuple[int, int] | None) -> np.ndarray:
        """Return one image as uint8 [channel, y, x], resized to height and width `shape` (None: as it is)."""
        pixels = self.read(index)
        if pixels.ndim not in (2, 3):
            raise ClxaiError(f"{self.name_of(index)}: expected [y, x] or [y, x, channel], found shape {pixels.shape}")
        pixels = np.atleast_3d(pixels if shape is None else resize(pixels, shape))
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def mask(self, index: int, shape: tuple[int, int]) -> np.ndarray:
        """Return the evidence of one image as uint8 [y, x], resized as the image is, by its nearest pixels."""
        if self.evidence is None:
            raise ClxaiError(f"{self.name_of(index)}: its source has no evidence")
        labels = np.asarray(self.evidence(index), dtype=np.uint8)
        return labels if labels.shape == shape else resize(labels, shape, nearest=True).reshape(shape)


def resize(pixels: np.ndarray, shape: tuple[int, int], nearest: bool = False) -> np.ndarray:
    """Resize [y, x] or [y, x, channel] to height and width `shape`: by repetition where both are the same whole multiple.

    Else bilinearly (or by the nearest pixel), until the image covers the shape with its proportions kept, then by a centre crop.
    """
    height, width = pixels.shape[:2]
    factor = shape[0] // height
    if factor and shape == (factor * height, factor * width):
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    from PIL import Image

    scale = max(shape[0] / height, shape[1] / width)
    covering = (max(shape[1], round(width * scale)), max(shape[0], round(height * scale)))
    planes = [Image.fromarray(plane) for plane in np.atleast_3d(pixels).transpose(2, 0, 1)]
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    resized = np.stack([np.asarray(plane.resize(covering, how)) for plane in planes], axis=-1)
    top, left = (resized.shape[0] - shape[0]) // 2, (resized.shape[1] - shape[1]) // 2
    return resized[top : top + shape[0], left : left + shape[1]]


def to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """Return images as uint8. Floats must be finite and in [0, 1]; anything else is refused."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise ClxaiError(f"{where}: pixels must be uint8, or float in [0, 1]. Found {images.dtype}; {STORE_8_BITS}")
    if not np.isfinite(images).all():
        raise ClxaiError(f"{where}: {int((~np.isfinite(images)).sum())} pixels are not finite")
    if images.min() < 0 or images.max() > 1:
        raise ClxaiError(f"{where}: float pixels must lie in [0, 1]. Found [{images.min():.4g}, {images.max():.4g}]")
    return np.rint(images * 255).astype(np.uint8)
