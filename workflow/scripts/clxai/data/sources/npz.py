"""Arrays in an npz file."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from clxai.data.npz import present_splits, read_headers
from clxai.data.sources.base import Source, source, to_uint8
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.runtime.artefacts import existing


@source("npz", needs=("path",), takes=("first_label",), planning="clxai.data.npz")
def npz(config: Mapping[str, Any]) -> Source:
    """An npz file in the MedMNIST layout: {train,val,test}_images and _labels; val and test may be absent.

    With {train,val,test}_evidence, uint8 [image, y, x], it is known where the evidence is: its part's number, 0 elsewhere. With
    {train,val,test}_groups, numbers or texts [image], it is known which images belong together.
    """
    path = existing(config["path"])
    headers = read_headers(path)
    present = present_splits(headers)
    kinds = ("images", "labels", *(what for what in ("evidence", "groups") if f"train_{what}" in headers))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {f"{name}_{what}": archive[f"{name}_{what}"] for name in present for what in kinds}
    except (ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, BadZipFile, zlib.error) as error:
        raise ClxaiError(f"{path}: not a readable npz file ({error})") from error
    images = np.concatenate([to_uint8(arrays[f"{name}_images"], f"{path}: {name}_images") for name in present])
    labels = _counted_from(
        config["first_label"], np.concatenate([arrays[f"{name}_labels"].reshape(-1) for name in present]), path
    )
    split = np.concatenate([np.full(len(arrays[f"{name}_images"]), SPLITS.index(name)) for name in present])
    first = config["first_label"]
    names = tuple(str(first + number) for number in range(int(labels.max()) + 1))
    told = {what: np.concatenate([arrays[f"{name}_{what}"] for name in present]) for what in kinds[2:]}
    evidence = told["evidence"].__getitem__ if "evidence" in told else None
    groups = told["groups"].astype(str).tolist() if "groups" in told else ()
    return Source(labels, split, names, images.__getitem__, evidence=evidence, groups=groups)


def _counted_from(first: int, labels: np.ndarray, path: Path) -> np.ndarray:
    """Return labels minus that of the first class. Raises ClxaiError, naming the key, unless the least label is the first."""
    least, most = int(labels.min()), int(labels.max())
    if least != first:
        advice = f"; set `first_label: {least}` if {least} is the first class" if least >= 0 else ""
        raise ClxaiError(f"{path}: labels must begin at datasets.*.first_label, {first}. Found {least}..{most}{advice}")
    return labels.astype(np.int64) - first
