"""Every metric of a curve, as a pure function of recorded curves: a new one costs no forward pass.

A curve is [..., step] over the removed `fraction`, 0 to 1, both ends included. MoRF removes the most important units first;
deletion is the MoRF curve, insertion of the most important first is the LeRF curve seen from the other end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from clxai.errors import ClxaiError

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


def aopc(curve: Float[ndarray, "*batch step"]) -> PerCurve:
    """Return the area over the perturbation curve, mean_j (c_0 - c_j) over all points [Samek et al. 2017, eq. 12]."""
    return (curve[..., :1] - curve.astype(np.float64)).mean(axis=-1)


def monotonicity(curve: Float[ndarray, "*batch step"]) -> PerCurve:
    """Return minus Spearman's rho of a deletion curve with its step, ties given their mean rank; 1: falls at every step.

    NaN for a constant curve.
    """
    ranks = rankdata(curve, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    steps = np.arange(curve.shape[-1]) - (curve.shape[-1] - 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=-1) * (steps**2).sum())
    return -(ranks * steps).sum(axis=-1) / np.where(norm == 0, np.nan, norm)


def straightness(step_length: Float[ndarray, "*batch step"], drift: Float[ndarray, "*batch step"]) -> PerCurve:
    """Return |z_n - z_0| / sum_j |z_j - z_(j-1)| in [0, 1]; 1: a straight path. NaN if the path has no length."""
    length = step_length.astype(np.float64).sum(axis=-1)
    return drift[..., -1] / np.where(length == 0, np.nan, length)


def roughness(acceleration: Float[ndarray, "*batch step"]) -> PerCurve:
    """Return the mean norm of the second divided difference over the inner steps; 0: constant speed on a line."""
    return acceleration[..., 1:-1].astype(np.float64).mean(axis=-1)


class Curves:
    """Quantities of one curves file, by order, with the derived ones, as arrays [explained_by, scored_by, fill, image, step]."""

    def __init__(self, dataset: xarray.Dataset) -> None:
        self.dataset = dataset
        self.fraction = dataset["fraction"].values
        self.spread = float(dataset.attrs["centroid_spread"])

    def __call__(self, quantity: str, order: str = "morf") -> np.ndarray:
        """Return one quantity; path quantities get a scored_by axis of length 1. `kept` is 1 where the prediction is kept."""
        if quantity == "kept":
            prediction = self.dataset["prediction"].sel(order=order)
            return (prediction == self.dataset["target"]).transpose(*prediction.dims).values.astype(np.float64)
        array = self.dataset[quantity].sel(order=order)
        values = array.values.astype(np.float64)
        return values if "scored_by" in array.dims else values[:, None]

    def drift(self, order: str = "morf") -> np.ndarray:
        """Return drift_l2 in units of the mean distance between class centroids."""
        return self("drift_l2", order) / self.spread

    def deletion(self, quantity: str) -> np.ndarray:
        """Return the area under the MoRF curve."""
        return area(self(quantity, "morf"), self.fraction)

    def insertion(self, quantity: str) -> np.ndarray:
        """Return the area under the insertion curve."""
        return area(*insertion_curve(self(quantity, "lerf"), self.fraction))

    def srg(self, quantity: str) -> np.ndarray:
        """Return the symmetric relevance gain, the area between the LeRF and the MoRF curve [Bluecher et al. 2024, eq. 5]."""
        return area(self(quantity, "lerf") - self(quantity, "morf"), self.fraction)


@dataclass(frozen=True)
class Metric:
    """A number per image: how it is computed, which direction is better (+1, -1, 0: neither), its range and meaning."""

    compute: Callable[[Curves], np.ndarray]
    better: int
    low: float | int
    high: float | int
    text: str


def _score_metrics(quantity: str, suffix: str, low: float | int, high: float | int, text: str) -> dict[str, Metric]:
    span = high - low
    return {
        f"auc_deletion{suffix}": Metric(lambda c: c.deletion(quantity), -1, low, high, f"area of {text}, MoRF"),
        f"auc_insertion{suffix}": Metric(lambda c: c.insertion(quantity), 1, low, high, f"area of {text}, insertion"),
        f"srg{suffix}": Metric(lambda c: c.srg(quantity), 1, -span, span, f"area between LeRF and MoRF of {text}"),
    }


METRICS: Mapping[str, Metric] = {
    **_score_metrics("probability", "", 0, 1, "the target's probability"),
    **_score_metrics("probability_matched", "_matched", 0, 1, "the target's probability at the fitted temperature"),
    **{
        f"srg_matched_{end}": Metric(
            lambda c, end=end: c.srg(f"probability_matched_{end}"), 1, -1, 1, f"srg_matched at the {end} end of the temperature"
        )
        for end in ("low", "high")
    },
    **_score_metrics("kept", "_kept", 0, 1, "the share of kept predictions"),
    **_score_metrics("log_odds", "_log_odds", -np.inf, np.inf, "the target's log-odds"),
    "aopc": Metric(lambda c: aopc(c("probability_matched")), 1, -1, 1, "mean loss of matched probability, MoRF"),
    "monotonicity": Metric(lambda c: monotonicity(c("log_odds")), 1, -1, 1, "-Spearman of log-odds with step, MoRF"),
    "drift_auc": Metric(lambda c: area(c.drift(), c.fraction), 0, 0, np.inf, "drift / mean centroid distance, MoRF"),
    "drift_srg": Metric(
        lambda c: area(c.drift("morf") - c.drift("lerf"), c.fraction), 1, -np.inf, np.inf, "drift area, MoRF minus LeRF"
    ),
    "drift_cosine_auc": Metric(lambda c: c.deletion("drift_cosine"), 0, 0, 2, "area of 1 - cosine, MoRF"),
    "off_manifold_auc": Metric(lambda c: c.deletion("bank_distance"), -1, 0, 2, "area of the k-NN distance, MoRF"),
    "centroid_auc": Metric(
        lambda c: c.deletion("centroid_distance") / c.spread, 0, 0, np.inf, "area of the distance to the class centroid"
    ),
    "path_length": Metric(lambda c: c("step_length").sum(-1) / c.spread, 0, 0, np.inf, "length of the embedding's path, MoRF"),
    "straightness": Metric(lambda c: straightness(c("step_length"), c("drift_l2")), 0, 0, 1, "end distance / path length"),
    "roughness": Metric(lambda c: roughness(c("acceleration")) / c.spread, -1, 0, np.inf, "mean second difference, MoRF"),
    "roughness_relative": Metric(
        lambda c: roughness(c("acceleration")) / _positive(c("step_length").sum(-1)), -1, 0, np.inf, "roughness / path length"
    ),
}


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def measure(dataset: xarray.Dataset) -> xarray.Dataset:
    """Return every metric of a curves file as [explained_by, scored_by, fill, image]."""
    curves, axes = Curves(dataset), ("explained_by", "scored_by", "fill", "image")
    shape = tuple(dataset.sizes[axis] for axis in axes)
    values = {name: (axes, np.broadcast_to(metric.compute(curves), shape)) for name, metric in METRICS.items()}
    return xarray.Dataset(values, coords={axis: dataset[axis].values for axis in axes})
