"""Prepare a data set once: read its source, check it, split it, store uint8 images, labels, splits and statistics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray
from tqdm import tqdm

from clxai.data.datasets import crc32_of, stratified_choice
from clxai.data.groups import split_by_group
from clxai.data.sizes import shape_of
from clxai.data.sources.base import SOURCES, Source
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.names import SPLITS
from clxai.runtime.artefacts import atomic, map_images, write_arrays

_FIRST = 5  # names that a report or an error gives


def prepare(config: Mapping[str, Any], images_path: str | Path, labels_path: str | Path) -> pd.DataFrame:
    """Read a source, check it, split it and write its images (npy) and its labels, splits and statistics (NetCDF).

    Returns the table of what was found (see `found_in`). Raises ClxaiError on labels that are not 0..C-1, a class without images
    in a split, non-finite pixels, mixed channels or images that cannot be read.
    """
    entry = SOURCES[config["source"]]
    if entry.semantics["options"]:
        config = {**config, "arguments": entry.options(config["arguments"])}
    source = entry.definition(config)
    where = f"{config['source']} {config['name'] or config['path'] or ''}".rstrip()
    check_labels(source.labels, len(source.class_names), where)
    split = assign_splits(source, config)
    kept = np.flatnonzero(split >= 0)
    found = found_in(source, split)
    print(found.to_string(index=False), flush=True)
    labels, split = source.labels[kept], split[kept]
    check_splits(labels, split, source.class_names)
    with atomic(images_path) as temporary:
        crc32, *sums = _write_images(source, kept, split, shape_of(config["size"]), temporary)
        mean, std = _channel_statistics(*sums)
    dataset = xarray.Dataset(
        {"label": ("image", labels.astype(np.int32)), "split": ("image", split.astype(np.int8)), "crc32": ("image", crc32)},
        coords={"image": np.arange(len(kept)), "origin": ("image", kept)},
        attrs={"class_names": json.dumps(list(source.class_names)), "mean": mean, "std": std, "source": config["source"]},
    )
    dataset["split"].attrs = {"flag_values": np.arange(3, dtype=np.int8), "flag_meanings": " ".join(SPLITS)}
    dataset["crc32"].attrs = {"description": "checksum of the bytes of the image in images.npy"}
    dataset["origin"].attrs = {"description": "position of the image in its source"}
    if source.names:
        dataset["name"] = ("image", [source.names[index] for index in kept], {"description": "name of the image in its source"})
    if len(source.groups):
        groups = [str(source.groups[index]) for index in kept]
        dataset["group"] = ("image", groups, {"description": "what the image belongs to, such as its speaker"})
    if source.spectrogram is not None:
        dataset.attrs |= {"modality": "audio", "spectrogram": json.dumps(dict(source.spectrogram))}
    if source.evidence is not None:
        dataset["evidence"] = _evidence(source, kept, map_images(images_path).shape[2:])
    write_arrays(dataset, labels_path)
    return found


def _evidence(source: Source, kept: np.ndarray, shape: tuple[int, int]) -> xarray.DataArray:
    """Return where the evidence of each kept image is, [image, y, x], to be stored compressed."""
    masks = xarray.DataArray(np.stack([source.mask(int(index), shape) for index in kept]), dims=("image", "y", "x"))
    masks.attrs = {"description": "0 where there is no evidence of the class, else the number of the part of it"}
    masks.encoding = {"zlib": True, "complevel": 1}
    return masks


def found_in(source: Source, split: np.ndarray) -> pd.DataFrame:
    """Return what a source holds as rows of reason, count and first names: images read, left out by `limit`, and skipped.

    Then the groups in each split, where there are groups.
    """
    names = source.names or [""] * len(split)
    reasons = {"read": [names[index] for index in np.flatnonzero(split >= 0)]}
    reasons |= {"limit": [names[index] for index in np.flatnonzero(split < 0)]} if (split < 0).any() else {}
    reasons |= source.skipped
    if len(source.groups):
        places = {f"groups in {name}": np.flatnonzero(split == code) for code, name in enumerate(SPLITS)}
        reasons |= {reason: sorted({str(source.groups[index]) for index in place}) for reason, place in places.items()}
    rows = [(reason, len(listed), "; ".join(filter(None, listed[:_FIRST]))) for reason, listed in reasons.items()]
    return pd.DataFrame(rows, columns=["reason", "count", "first_names"])


def assign_splits(source: Source, config: Mapping[str, Any]) -> np.ndarray:
    """Return the split of each source image: 0 train, 1 val, 2 test, -1 left out by `limit`.

    A split that the source does not bring is drawn from the training images, stratified and seeded; where there are groups, of
    whole groups, unless `mixed_groups` says otherwise.
    """
    rng = np.random.default_rng(key_of("splits", config["seed"]))
    split = source.split.copy()
    apart = bool(len(source.groups)) and not config["mixed_groups"]
    if apart:
        split = np.array(split_by_group([*map(str, source.groups)], split.tolist(), config))
    elif config["fold"]:
        raise ClxaiError("datasets: fold needs groups that lie in one split each; the source has none, or mixed_groups is true")
    for name, fraction in (("test", config["test_fraction"]), ("val", config["val_fraction"])):
        if not (split == SPLITS.index(name)).any():
            train = np.flatnonzero(split == 0)
            chosen = stratified_choice(source.labels[train], round(fraction * len(train)), rng)
            split[train[chosen]] = SPLITS.index(name)
    for code, name in enumerate(SPLITS):
        limit, members = config["limit"].get(name), np.flatnonzero(split == code)
        if limit is not None and limit < len(members):
            kept = stratified_choice(source.labels[members], limit, rng)
            split[np.delete(members, kept)] = -1
    return split


def check_labels(labels: np.ndarray, n_classes: int, where: str) -> None:
    """Raise ClxaiError unless labels are the integers 0..C-1, each present."""
    if labels.dtype.kind not in "iu":
        raise ClxaiError(f"{where}: labels must be integers 0..C-1. Found {labels.dtype}")
    present = np.unique(labels)
    if present[0] < 0 or present[-1] >= n_classes:
        raise ClxaiError(f"{where}: labels must be 0..{n_classes - 1}. Found {present[0]}..{present[-1]}")
    missing = sorted(set(range(n_classes)) - set(present.tolist()))
    if missing:
        raise ClxaiError(f"{where}: classes without images: {missing[:10]} of 0..{n_classes - 1}")
    if n_classes < 2:
        raise ClxaiError(f"{where}: a classification set needs at least 2 classes. Found {n_classes}")


def check_splits(labels: np.ndarray, split: np.ndarray, class_names: Sequence[str]) -> None:
    """Raise ClxaiError if a class has no image in a split (fewer than two in train)."""
    for code, name in enumerate(SPLITS):
        counts = np.bincount(labels[split == code], minlength=len(class_names))
        least = 2 if name == "train" else 1
        if counts.min() < least:
            short = class_names[int(counts.argmin())]
            raise ClxaiError(f"the {name} split has {counts.min()} images of class {short!r}, needs {least}: raise its size")


def _write_images(source: Source, kept: np.ndarray, split: np.ndarray, shape: tuple[int, int] | None, path: Path) -> tuple:
    """Write the kept images into an npy file, one at a time.

    Returns their CRC-32, and pixel count, sum and sum of squares over train. Raises ClxaiError that lists all unusable images.
    """
    refused: list[str] = []
    images = _usable(source, kept, shape, refused)
    head = next(images, None)
    if head is None:
        raise _unusable(refused, kept)
    first = head[1]
    print(f"{len(kept)} images [channel, y, x] of {list(first.shape)}", flush=True)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), *first.shape)}
    count, total, squares = 0, np.zeros(len(first)), np.zeros(len(first))
    crc32 = np.empty(len(kept), np.uint32)
    with path.open("wb") as file:  # not through a memory map: writing into one kills the process when the disk is full
        np.lib.format.write_array_header_1_0(file, header)
        for position, image in tqdm(chain([head], images), total=len(kept), desc="images", unit="img", mininterval=5):
            if image.shape != first.shape:
                raise _other_shape(source, int(kept[position]), image.shape, int(kept[head[0]]), first.shape)
            file.write(image)
            crc32[position] = crc32_of([image])[0]
            if split[position] == 0:
                pixels = image.reshape(len(image), -1) / 255.0
                count, total, squares = count + pixels.shape[1], total + pixels.sum(1), squares + (pixels**2).sum(1)
    if refused:
        raise _unusable(refused, kept)
    return crc32, count, total, squares


def _other_shape(source: Source, index: int, found: Sequence[int], first: int, expected: Sequence[int]) -> ClxaiError:
    """Return the error of an image [channel, y, x] of another shape than the first one: `size` helps unless channels differ."""
    advice = "set `size`" if found[0] == expected[0] else "set `grey`, or store all with the same channels"
    return ClxaiError(
        f"{source.name_of(index)}: shape {list(found)} differs from {list(expected)} of {source.name_of(first)}; {advice}"
    )


def _unusable(refused: list[str], kept: np.ndarray) -> ClxaiError:
    return ClxaiError(f"{len(refused)} of {len(kept)} images cannot be used: {'; '.join(refused[:_FIRST])}")


def _usable(
    source: Source, kept: np.ndarray, shape: tuple[int, int] | None, refused: list[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield position and pixels [channel, y, x] of each usable image; append the reason to `refused` for each other."""
    for position, index in enumerate(kept):
        try:
            yield position, source.image(int(index), shape)
        except ClxaiError as error:
            refused.append(str(error))


def _channel_statistics(count: int, total: np.ndarray, squares: np.ndarray) -> tuple[list[float], list[float]]:
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    if (std == 0).any():
        raise ClxaiError(f"channel {int(std.argmin())} of the training images is constant")
    return mean.tolist(), std.tolist()
