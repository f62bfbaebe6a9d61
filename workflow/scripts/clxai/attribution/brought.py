"""Maps that a user brings in files: read, checked and put into the order of the images that are explained; nothing is guessed.

A file is npy, npz or NetCDF and holds [image, y, x], or [image, channel, y, x] with a declared reduction of channels. `order`
says whose maps these are: "sample", one for each image of the sample, in the order in which it is exported; or by an id of each
image, "index", "crc32" or "name", as the export lists them: an array of that name in the npz or NetCDF file (there also the
coordinate `image`, for index), or a column of the CSV file `ids`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from clxai.attribution.base import REDUCTIONS
from clxai.data.datasets import ImageData, ids_of
from clxai.errors import ClxaiError
from clxai.names import HEAD_PLACE, MAP_ARRAYS
from clxai.runs import Run
from clxai.runtime.artefacts import existing, read_table
from clxai.runtime.integrity import file_digest


def read_brought(run: Run, options: Mapping[str, Any]) -> xarray.Dataset:
    """Return the maps [head, image, y, x] of the images of a run, as `explaining.explain` returns those of a method.

    `options` are those of the method `file`; its path has no place left but that of the head.

    Raises ClxaiError, naming the file, if one is missing or unreadable, if its maps are of another number, order or size, not
    finite, or against what is declared of signs and channels.
    """
    paths = {head: options["path"].replace(HEAD_PLACE, head) for head in run.heads}
    read = {path: _ordered(run, path, options) for path in dict.fromkeys(paths.values())}
    maps = np.stack([read[path] for path in paths.values()])
    targets = np.stack([head.predict(run.embeddings).cpu().numpy() for head in run.heads.values()])
    digests = ", ".join(f"{head}: {file_digest(path)}" for head, path in paths.items())
    return xarray.Dataset(
        {"attribution": (("head", "image", "y", "x"), maps), "target": (("head", "image"), targets)},
        coords={"head": list(run.heads), "image": run.index.cpu().numpy()},
        attrs={"signed": int(options["signed"]), "per_head": int(len(read) > 1), "given_sha256": digests},
    )


def _ordered(run: Run, path: str, options: Mapping[str, Any]) -> np.ndarray:
    """Return the maps [image, y, x] of one file, in the order of the run's images."""
    maps, ids = _read(existing(path), options)
    _check_values(maps, path, options)
    if options["ids"] is not None:
        ids = _column(options["ids"], options["order"])
    if options["order"] == "sample":
        rows = np.arange(len(maps))
        if len(maps) != len(run.index):
            raise ClxaiError(f"{path}: {len(maps)} maps, but the sample has {len(run.index)} images")
    else:
        if ids is None or len(ids) != len(maps):
            raise ClxaiError(
                f"{path}: order {options['order']} needs an array {options['order']!r} of {len(maps)} ids in the file, or a CSV "
                f"file `ids` with that column. Got {'none' if ids is None else len(ids)}"
            )
        rows = _rows(ids, _wanted(run.data, run.index.cpu().numpy(), options["order"], path), path, options["order"])
    reduced = _reduced(maps[rows], path, options["channels"])
    if reduced.shape[1:] != tuple(run.shape):
        raise ClxaiError(f"{path}: maps are of {list(reduced.shape[1:])} (height, width), the images of {list(run.shape)}")
    return reduced


def _read(path: Path, options: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the maps of a file and the ids in it, of the kind that `order` names, if there are any."""
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False), None
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _chosen({name: arrays[name] for name in arrays.files}, options["order"], path)
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            if "head" in dataset.dims:
                raise ClxaiError(
                    f"{path}: holds maps of several heads: store one file for each, and put {HEAD_PLACE} into the path"
                )
            found = {name: variable.values for name, variable in dataset.variables.items()}
            return _chosen(
                {("index" if name == "image" else name): value for name, value in found.items()}, options["order"], path
            )
    except ClxaiError:
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise ClxaiError(f"{path}: not a readable {path.suffix} file ({(str(error).splitlines() or [''])[0]})") from error


def _chosen(arrays: Mapping[str, np.ndarray], order: str, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the array of maps, by its name or as the only one of 3 or 4 axes, and that of ids."""
    named = [name for name in MAP_ARRAYS if name in arrays] or [name for name, array in arrays.items() if array.ndim > 2]
    if len(named) != 1:
        raise ClxaiError(f"{path}: one array of maps is needed, {' or '.join(MAP_ARRAYS)}. Found {', '.join(arrays) or 'none'}")
    return arrays[named[0]], arrays.get(order)


def _check_values(maps: np.ndarray, path: str, options: Mapping[str, Any]) -> None:
    if maps.dtype.kind not in "fiub":
        raise ClxaiError(f"{path}: maps must be numbers. Found {maps.dtype}")
    if maps.ndim not in (3, 4):
        raise ClxaiError(f"{path}: maps must be [image, y, x] or [image, channel, y, x]. Found shape {list(maps.shape)}")
    with np.errstate(over="ignore"):
        bad = (~np.isfinite(maps.astype(np.float32))).reshape(len(maps), -1).any(axis=1)
    if bad.any():
        raise ClxaiError(f"{path}: {bad.sum()} of {len(maps)} maps are not finite, the first is map {int(bad.argmax())}")
    if not options["signed"] and options["channels"] != "abs_sum" and (maps < 0).any():
        raise ClxaiError(
            f"{path}: signed is false, but {int((maps < 0).sum())} values are negative: set it to true, or store magnitudes"
        )


def _column(path: str, order: str) -> np.ndarray:
    table = read_table(path)
    if order not in table:
        raise ClxaiError(f"{path}: no column {order!r}. Found {', '.join(table.columns)}")
    return table[order].to_numpy()


def _wanted(data: ImageData, index: np.ndarray, order: str, path: str) -> np.ndarray:
    """Return the ids of the images of a run. Raises ClxaiError where they have none of that kind."""
    ids = ids_of(data, index)
    if order not in ids:
        raise ClxaiError(f"{path}: the images of {data.name} have no {order}: take order {', '.join(ids)}")
    return ids[order]


def _rows(ids: np.ndarray, wanted: np.ndarray, path: str, order: str) -> np.ndarray:
    """Return the row of each wanted image. Raises ClxaiError if one is absent, or stands twice."""
    given = [str(one) for one in ids.tolist()]
    places = {one: place for place, one in enumerate(given)}
    absent = [one for one in map(str, wanted.tolist()) if one not in places]
    if absent:
        raise ClxaiError(f"{path}: no map for {len(absent)} of {len(wanted)} images, the first of {order} {absent[0]}")
    twice = [one for one in map(str, wanted.tolist()) if given.count(one) > 1]
    if twice:
        raise ClxaiError(f"{path}: {given.count(twice[0])} maps for the image of {order} {twice[0]}, one is needed")
    return np.array([places[one] for one in map(str, wanted.tolist())])


def _reduced(maps: np.ndarray, path: str, channels: str | None) -> np.ndarray:
    """Return maps [image, y, x] in float32, channels reduced as declared."""
    has_channels, declared = maps.ndim == 4, channels not in (None, "none")
    if has_channels != declared:
        need = "set channels to sum, abs_sum or mean" if has_channels else "leave channels out"
        raise ClxaiError(f"{path}: maps of shape {list(maps.shape)} and channels {channels}: {need}")
    found = torch.from_numpy(maps.astype(np.float32))
    return (REDUCTIONS[channels](found) if has_channels else found).numpy()
