"""Where images come from: scikit-learn's digits, torchvision sets, npz files in the MedMNIST layout, image folders."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tarfile import TarError
from typing import Any
from zipfile import BadZipFile

import numpy as np

from clxai.data.image_folders import scan
from clxai.data.npz import present_splits, read_headers
from clxai.data.torchvision_sets import NEEDS, check_arguments, chooser
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.registry import Registry
from clxai.runtime.artefacts import existing

SOURCES = Registry("data source")
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


@source("digits")
def digits(config: Mapping[str, Any]) -> Source:
    """Scikit-learn's 1,797 handwritten digits, 8x8, embedded in the library [Alpaydin, Kaynak 1998]."""
    from sklearn.datasets import load_digits

    if config["size"] is not None and config["size"] % 8:
        raise ClxaiError(f"datasets: size of a digits set must be a multiple of 8. Got {config['size']}")
    bunch = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)  # grey levels 0..16
    labels = bunch.target.astype(np.int64)
    return Source(labels, np.zeros_like(labels), tuple(map(str, range(10))), images.__getitem__)


@source("torchvision", needs=("name",))
def torchvision_set(config: Mapping[str, Any]) -> Source:
    """A torchvision classification set by class name, with its own train and test split; downloaded if `download`."""
    parts = [_torchvision_part(config, split) for split in ("train", "test")]
    name, start = config["name"], NEEDS[config["name"]].first_label(config["arguments"])
    images = [_reader_of(part, name) for part in parts]
    labels = [_labels_of(part, name) - start for part in parts]
    first = len(labels[0])
    classes = list(getattr(parts[0], "classes", ()))[start:] or range(start, start + 1 + max(int(part.max()) for part in labels))
    return Source(
        labels=np.concatenate(labels),
        split=np.repeat([0, 2], [len(part) for part in labels]),
        class_names=tuple(one if isinstance(one, str) else str(one[0] if isinstance(one, tuple) else one) for one in classes),
        read=lambda index: images[0](index) if index < first else images[1](index - first),
    )


def _torchvision_part(config: Mapping[str, Any], split: str) -> Any:
    name, root = config["name"], config["path"] or "resources/torchvision"
    check_arguments(name, config["arguments"], config["download"], "datasets")
    import torchvision.datasets as sets

    chosen = {chooser(name): getattr(NEEDS[name], split)}
    if config["download"]:
        chosen["download"] = True
    try:
        return getattr(sets, name)(root, **config["arguments"], **chosen)
    except (ValueError, TypeError) as error:
        raise ClxaiError(f"torchvision set {name} with arguments {config['arguments']}: {error}") from error
    except (RuntimeError, OSError, TarError) as error:
        raise ClxaiError(f"torchvision set {name} in {root!r}: {error} (set `download: true` to fetch it)") from error


def _reader_of(part: Any, name: str) -> Callable[[int], np.ndarray]:
    """Return a reader of uint8 [y, x] or [y, x, channel] arrays: every torchvision set yields PIL images by index."""

    def read(index: int) -> np.ndarray:
        try:
            return np.asarray(part[index][0])
        except (OSError, ValueError) as error:
            raise ClxaiError(f"torchvision set {name}: image {index} cannot be read ({error})") from error

    return read


def _labels_of(part: Any, name: str) -> np.ndarray:
    """Return the labels of a part, int64, as the set counts its classes. Raises ClxaiError if any has none."""
    attribute = NEEDS[name].labels
    if attribute == "_FILES":
        return _labels_in_hdf5(part, name)
    values = getattr(part, attribute)
    if attribute == "_samples":
        values = [label for _, label in values]
    if any(value is None for value in values):
        raise ClxaiError(f"torchvision set {name}: images without labels; fetch the files that have those of the test part")
    labels = np.asarray(values).astype(np.int64)
    return labels if labels.ndim == 1 else labels[:, 0]


def _labels_in_hdf5(part: Any, name: str) -> np.ndarray:
    path = part._base_folder / part._FILES[part._split]["targets"][0]
    try:
        with part.h5py.File(path) as file:
            return np.asarray(file["y"]).reshape(-1).astype(np.int64)
    except (OSError, KeyError) as error:
        raise ClxaiError(f"torchvision set {name}: {path}: labels cannot be read ({error})") from error


@source("npz", needs=("path",))
def npz(config: Mapping[str, Any]) -> Source:
    """An npz file in the MedMNIST layout: {train,val,test}_images and _labels; val and test may be absent."""
    path = existing(config["path"])
    present = present_splits(read_headers(path))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {f"{name}_{what}": archive[f"{name}_{what}"] for name in present for what in ("images", "labels")}
    except (ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, BadZipFile, zlib.error) as error:
        raise ClxaiError(f"{path}: not a readable npz file ({error})") from error
    images = np.concatenate([to_uint8(arrays[f"{name}_images"], f"{path}: {name}_images") for name in present])
    labels = _counted_from(
        config["first_label"], np.concatenate([arrays[f"{name}_labels"].reshape(-1) for name in present]), path
    )
    split = np.concatenate([np.full(len(arrays[f"{name}_images"]), SPLITS.index(name)) for name in present])
    first = config["first_label"]
    names = tuple(str(first + number) for number in range(int(labels.max()) + 1))
    return Source(labels, split, names, images.__getitem__)


def _counted_from(first: int, labels: np.ndarray, path: Path) -> np.ndarray:
    """Return labels minus that of the first class. Raises ClxaiError, naming the key, unless the least label is the first."""
    least, most = int(labels.min()), int(labels.max())
    if least != first:
        advice = f"; set `first_label: {least}` if {least} is the first class" if least >= 0 else ""
        raise ClxaiError(f"{path}: labels must begin at datasets.*.first_label, {first}. Found {least}..{most}{advice}")
    return labels.astype(np.int64) - first


@source("folder", needs=("path",))
def folder(config: Mapping[str, Any]) -> Source:
    """Images as {class}/*.png, or {train,val,test}/{class}/*.png (valid and validation are val); class names are sorted."""
    root = Path(config["path"])
    if not root.is_dir():
        raise ClxaiError(f"datasets: path {str(root)!r} is not a folder")
    found = scan(root)
    files = found.images
    class_names = tuple(sorted({file.parent.name for listed in files.values() for file in listed}))
    paths = [file for listed in files.values() for file in listed]
    return Source(
        labels=np.array([class_names.index(file.parent.name) for file in paths], dtype=np.int64),
        split=np.repeat([SPLITS.index(name) for name in files], [len(listed) for listed in files.values()]),
        class_names=class_names,
        read=lambda index: _read_image(paths[index], config["grey"]),
        names=[str(path.relative_to(root)) for path in paths],
        skipped=found.skipped,
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
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ClxaiError(f"{path}: not a readable image ({error})") from error


def _png_bits(path: Path) -> int:
    """Return the bits per channel that the header of a PNG names: Pillow opens colours of 16 bits as if they had 8."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _check_pixels(image: Any, path: Path) -> None:
    """Raise ClxaiError if a PIL image has more than 8 bits a channel, or pixels that are not opaque."""
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and _png_bits(path) > 8):
        raise ClxaiError(f"{path}: pixels of more than 8 bits (mode {image.mode}) would be clipped; store them with 8 bits")
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            share = (alpha < 255).mean()
            raise ClxaiError(
                f"{path}: {share:.0%} of the pixels are transparent; paint them onto a background and store without alpha"
            )
