"""A mean with its interval as columns of a table, where images are crossed with seeds."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.measures.statistics import covers, two_way


def mean_columns(values: Float[ndarray, "seed image"], groups: Int[ndarray, " image"] | None = None) -> dict[str, object]:
    """Return the row of `mean_rows` of numbers that are no columns of a table."""
    return next(mean_rows(values[..., None], groups))


def mean_rows(
    values: Float[ndarray, "seed image column"], groups: Int[ndarray, " image"] | None = None
) -> Iterator[dict[str, object]]:
    """Yield `mean`, `ci_low`, `ci_high` (95 %), `ci_over`, `n_seeds`, `n_images` and `n_undefined` of each column.

    NaN is not defined. `groups`: the number of each image's group, see `statistics.two_way`.
    """
    analysed = two_way(values, groups)
    low, high = analysed.interval()
    undefined = np.isnan(values).sum((0, 1))
    for column in range(values.shape[-1]):
        numbers = {"mean": float(analysed.mean[column]), "ci_low": float(low[column]), "ci_high": float(high[column])}
        over = covers(float(analysed.n_seeds[column]), groups is not None)
        counts = {"n_seeds": values.shape[0], "n_images": values.shape[1], "n_undefined": int(undefined[column])}
        yield {**numbers, "ci_over": over, **counts}
