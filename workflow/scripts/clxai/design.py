"""The design of a study: which runs are combined, in the order in which a rule lists their files."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import xarray

from clxai.artefacts import read_arrays

_FIELDS = {"model": "models", "seed": "seeds", "method": "methods"}


def design(settings: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    """Return the combinations of the named factors in the order in which a rule lists its files."""
    levels = [settings[_FIELDS[name]] for name in names]
    return [dict(zip(names, cell, strict=True)) for cell in product(*levels)]


def read_runs(
    cells: Sequence[Mapping[str, Any]], paths: Sequence[str], leave_out: Sequence[str] = ()
) -> Iterator[tuple[Mapping[str, Any], xarray.Dataset]]:
    """Read one NetCDF file per cell, one after the other."""
    for cell, path in zip(cells, paths, strict=True):
        yield cell, read_arrays(path, leave_out)
