"""A mean with its interval as columns of a table, where images are crossed with seeds."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.statistics import covers, two_way


def mean_columns(values: Float[ndarray, "seed image"]) -> dict[str, object]:
    """Return `mean`, `ci_low`, `ci_high` (95 %), `ci_over`, `n_seeds`, `n_images` and `n_undefined`; NaN is not defined."""
    analysed = two_way(values[..., None])
    low, high = analysed.interval()
    numbers = {"mean": float(analysed.mean[0]), "ci_low": float(low[0]), "ci_high": float(high[0])}
    counts = {"n_seeds": values.shape[0], "n_images": values.shape[1], "n_undefined": int(np.isnan(values).sum())}
    return {**numbers, "ci_over": covers(float(analysed.n_seeds[0])), **counts}
