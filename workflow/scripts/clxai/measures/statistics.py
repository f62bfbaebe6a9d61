"""Uncertainty of a mean over training seeds that share their images: seeds and images are crossed, both drawn from many.

Where images come in groups, such as recordings of one speaker, groups are drawn and images within them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Num
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.measures.levels import LEVEL

if TYPE_CHECKING:
    from pandas import DataFrame

Columns = Num[ndarray, "..."] | np.number | float | int  # of one shape, or single numbers
_FILLING = 100  # rounds of filling undefined values; each takes away the larger part of what is left


@dataclass(frozen=True)
class TwoWay:
    """A two-way random-effects analysis, each field an array over columns.

    `error` is the standard error of `mean` with `df` degrees of freedom; `seed`, `image` and `residual` are the parts of the
    variance of one value. With one seed `seed` and `residual` are NaN and `image` holds all that differs between images.
    `group` is the part of groups of images, `image` then that of images within one; 0 and `n_groups` = `n_images` without groups.
    """

    mean: Float[ndarray, " column"]
    error: Float[ndarray, " column"]
    df: Float[ndarray, " column"]
    seed: Float[ndarray, " column"]
    image: Float[ndarray, " column"]
    residual: Float[ndarray, " column"]
    n_seeds: Float[ndarray, " column"]
    n_images: Float[ndarray, " column"]
    group: Float[ndarray, " column"]
    n_groups: Float[ndarray, " column"]

    def interval(self, level: float = LEVEL) -> tuple[Float[ndarray, " column"], Float[ndarray, " column"]]:
        """Return the t interval of the mean; NaN where fewer than two images are defined."""
        from scipy.special import stdtrit

        reach = stdtrit(self.df, (1 + level) / 2) * self.error
        return self.mean - reach, self.mean + reach

    def p_value(self) -> Float[ndarray, " column"]:
        """Return the two-sided p-value of mean 0; without any spread 1 for a mean of 0, else 0."""
        return 2 * self._below(-np.abs(self.mean))

    def p_equivalence(self, margin: float) -> Float[ndarray, " column"]:
        """Return the p-value of two one-sided tests that the mean is at most `margin` away from 0 [Schuirmann 1987]."""
        return self._below(np.abs(self.mean) - margin)

    def p_noninferior(self, margin: float, better: int = 1) -> Float[ndarray, " column"]:
        """Return the p-value of the one-sided test that the mean is not worse than 0 by `margin` or more.

        `better` 1: more is better; -1: less is. A small p says that the mean is not worse by as much as that.
        """
        return self._below(-better * self.mean - margin)

    def _below(self, distance: Float[ndarray, " column"]) -> Float[ndarray, " column"]:
        """Return the probability of a t value below distance / error; half of one at distance 0 without any spread."""
        from scipy.special import stdtr

        spread = self.error > 0
        certain = np.where(np.isnan(self.error), np.nan, (1 + np.sign(distance)) / 2)
        return np.where(spread, stdtr(self.df, distance / np.where(spread, self.error, 1.0)), certain)


def two_way(values: Float[ndarray, "seed image column"], groups: Int[ndarray, " image"] | None = None) -> TwoWay:
    """Analyse y = mean + seed + image + residual, all random [Searle, Casella, McCulloch 1992, section 4.7].

    With `groups`, a number for each image, y = mean + seed + group + seed x group + image + residual: see `_over_groups`.

    Var(mean) = (MS_seed + MS_image - MS_residual) / (s n). A mean square below the residual's is raised to it, that is a negative
    variance is taken for 0. The degrees of freedom are Satterthwaite's [1946]; where the mean square of seeds is the largest they
    are at most s - 1, since the few seeds then decide. One seed: the interval is over images alone, of this one training.
    Undefined (NaN) values are left out of the mean; for the mean squares they are filled by the additive model, which costs one
    degree of freedom of the residual each [Yates 1933]; seeds and images without any value are left out.
    """
    found = _crossed(values)
    return found if groups is None else _over_groups(found, values, groups)


def _crossed(values: Float[ndarray, "seed image column"]) -> TwoWay:
    """Analyse seeds and images that are crossed, as `two_way` says."""
    known = np.isfinite(values)
    s, n = known.any(1).sum(0).astype(float), known.any(0).sum(0).astype(float)
    count = known.sum((0, 1))
    mean = np.where(known, values, 0.0).sum((0, 1)) / np.where(count, count, np.nan)
    df_seed, df_image, df_residual = s - 1, n - 1, (s - 1) * (n - 1) - (s * n - count)
    ms_seed, ms_image, ms_residual = _mean_squares(_filled(values, known), known, df_seed, df_image, df_residual)
    at_seed, at_image = np.maximum(ms_seed, ms_residual), np.maximum(ms_image, ms_residual)
    several, enough = s > 1, n > 1
    squares = (ms_seed, ms_image, ms_residual)
    total = np.where(several, at_seed + at_image - ms_residual, ms_image)
    df = np.where(several, satterthwaite(total, squares, (df_seed, df_image, df_residual)), df_image)
    df = np.where(several & (ms_seed > ms_image), np.minimum(df, df_seed), df)
    df = np.where(total > 0, np.maximum(df, 1.0), df_image)  # without any spread the degrees do not matter
    cells = _positive(s * n)
    variance = total / cells + ms_residual * (1 / _positive(count) - 1 / cells)
    undefined = np.where(enough, 0.0, np.nan)
    alone = np.where(several & enough, 0.0, np.nan)
    return TwoWay(
        mean=mean,
        error=np.sqrt(variance) + undefined,
        df=df + undefined,
        seed=(at_seed - ms_residual) / _positive(n) + alone,
        image=np.where(several, (at_image - ms_residual) / _positive(s), ms_image) + undefined,
        residual=ms_residual + alone,
        n_seeds=s,
        n_images=n,
        group=np.zeros_like(n),
        n_groups=n,
    )


def _over_groups(alone: TwoWay, values: Float[ndarray, "seed image column"], groups: Int[ndarray, " image"]) -> TwoWay:
    """Return the analysis with groups between seeds and images; `alone` is that of the same values without groups.

    Seeds and groups are crossed as seeds and images are without groups, each group by its linearised share of the seed's mean

        z = mean of the seed + (number of groups / number of images) * sum over the group's images of (y - mean of the seed)

    which is the group's mean where groups are of one size [cluster sampling: Cochran 1977, section 9A.1]. So error and degrees of
    freedom are those of as many independent numbers as there are groups. Within groups images and residuals are told apart by the
    nested analysis of variance; `group` is what differs between groups beyond their images.
    """
    known = np.isfinite(values)
    member = (groups == np.unique(groups)[:, None]).astype(float)
    count = np.einsum("gi,sic->sgc", member, known.astype(float))
    n_known, n_groups = count.sum(1), (count > 0).sum(1)
    of_seed = np.where(known, values, 0.0).sum(1) / _positive(n_known)
    sums = np.einsum("gi,sic->sgc", member, np.where(known, values - of_seed[:, None], 0.0))
    shares = of_seed[:, None] + sums * (n_groups / _positive(n_known))[:, None]
    outer = _crossed(np.where(count > 0, shares, np.nan))
    image, residual = _within(values - np.einsum("gi,sgc->sic", member, of_seed[:, None] + sums / _positive(count)), outer)
    between = outer.image - np.where(np.isnan(image), 0.0, image) * outer.n_images / _positive(alone.n_images)
    group = np.maximum(between, 0.0)
    parts = {"seed": outer.seed, "group": group, "image": image, "residual": residual}
    return replace(alone, error=outer.error, df=outer.df, n_groups=outer.n_images, **parts)


def _within(inside: Float[ndarray, "seed image column"], outer: TwoWay) -> tuple[ndarray, ndarray]:
    """Return the variances of images within groups and of residuals, from values less the mean of their seed and group.

    One seed: all that differs between images of a group, and NaN. NaN where no group has two images.
    """
    known = np.isfinite(inside)
    s, n = known.any(1).sum(0).astype(float), known.any(0).sum(0).astype(float)
    df = n - outer.n_images
    df_residual = (s - 1) * df - (s * n - known.sum((0, 1)))
    _, ms_image, ms_residual = _mean_squares(_filled(inside, known), known, s - 1, df, df_residual)
    several = s > 1
    image = np.where(several, (np.maximum(ms_image, ms_residual) - ms_residual) / _positive(s), ms_image)
    return np.where(df > 0, image, np.nan), np.where(several & (df > 0), ms_residual, np.nan)


def satterthwaite(total: Columns, squares: Sequence[Columns], df: Sequence[Columns]) -> Columns:
    """Return the degrees of freedom of a variance, `total`, that is made of mean squares [Satterthwaite 1946].

    total^2 / sum of square^2 / df; all may be in another unit, such as that of the mean's variance. A mean square without degrees
    of freedom adds nothing; 0 without any spread.
    """
    spread = sum(np.square(square) / _positive(own) for square, own in zip(squares, df, strict=True))
    return np.square(total) / _positive(spread)


def as_cube(cell: "DataFrame", columns: Sequence[str]) -> np.ndarray:
    """Return the columns of one group as [seed, image, column]. Raises ClxaiError if seeds do not share their images."""
    ordered = cell.sort_values(["seed", "image"], kind="stable")
    n_seeds, n_images = ordered["seed"].nunique(), ordered["image"].nunique()
    if len(ordered) != n_seeds * n_images:
        raise ClxaiError(f"{len(ordered)} rows for {n_seeds} seeds x {n_images} images: the seeds do not share their images")
    return ordered[list(columns)].to_numpy(dtype=np.float64).reshape(n_seeds, n_images, len(columns))


def covers(n_seeds: float, grouped: bool = False) -> str:
    """Return what an interval is about: with one seed it is about images of that one training, not about trainings."""
    images = "groups and images" if grouped else "images"
    if n_seeds <= 1:
        return images
    return f"seeds, {images}" if grouped else f"seeds and {images}"


def _positive(numbers: Columns) -> np.ndarray:
    """Return the numbers, infinity in place of 0 and less: a term divided by it is gone."""
    return np.where(numbers > 0, numbers, np.inf)


def _filled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the values less the mean of their column, undefined ones filled by seed mean + image mean - mean until they stand.

    Seeds and images without any value are NaN.
    """
    inside = known.any(1)[:, None] & known.any(0)[None]
    count = np.maximum(known.sum((0, 1)), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum((0, 1)) / count, 0.0)
    gaps = inside & ~known
    chosen = np.flatnonzero(gaps.any((0, 1)))
    if len(chosen):
        part, gap, used = centred[..., chosen], gaps[..., chosen], inside[..., chosen]
        n, s = used.sum(1).max(0), used.sum(0).max(0)
        for _ in range(_FILLING):
            additive = (part.sum(1) / n)[:, None] + (part.sum(0) / s)[None] - part.sum((0, 1)) / (s * n)
            part = np.where(gap, additive, part)
        centred[..., chosen] = part
    return np.where(inside, centred, np.nan)


