"""The design of a study: which runs are combined, in the order in which a rule lists their files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import xarray

from clxai.errors import ClxaiError
from clxai.runtime.artefacts import read_arrays

_FIELDS = {"model": "models", "seed": "seeds", "units": "units", "method": "methods", "analysis": "analyses"}


def design(settings: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    """Return the combinations of the named factors in the order in which a rule lists its files.

    `absent` among the settings gives by model the methods that it does not have.
    """
    levels, absent = [settings[_FIELDS[name]] for name in names], settings.get("absent", {})
    cells = [dict(zip(names, cell, strict=True)) for cell in product(*levels)]
    return [cell for cell in cells if cell.get("method") not in absent.get(cell.get("model"), ())]


def joined(cells: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[tuple[Mapping[str, Any], str]]:
    """Return each cell with its file, one after the other.

    A file's place names it: `.../{model}/seed{seed}/{stage}/{sample}/{units}/{method}.nc`, `{fill}.nc` of a mask bank,
    `{analysis}.nc` of an analysis. Raises ClxaiError if there are more files than cells or fewer, or if a file lies elsewhere: a
    wrong order would give the results of one run the name of another.
    """
    if len(cells) != len(paths):
        raise ClxaiError(f"{len(paths)} files for {len(cells)} runs of the study: the rule and its script disagree")
    for cell, path in zip(cells, paths, strict=True):
        for name, expected in cell.items():
            found = _named(Path(path), name)
            if found != str(expected):
                raise ClxaiError(
                    f"{path}: expected the file of {name} {expected}, found that of {found}: "
                    f"the rule does not list its files in the order of {', '.join(cell)}"
                )
    return list(zip(cells, paths, strict=True))


def _named(path: Path, name: str) -> str | None:
    """Return the model, seed, sample, units, method, fill or analysis that the place of a run's file names; None if none."""
    if name in ("method", "fill", "analysis"):
        return path.stem
    if name == "units":
        return path.parent.name
    folders = list(path.parent.parts)
    place = next((n for n in reversed(range(1, len(folders))) if re.fullmatch(r"seed\d+", folders[n])), None)
    if place is None:
        return None
    after = {"model": place - 1, "seed": place, "sample": place + 2}[name]
    return folders[after].removeprefix("seed") if after < len(folders) else None


def read_runs(
    cells: Sequence[Mapping[str, Any]], paths: Sequence[str], leave_out: Sequence[str] = ()
) -> Iterator[tuple[Mapping[str, Any], xarray.Dataset]]:
    """Read one NetCDF file per cell, one after the other. Raises ClxaiError if a file is not that of its cell."""
    for cell, path in joined(cells, paths):
        yield cell, read_arrays(path, leave_out)
