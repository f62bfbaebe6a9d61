"""The mask banks of a study as its metrics read them: each file when it is its turn, and no longer than it is used."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import xarray

from clxai.design import joined
from clxai.measures.metrics.masks import Masks, masks_of
from clxai.runtime.artefacts import read_arrays

Cells = Sequence[Mapping[str, Any]]


def masks_reader(
    banks: Cells, bank_files: Sequence[str], maps: Cells, map_files: Sequence[str]
) -> Callable[[Mapping[str, Any], xarray.Dataset], Masks] | None:
    """Return what reads the masks of a run and its curves; None for a study none of whose metrics read masks.

    `banks` say the model, seed, units and fill of each bank, `maps` the model, seed and method of each attribution file. The
    banks of runs that follow each other are read once.
    """
    if not banks:
        return None
    by_units: dict[tuple, dict[str, str]] = {}
    for cell, path in joined(banks, bank_files):
        by_units.setdefault((cell["model"], cell["seed"], cell["units"]), {})[cell["fill"]] = path
    by_method = {(cell["model"], cell["seed"], cell["method"]): path for cell, path in joined(maps, map_files)}

    @lru_cache(maxsize=1)
    def read(model: str, seed: int, units: str) -> Mapping[str, xarray.Dataset]:
        return {fill: read_arrays(path) for fill, path in by_units[model, seed, units].items()}

    def masks(run: Mapping[str, Any], curves: xarray.Dataset) -> Masks:
        explained = read_arrays(by_method[run["model"], run["seed"], run["method"]])
        return masks_of(curves, explained, read(run["model"], run["seed"], run["units"]))

    return masks
