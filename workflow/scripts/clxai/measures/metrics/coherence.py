"""Whether neighbouring units have like attributions, along the time of a spectrogram and along its frequencies.

A smooth map is not a faithful one, and the map of a smooth image is smooth: the image's own number stands beside.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.measures.metrics.base import PerCurve, defined, metric
from clxai.measures.metrics.maps import Maps, per_map

_ROUNDING = 1e-9  # what is left of equal scores, relative to the largest


@metric("coherence_x", better=0, low=-1, high=1, reads="maps", options={"axis": "x"})
@metric("coherence_y", better=0, low=-1, high=1, reads="maps", options={"axis": "y"})
def coherence(maps: Maps, axis: str) -> PerCurve:
    """Correlation of the mean attributions on both sides of the borders of units along `axis`; undefined where all are equal.

    Each border counts by its length and in both directions, as in the assortativity of numbers on a graph [Newman 2003].
    """
    return per_map(_along(maps.scores, maps.labels, axis))


@metric("coherence_x_excess", better=0, low=-2, high=2, reads="maps", options={"axis": "x"})
@metric("coherence_y_excess", better=0, low=-2, high=2, reads="maps", options={"axis": "y"})
def coherence_excess(maps: Maps, axis: str) -> PerCurve:
    """The same less that of the image itself, the mean of its channels."""
    own = _along(np.concatenate([maps.scores, maps.brightness[None]]), maps.labels, axis)
    return per_map(own[:-1] - own[-1])


def _along(scores: Float[ndarray, "head image unit"], labels: Int[ndarray, "map y x"], axis: str) -> Float[ndarray, "head image"]:
    """Return the correlation of scores over borders, in [-1, 1]; NaN without a border and where scores are all equal."""
    n_images = scores.shape[1]
    image, one, other, length = _borders(labels, axis, n_images)
    first, second = scores[:, image, one], scores[:, image, other]

    def over_borders(values: Float[ndarray, "head border"]) -> Float[ndarray, "head image"]:
        place = (np.arange(len(values))[:, None] * n_images + image).ravel()
        found = np.bincount(place, (length * values).ravel(), len(values) * n_images)
        return found.astype(np.float64).reshape(-1, n_images)  # without a border they are integers

    count = defined(over_borders(np.ones((1, len(image)))))
    mean = over_borders((first + second) / 2) / count
    first, second = first - mean[:, image], second - mean[:, image]
    spread = over_borders((first**2 + second**2) / 2) / count
    least = (_ROUNDING * np.abs(scores).max(axis=-1)) ** 2
    return np.clip(over_borders(first * second) / count / defined(np.where(spread <= least, 0.0, spread)), -1, 1)


def _borders(labels: Int[ndarray, "map y x"], axis: str, n_images: int) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Return the image, the two units and the length in pixels of each border of units along an axis."""
    before, after = (labels[:, :, :-1], labels[:, :, 1:]) if axis == "x" else (labels[:, :-1], labels[:, 1:])
    most = int(labels.max()) + 1
    place = np.arange(len(labels))[:, None, None] * most**2 + before.astype(np.int64) * most + after
    found, length = np.unique(place[before != after], return_counts=True)
    image, one, other = found // most**2, found // most % most, found % most
    if len(labels) == 1:
        image = np.repeat(np.arange(n_images), len(found))
        one, other, length = (np.tile(values, n_images) for values in (one, other, length))
    return image, one, other, length
