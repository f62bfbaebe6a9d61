"""What an attribution file holds, as a record for any reader: what its maps mean, its arrays, how many maps say nothing."""

from typing import Any

import numpy as np
import xarray

from clxai.attribution.flaws import flaws_of
from clxai.fills.baselines import PREVIEW

MAPS = "attribution"


def metadata_of(found: xarray.Dataset) -> dict[str, Any]:
    """Return the attributes of an attribution file, its arrays by axes, type and unit, and counts of its maps, by head.

    `not_finite` counts maps with a value that is not finite, `constant` those of one value, `all_zero` those that are 0.
    """
    arrays = {
        str(name): {"axes": list(array.dims), "dtype": str(array.dtype), "unit": array.attrs.get("units", "")}
        for name, array in sorted(found.data_vars.items())
        if name != PREVIEW
    }
    counts = {str(head): _counts(found[MAPS].sel(head=head).values) for head in found["head"].values}
    meaning = {name: _plain(value) for name, value in found.attrs.items()}
    return {"meaning": meaning, "arrays": arrays, "maps": counts, "n_images": found.sizes["image"]}


def _counts(maps: np.ndarray) -> dict[str, int]:
    return {name: int(flawed.sum()) for name, flawed in flaws_of(maps).items()}


def _plain(value: Any) -> Any:
    """Return an attribute as JSON has it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