def _mean_squares(
    filled: np.ndarray, known: np.ndarray, df_seed: np.ndarray, df_image: np.ndarray, df_residual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean squares of seeds, images and residuals; 0 where there are no degrees of freedom."""
    inside = np.isfinite(filled)
    table, s, n = np.where(inside, filled, 0.0), np.maximum(df_seed + 1, 1), np.maximum(df_image + 1, 1)
    grand = table.sum((0, 1)) / (s * n)
    seeds = (table.sum(1) / n - grand) * known.any(1)
    images = (table.sum(0) / s - grand) * known.any(0)
    rest = (table - grand - seeds[:, None] - images[None]) * inside
    sums = n * (seeds**2).sum(0), s * (images**2).sum(0), (rest**2).sum((0, 1))
    return tuple(
        np.where(df > 0, total / _positive(df), 0.0) for total, df in zip(sums, (df_seed, df_image, df_residual), strict=True)
    )


def bootstrap_weights(
    n_seeds: int, n_images: int, n_draws: int, rng: np.random.Generator, groups: Int[ndarray, " image"] | None = None
) -> Float[ndarray, "draw seed image"]:
    """Return how often each image of each seed is drawn: seeds and images with replacement, each on its own.

    All seeds of a draw get the same images, as in the data; the weight of a value is the product [Owen 2007, section 3]. With
    `groups`, 0 to G - 1, these are drawn, with all their images.
    """
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_draws)
    n_drawn = n_images if groups is None else int(groups.max()) + 1
    images = rng.multinomial(n_drawn, np.full(n_drawn, 1 / n_drawn), size=n_draws)
    images = images if groups is None else images[:, groups]
    return (seeds[:, :, None] * images[:, None, :]).astype(np.float64)


def weighted_means(
    values: Float[ndarray, "seed image column"], weights: Float[ndarray, "draw seed image"]
) -> Float[ndarray, "draw column"]:
    """Return the mean of each column under each draw; NaN values are left out of both sums."""
    flat, shares = values.reshape(-1, values.shape[-1]), weights.reshape(len(weights), -1)
    known = np.isfinite(flat)
    total, count = shares @ np.where(known, flat, 0.0), shares @ known.astype(np.float64)
    return total / np.where(count == 0, np.nan, count)


def bootstrap_interval(
    values: Float[ndarray, "seed image column"], weights: Float[ndarray, "draw seed image"]
) -> tuple[Float[ndarray, " column"], Float[ndarray, " column"]]:
    """Return the percentile interval at 95 % of the crossed bootstrap: narrow for few seeds, a check on `two_way`."""
    tail = 100 * (1 - LEVEL) / 2
    means = weighted_means(values, weights)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)  # NaN where a draw is undefined: those are done one by one
    for column in np.flatnonzero(np.isnan(means).any(axis=0)):
        known = means[np.isfinite(means[:, column]), column]
        if len(known):
            low[column], high[column] = np.percentile(known, [tail, 100 - tail])
    return low, high


def seed_means(values: Float[ndarray, "seed image column"]) -> Float[ndarray, "seed column"]:
    """Return the mean of each seed over its defined images; NaN without any."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.where(known, values, 0.0).sum(axis=1) / np.where(count == 0, np.nan, count)


def seed_deviation(values: Float[ndarray, "seed image column"]) -> Float[ndarray, " column"]:
    """Return the standard deviation (n - 1) of the seeds' means; NaN for a single seed."""
    return seed_means(values).std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[-1], np.nan)


def holm(p_values: Float[ndarray, " test"]) -> Float[ndarray, " test"]:
    """Return Holm's step-down correction of the defined p-values [Holm 1979]; NaN stays NaN.

    The k-th smallest of n is multiplied by n - k + 1 and raised to those before it; none exceeds 1.
    """
    order, defined = np.argsort(p_values), np.isfinite(p_values).sum()  # NaN last
    factors = np.maximum(defined - np.arange(len(p_values)), 1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return corrected
