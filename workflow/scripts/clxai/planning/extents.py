"""How many images a data set has and how large they are, as far as planning can tell without reading them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clxai.data.image_folders import count_images
from clxai.data.npz import read_headers
from clxai.errors import ClxaiError
from clxai.names import SPLITS

_DIGITS = 1797  # images in scikit-learn's digits
_MOST_FILES = 20_000  # of a folder that are counted: every call of Snakemake does it


@dataclass(frozen=True)
class Extent:
    """Upper bounds of the training and the test images, and the side of the prepared images in pixels; None if unknown."""

    train: int | None
    test: int | None
    size: int | None


def measure(entry: Mapping[str, Any], where: str) -> Extent:
    """Return the extent of an entry of `datasets`. Raises ClxaiError if an npz file cannot work, or images are not square."""
    counts, size = {}, entry["size"]
    if entry["source"] == "digits":
        counts = {"train": _DIGITS}
    elif entry["source"] == "npz":
        headers = read_headers(entry["path"])
        counts = {name: headers[f"{name}_images"].shape[0] for name in SPLITS if f"{name}_images" in headers}
        height, width = headers["train_images"].shape[1:3]
        if size is None and height != width:
            raise ClxaiError(f"{where}: images of {entry['path']} are {height}x{width} px, squares are needed; set `size`")
        size = size or height
    elif entry["source"] == "folder":
        counts = count_images(Path(entry["path"]), _MOST_FILES)
    return Extent(*_bounds(entry, counts), size)


def _bounds(entry: Mapping[str, Any], counts: Mapping[str, int]) -> tuple[int | None, int | None]:
    """Return the most training and test images, after the splits that the source lacks are drawn and limits are kept."""
    train, test, val = (counts.get(name) or None for name in ("train", "test", "val"))
    if train is not None and test is None:
        test = round(entry["test_fraction"] * train)
        train -= test
    if train is not None and val is None:
        train -= round(entry["val_fraction"] * train)
    limit = entry["limit"]
    return _least(train, limit.get("train")), _least(test, limit.get("test"))


def _least(*bounds: int | None) -> int | None:
    least = min((bound for bound in bounds if bound is not None), default=math.inf)
    return None if least is math.inf else int(least)
