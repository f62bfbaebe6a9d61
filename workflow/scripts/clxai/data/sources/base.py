"""The family of data sources: functions from an entry of `datasets` to labels, splits and a reader of images.

    @source("name", needs=("path",))
    def name(config: Mapping) -> Source

needs: keys of the entry that must be given; a needed path must exist. takes: keys besides, of those that only some sources have.
options: allowed keys of `arguments` with their defaults, where `planning` checks none. planning: a module without torch whose
functions tell planning, before any image is read, what it can know; each may be left out, as may the module:

    check(entry, where)     raise ClxaiError if the entry cannot work
    extent(entry, where)    (images by split, (height, width) or None) of the source, as far as they are known
    content(entry)          a plain value that is another one where the images are; the data are then prepared again
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clxai.errors import ClxaiError
from clxai.registry import Family

SOURCES = Family(
    "sources",
    keywords={
        "needs": {"type": "array", "items": {"enum": ["name", "path"]}, "default": []},
        "takes": {
            "type": "array",
            "items": {"enum": ["name", "path", "arguments", "download", "grey", "first_label"]},
            "default": [],
        },
        "planning": {"type": ["null", "string"], "default": None},
    },
)
source = SOURCES.register


@dataclass(frozen=True)
class Source:
    """Labels, split codes (0 train, 1 val, 2 test) and a reader of single images, uint8 [y, x] or [y, x, channel].

    `names` are those of the images, where they have any; `skipped` are the names of what is no image of the set, by reason.
    """

    labels: np.ndarray
    split: np.ndarray
    class_names: tuple[str, ...]
    read: Callable[[int], np.ndarray]
    names: Sequence[str] = ()
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def image(self, index: int, size: int | None) -> np.ndarray:
        """Return one image as uint8 [channel, y, x], resized to `size` pixels (None: as it is)."""
        pixels = self.read(index)
        if pixels.ndim not in (2, 3):
            raise ClxaiError(f"image {index}: expected [y, x] or [y, x, channel], found shape {pixels.shape}")
        pixels = np.atleast_3d(pixels if size is None else resize(pixels, size))
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize to size x size: by repetition if `size` is a whole multiple, else shorter side bilinear, then centre crop."""
    height, width = pixels.shape[:2]
    if height == width and size % height == 0:
        factor = size // height
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    from PIL import Image

    scale = size / min(height, width)
    shape = (max(size, round(width * scale)), max(size, round(height * scale)))
    planes = [Image.fromarray(plane) for plane in np.atleast_3d(pixels).transpose(2, 0, 1)]
    resized = np.stack([np.asarray(plane.resize(shape, Image.Resampling.BILINEAR)) for plane in planes], axis=-1)
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size]


def to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """Return images as uint8. Floats must be finite and in [0, 1]; anything else is refused."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise ClxaiError(f"{where}: pixels must be uint8, or float in [0, 1]. Found {images.dtype}")
    if not np.isfinite(images).all():
        raise ClxaiError(f"{where}: {int((~np.isfinite(images)).sum())} pixels are not finite")
    if images.min() < 0 or images.max() > 1:
        raise ClxaiError(f"{where}: float pixels must lie in [0, 1]. Found [{images.min():.4g}, {images.max():.4g}]")
    return np.rint(images * 255).astype(np.uint8)
