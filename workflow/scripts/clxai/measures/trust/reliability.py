"""How far single images, and trainings, agree on the order of the methods."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Panel, trust


@trust("reliability", better=1, null=0.0, high=1, needs=["ranking"])
def reliability(panel: Panel) -> Mapping[str, Float[ndarray, " seed"]]:
    """Krippendorff's alpha of the images as raters of the methods, ordinal, within each seed [Krippendorff 2019, chapter 12].

    1: all images order the methods alike; 0: as if each had drawn its order by lot.
    """
    return {part: ordinal_alpha(panel.ranks(part)) for part in INSTRUMENTS}


def ordinal_alpha(ranks: Float[ndarray, "*batch rater item"]) -> Float[ndarray, "*batch"] | np.floating:
    """Return 1 - D_o / D_e of complete ordinal data; ranks are halves and whole numbers from 1. NaN where all values are equal.

    The ordinal distance of two values, the count of values from one to the other less half of the counts at both ends, is the
    distance of their positions among all values of that data. So alpha is that of intervals, on positions.
    """
    raters, items = ranks.shape[-2:]
    codes = np.where(np.isfinite(ranks), 2 * ranks - 2, 0).astype(int)
    count = (codes[..., None] == np.arange(2 * items - 1)).sum((-3, -2))
    middle = np.cumsum(count, axis=-1) - count / 2
    flat = codes.reshape(*codes.shape[:-2], -1)
    positions = np.take_along_axis(middle, flat, axis=-1).reshape(codes.shape)
    total = raters * items
    observed = ((positions - positions.mean(-2, keepdims=True)) ** 2).sum((-2, -1)) / (raters - 1) / total * raters
    expected = ((positions - positions.mean((-2, -1), keepdims=True)) ** 2).sum((-2, -1)) / (total - 1)
    return np.where(np.isfinite(ranks).all((-2, -1)), 1 - observed / np.where(expected > 0, expected, np.nan), np.nan)


@trust("generalisability", better=1, null=0.0, low=0, high=1, needs=["ranking"], log=True)
def generalisability(panel: Panel) -> Mapping[str, float]:
    """Relative G coefficient: the share of what differs between methods in the variance of their means [Brennan 2001, chapter 4].

    Methods, seeds and images are crossed and random; means are over as many seeds and images as the study has.
    """
    if len(panel.seed) == 1 < panel.n_seeds:
        return dict.fromkeys(INSTRUMENTS, np.nan)  # one seed does not say how seeds differ
    return {part: relative_g(panel.rated(part), panel.n_seeds, panel.n_images) for part in INSTRUMENTS}


def relative_g(values: Float[ndarray, "seed image method"], n_seeds: int, n_images: int) -> float:
    """Return Var_m / (Var_m + Var_ms / n_seeds + Var_mi / n_images + Var_msi / (n_seeds n_images)), negative estimates as 0."""
    of_method, of_seed, of_image, of_rest = method_variances(values)
    error = of_seed / n_seeds + of_image / n_images + of_rest / (n_seeds * n_images)
    return float(of_method / (of_method + error)) if of_method + error > 0 else np.nan


def method_variances(values: Float[ndarray, "seed image method"]) -> tuple[float, float, float, float]:
    """Return the variances of method, method x seed, method x image and the rest, from the mean squares of a crossed ANOVA.

    With one seed method x image holds the rest too, which is 0 then.
    """
    s, n, m = values.shape
    within = values - values.mean(2, keepdims=True)  # what differs between seeds and images alone is not in any of them
    method = within.mean((0, 1), keepdims=True)
    seed = within.mean(1, keepdims=True) - method
    image = within.mean(0, keepdims=True) - method
    rest = within - method - seed - image
    ms_method, ms_image = s * n * (method**2).sum() / (m - 1), s * (image**2).sum() / ((m - 1) * (n - 1))
    if s == 1:
        return max((ms_method - ms_image) / n, 0.0), 0.0, float(ms_image), 0.0
    ms_seed = n * (seed**2).sum() / ((m - 1) * (s - 1))
    ms_rest = (rest**2).sum() / ((m - 1) * (s - 1) * (n - 1))
    found = (ms_method - ms_seed - ms_image + ms_rest) / (s * n), (ms_seed - ms_rest) / n, (ms_image - ms_rest) / s, ms_rest
    return tuple(max(float(value), 0.0) for value in found)
