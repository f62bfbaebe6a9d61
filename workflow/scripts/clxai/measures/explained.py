"""The maps of a study as its tables read them: each file when it is its turn, and no longer than it is used."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import xarray

from clxai.design import joined
from clxai.runtime.artefacts import read_arrays

Read = Callable[[str, int, str], xarray.Dataset]


def maps_at(cells: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> Read:
    """Return what reads the maps of a model, seed and method, one file per cell; not all of a study's fit in memory."""
    found = {tuple(cell[name] for name in ("model", "seed", "method")): path for cell, path in joined(cells, paths)}

    @lru_cache(maxsize=1)  # several readers of one run follow each other
    def read(model: str, seed: int, method: str) -> xarray.Dataset:
        return read_arrays(found[model, seed, method])

    return read
