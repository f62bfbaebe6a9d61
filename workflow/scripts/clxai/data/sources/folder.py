"""Folders of image files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clxai.data.image_folders import groups_of, scan
from clxai.data.sources.base import Source, source
from clxai.errors import ClxaiError
from clxai.names import SPLITS


@source("folder", needs=("path",), takes=("grey", "groups"), planning="clxai.data.image_folders")
def folder(config: Mapping[str, Any]) -> Source:
    """Images as {class}/*.png, or {train,val,test}/{class}/*.png (valid and validation are val); class names are sorted."""
    root = Path(config["path"])
    if not root.is_dir():
        raise ClxaiError(f"datasets: path {str(root)!r} is not a folder")
    found = scan(root)
    files = found.images
    class_names = tuple(sorted({file.parent.name for listed in files.values() for file in listed}))
    paths = [file for listed in files.values() for file in listed]
    names = [str(path.relative_to(root)) for path in paths]
    return Source(
        labels=np.array([class_names.index(file.parent.name) for file in paths], dtype=np.int64),
        split=np.repeat([SPLITS.index(name) for name in files], [len(listed) for listed in files.values()]),
        class_names=class_names,
        read=lambda index: _read_image(paths[index], config["grey"]),
        names=names,
        skipped=found.skipped,
        groups=groups_of(names, config["groups"]) if config["groups"] else (),
    )


def _read_image(path: Path, grey: bool) -> np.ndarray:
    """Return an image as uint8 [y, x] or [y, x, colour], turned as its EXIF tag says.

    Raises ClxaiError on an unreadable file, and on pixels that 8 bits or a missing background would change.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.load()
            _check_pixels(image, path)
            return np.asarray(ImageOps.exif_transpose(image).convert("L" if grey else "RGB"))
    except Image.DecompressionBombError as error:
        most = 2 * Image.MAX_IMAGE_PIXELS
        raise ClxaiError(f"{path}: more than {most:,} pixels; store it smaller, a little above what `size` asks for") from error
    except (OSError, SyntaxError) as error:
        raise ClxaiError(f"{path}: not a readable image ({error})") from error


def _png_bits(path: Path) -> int:
    """Return the bits per channel that the header of a PNG names: Pillow opens colours of 16 bits as if they had 8."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _check_pixels(image: Any, path: Path) -> None:
    """Raise ClxaiError if a PIL image has more than 8 bits a channel, or pixels that are not opaque."""
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and _png_bits(path) > 8):
        raise ClxaiError(
            f"{path}: pixels of more than 8 bits (mode {image.mode}) would be clipped; "
            "store them with 8 bits, divided by 257 and rounded"
        )
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            share = (alpha < 255).mean()
            raise ClxaiError(
                f"{path}: {share:.0%} of the pixels are transparent; paint them onto a background and store without alpha"
            )
