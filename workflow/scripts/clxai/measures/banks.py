"""Mask banks and maps of a study as its metrics read them: each file when it is its turn, and no longer than it is used."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import xarray
from jaxtyping import Float
from numpy import ndarray

from clxai.data.datasets import StoredImages
from clxai.design import joined
from clxai.measures.explained import Read
from clxai.measures.metrics.maps import Maps, maps_of
from clxai.measures.metrics.masks import Masks, masks_of
from clxai.runtime.artefacts import read_arrays

Cells = Sequence[Mapping[str, Any]]


def masks_reader(
    banks: Cells, bank_files: Sequence[str], read_maps: Read
) -> Callable[[Mapping[str, Any], xarray.Dataset], Masks] | None:
    """Return what reads the masks of a run and its curves; None for a study none of whose metrics read masks.

    `banks` say the model, seed, units and fill of each bank, `read_maps` reads the maps of a model, seed and method. The banks of
    runs that follow each other are read once.
    """
    if not banks:
        return None
    by_units: dict[tuple, dict[str, str]] = {}
    for cell, path in joined(banks, bank_files):
        by_units.setdefault((cell["model"], cell["seed"], cell["units"]), {})[cell["fill"]] = path

    @lru_cache(maxsize=1)
    def read(model: str, seed: int, units: str) -> Mapping[str, xarray.Dataset]:
        return {fill: read_arrays(path) for fill, path in by_units[model, seed, units].items()}

    def masks(run: Mapping[str, Any], curves: xarray.Dataset) -> Masks:
        explained = read_maps(run["model"], run["seed"], run["method"])
        return masks_of(curves, explained, read(run["model"], run["seed"], run["units"]))

    return masks


def maps_reader(read: Read, images: StoredImages) -> Callable[[Mapping[str, Any], xarray.Dataset], Maps]:
    """Return what gives metrics the maps of a run and its curves, beside the images that they explain."""

    @lru_cache(maxsize=1)  # all runs of a study explain one sample
    def shown(index: tuple[int, ...]) -> Float[ndarray, "image y x"]:
        return images[np.array(index)].mean(axis=1) / 255

    def maps(run: Mapping[str, Any], curves: xarray.Dataset) -> Maps:
        explained = read(run["model"], run["seed"], run["method"])
        return maps_of(curves, explained, shown(tuple(curves["image"].values.tolist())))

    return maps
