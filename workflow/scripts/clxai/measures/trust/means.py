"""Means of a metric over methods, per seed and image."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import Panel


def mean_over(panel: Panel, metric: str, names: Sequence[str] | None = None) -> Float[ndarray, "seed image *setup"]:
    """Return the mean of a metric over these methods, by default those that are ranked; undefined values are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN
        return np.nanmean(panel(metric, names), axis=-1)


def defined_parts(parts: Mapping[str, Float[ndarray, "*shape"]]) -> dict[str, Float[ndarray, "*shape"]]:
    """Return the parts that are defined anywhere: a network without a projection has no drift of it."""
    return {part: values for part, values in parts.items() if not np.isnan(values).all()}
