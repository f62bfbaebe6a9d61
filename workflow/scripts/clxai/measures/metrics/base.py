"""Metrics: numbers per image that are read off recorded curves, off the mask bank, or off the maps themselves.

A curve is [..., step] over the removed `fraction`, 0 to 1, both ends included. MoRF removes the most important units first;
deletion is the MoRF curve, insertion of the most important first is the LeRF curve seen from the other end.

    @metric("name", better=1, low=0, high=1)
    def name(curves: Curves) -> PerCurve  # broadcastable to [explained_by, scored_by, fill, image]

reads: "curves"; "masks": then it is given a `masks.Masks`, and is measured where there is a mask bank; or "maps": a `maps.Maps`.
better: the direction of a better explanation (1, -1, 0: neither). low, high: the range; None: without a bound. tables: the tables
that the metric enters beside those of images and of summaries. options: what one function gets that serves several metrics.
The docstring's first line stands in docs/methods.md.
"""

from collections.abc import Sequence

import numpy as np
import xarray
from jaxtyping import Float
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.measures.metrics.maps import Maps
from clxai.measures.metrics.masks import Masks
from clxai.registry import Family

METRICS = Family(
    "metrics",
    keywords={
        "reads": {"enum": ["curves", "masks", "maps"], "default": "curves"},
        "better": {"enum": [1, -1, 0]},
        "low": {"type": ["number", "null"]},
        "high": {"type": ["number", "null"]},
        "tables": {"type": "array", "items": {"enum": ["contrasts", "variance"]}, "default": []},
    },
)
metric = METRICS.register

AXES = ("explained_by", "scored_by", "fill", "image")
PerCurve = Float[ndarray, "*batch"] | np.floating  # one number per curve: NumPy gives a scalar for a single one


def area(curve: Float[ndarray, "*batch step"], fraction: Float[ndarray, " step"]) -> PerCurve:
    """Return the area under a curve, sum_j (f_(j+1) - f_j) (c_j + c_(j+1)) / 2, in the unit of the curve.

    Raises ClxaiError unless fraction rises strictly from 0 to 1.
    """
    if fraction[0] != 0 or fraction[-1] != 1 or (np.diff(fraction) <= 0).any():
        raise ClxaiError(f"fraction must rise strictly from 0 to 1. Got {fraction.tolist()}")
    return np.trapezoid(curve.astype(np.float64), fraction, axis=-1)


def insertion_curve(
    lerf: Float[ndarray, "*batch step"], fraction: Float[ndarray, " step"]
) -> tuple[Float[ndarray, "*batch step"], Float[ndarray, " step"]]:
    """Return the insertion curve and its inserted fraction: removing the least important last = inserting the most first."""
    return lerf[..., ::-1], 1 - fraction[::-1]


def defined(divisor: PerCurve) -> PerCurve:
    """Return the divisor, NaN where it is 0: the quotient is not defined there."""
    return np.where(divisor == 0, np.nan, divisor)


class Curves:
    """Quantities of one curves file, by order, with the derived ones, as arrays [explained_by, scored_by, fill, image, step]."""

    def __init__(self, dataset: xarray.Dataset) -> None:
        self.dataset = dataset
        self.fraction = dataset["fraction"].values
        self.spread = float(dataset.attrs["centroid_spread"])  # mean distance between two class centroids

    def __call__(self, quantity: str, order: str = "morf") -> np.ndarray:
        """Return one quantity; those of the path get a scored_by axis of length 1.

        Two are derived: `kept` is 1 where the prediction is kept, `drift` is drift_l2 in mean distances between class centroids.
        """
        if quantity == "kept":
            prediction = self.dataset["prediction"].sel(order=order)
            return (prediction == self.dataset["target"]).transpose(*prediction.dims).values.astype(np.float64)
        if quantity == "drift":
            return self("drift_l2", order) / self.spread
        array = self.dataset[quantity].sel(order=order)
        values = array.values.astype(np.float64)
        return values if "scored_by" in array.dims else values[:, None]

    def outside(self, quantity: str, order: str = "morf") -> np.ndarray:
        """Return 1 where a distance to the training embeddings is above its limit for clean images, else 0; NaN if undefined."""
        distance = self(quantity, order)
        return np.where(np.isnan(distance), np.nan, distance > self.dataset.attrs[f"clean_{quantity}"])


def entering(table: str, names: Sequence[str]) -> list[str]:
    """Return those of the metrics that enter a table beside those of images and of summaries."""
    return [name for name in names if table in METRICS[name].semantics["tables"]]


def reading(what: str) -> list[str]:
    """Return the metrics that read curves, masks or maps."""
    return [name for name, entry in METRICS.items() if entry.semantics["reads"] == what]


def measure(
    dataset: xarray.Dataset, names: Sequence[str], masks: Masks | None = None, maps: Maps | None = None
) -> xarray.Dataset:
    """Return these metrics of a curves file as [explained_by, scored_by, fill, image]; masks and maps are of its images.

    Raises ClxaiError if a metric reads masks or maps and there are none.
    """
    read = {"curves": Curves(dataset), "masks": masks, "maps": maps}
    chosen, shape = {name: METRICS[name] for name in names}, tuple(dataset.sizes[axis] for axis in AXES)
    for name, entry in chosen.items():
        if read[entry.semantics["reads"]] is None:
            what = {"masks": "a mask bank", "maps": "maps and images"}[entry.semantics["reads"]]
            raise ClxaiError(f"metric {name!r} reads {what}. Got none: give one, or leave the metric out")
    found = {name: entry.definition(read[entry.semantics["reads"]], **entry.options({})) for name, entry in chosen.items()}
    values = {name: (AXES, np.broadcast_to(array, shape)) for name, array in found.items()}
    return xarray.Dataset(values, coords={axis: dataset[axis].values for axis in AXES})
