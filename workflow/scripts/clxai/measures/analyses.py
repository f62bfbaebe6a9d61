"""From what analyses found to one table: means over images and seeds with intervals, p-values of each run, corrected."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray

from clxai.errors import ClxaiError
from clxai.measures.groups import groups_at
from clxai.measures.rows import mean_rows
from clxai.measures.statistics import holm
from clxai.names import ALL

AXES = ("head", "layer", "features", "task", "direction", "concept", "class")  # that the table has as columns
COLUMNS = (
    *("model", "seed", "analysis", "quantity", "unit", *AXES, "value", "ci_low", "ci_high"),
    *("ci_over", "p_holm", "n_seeds", "n_images", "n_undefined"),
)
_PLACE = ("model", "analysis")


def analysis_table(runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]], groups: pd.Series | None = None) -> pd.DataFrame:
    """Return what analyses found as one long table, sorted: a row for each model, analysis, quantity and place along its axes.

    Quantities with a mean have one row for all seeds, seed `all`, with a 95 % interval over what `ci_over` says: seeds and
    images, images of one training, or seeds where a run has but one number. The others have one row a seed; `p_holm` is Holm's
    correction of a p-value for all others of its quantity, analysis and run. Axes that a quantity does not have are empty;
    numbers that are not defined are left out of means and counted. Raises ClxaiError if the seeds of a model do not share their
    axes. `groups` has the group of each image by its number, where the data have groups.
    """
    found: dict[tuple, dict[object, xarray.Dataset]] = {}
    for run, dataset in runs:
        found.setdefault(tuple(run[name] for name in _PLACE), {})[run["seed"]] = dataset
    rows = []
    for place, by_seed in found.items():
        for quantity, array in next(iter(by_seed.values())).data_vars.items():
            arrays = [dataset[quantity] for dataset in by_seed.values()]
            about = {**dict(zip(_PLACE, place, strict=True)), "quantity": quantity, "unit": array.attrs["units"]}
            make = {"mean": partial(_mean_rows, groups=groups), "each": _each_row, "test": _each_row}
            shown = make.get(array.attrs["shown"])
            rows += [{**about, **row} for row in shown(arrays, list(by_seed))] if shown else []
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["analysis", "model", "quantity"], kind="stable").reset_index(drop=True)


def _mean_rows(
    arrays: Sequence[xarray.DataArray], seeds: Sequence[object], groups: pd.Series | None
) -> Iterator[dict[str, object]]:
    """Yield one row for each place along the axes of a quantity, with its mean over images and seeds."""
    places, cube = _cube(arrays)
    if "image" in arrays[0].dims:
        found = mean_rows(cube, groups_at(groups, arrays[0]["image"].values))
    else:  # seeds alone: each is drawn as an image is
        over = {"n_seeds": len(seeds), "n_images": None, "ci_over": "seeds" if len(seeds) > 1 else None}
        found = ({**row, **over} for row in mean_rows(cube.swapaxes(0, 1)))
    for place, row in zip(places, found, strict=True):
        yield {**place, "seed": ALL, "value": row.pop("mean"), **row}


def _each_row(arrays: Sequence[xarray.DataArray], seeds: Sequence[object]) -> Iterator[dict[str, object]]:
    """Yield one row for each seed and place along the axes of a quantity."""
    places, cube = _cube(arrays)
    tests = arrays[0].attrs["shown"] == "test"
    for seed, values in zip(seeds, cube[:, 0], strict=True):
        corrected = holm(values) if tests else [None] * len(places)
        for place, value, p_holm in zip(places, values, corrected, strict=True):
            yield {**place, "seed": seed, "value": value, "p_holm": p_holm, "n_seeds": 1, "n_undefined": int(np.isnan(value))}


def _cube(arrays: Sequence[xarray.DataArray]) -> tuple[list[dict[str, object]], np.ndarray]:
    """Return the places along the axes of the table, and the numbers of all seeds there as [seed, image, place]."""
    first = arrays[0]
    axes = [axis for axis in first.dims if axis != "image"]
    for other in arrays[1:]:
        if other.dims != first.dims or any(other[axis].values.tolist() != first[axis].values.tolist() for axis in first.dims):
            raise ClxaiError(f"{first.name}: the seeds of a model do not share their {', '.join(map(str, first.dims))}")
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise ClxaiError(f"{first.name}: the table has no column for the axis {unknown[0]!r}: declare it as shown 'none'")
    stacked = np.stack([array.transpose(..., *axes).values.astype(float) for array in arrays])
    index = pd.MultiIndex.from_product([first[axis].values.tolist() for axis in axes], names=axes) if axes else [()]
    places = [dict(zip(axes, place, strict=True)) for place in index]
    return places, stacked.reshape(len(arrays), -1 if "image" in first.dims else 1, len(places))
