"""What a study of some seeds and images can show: planned from the variance components of another one."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from clxai.measures.levels import ALPHA
from clxai.measures.statistics import Columns, TwoWay, satterthwaite

MOST_SEEDS = 1000  # a plan that needs more is none
_FAR = 1000.0  # standard errors at which any test is sure
_HALVINGS = 30


@dataclass(frozen=True)
class Plan:
    """A study planned with `n_seeds` and `n_images`; the variances of one value, each an array over columns.

    One seed (`seed` and `residual` NaN): the test is about images of one training. With groups the images of the plan come from
    `n_groups` of them, whose number stays: more recordings of a speaker are no more speakers.
    """

    seed: Float[ndarray, " column"]
    image: Float[ndarray, " column"]
    residual: Float[ndarray, " column"]
    n_seeds: Int[ndarray, " column"] | int
    n_images: Int[ndarray, " column"] | int
    group: Float[ndarray, " column"] | float = 0.0
    n_groups: Int[ndarray, " column"] | int | None = None

    def error(self) -> Float[ndarray, " column"]:
        """Return the standard error of the mean, sqrt(seed / s + group / g + image / n + residual / (s n))."""
        s, n = np.asarray(self.n_seeds, float), np.asarray(self.n_images, float)
        variance = np.where(s > 1, self.seed / s + self._of_image() / n + self.residual / (s * n), self._of_image() / n)
        return np.sqrt(variance)

    def df(self) -> Float[ndarray, " column"]:
        """Return Satterthwaite's degrees of freedom at the expected mean squares, without the bound of `statistics.two_way`."""
        s, n = np.asarray(self.n_seeds, float), np.asarray(self.n_images, float)
        (ms_seed, ms_image), several = self._mean_squares(), np.maximum(s - 1, 1)
        total, squares = ms_seed + ms_image - self.residual, (ms_seed, ms_image, self.residual)
        of_image = self._df_image()
        df = satterthwaite(total, squares, (several, of_image, several * (n - 1)))
        return np.where(s > 1, np.where(total == 0, of_image, np.maximum(df, 1.0)), of_image)

    def bounded(self) -> Float[ndarray, " column"]:
        """Return the chance that a study finds more spread of seeds than of images: `statistics.two_way` then bounds df by s - 1.

        The ratio of the two mean squares has an F distribution. 1 where the expected ones are in that order already.
        """
        from scipy.special import fdtrc

        s = np.asarray(self.n_seeds, float)
        ms_seed, ms_image = self._mean_squares()
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = fdtrc(np.maximum(s - 1, 1), self._df_image(), ms_image / ms_seed)
        return np.where((s == 1) | (ms_seed + ms_image == 0), 0.0, np.where(ms_seed > ms_image, 1.0, chance))

    def power(self, difference: float | Float[ndarray, " column"]) -> Float[ndarray, " column"]:
        """Return the probability that the two-sided t test at 5 % rejects 0 if the true mean is `difference`.

        By the noncentral t distribution [Cohen 1988, chapter 2]; NaN where a variance is.
        """
        error = self.error()
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._power(np.minimum(np.abs(difference) / error, _FAR))

    def detectable(self, level: float) -> Float[ndarray, " column"]:
        """Return the smallest true difference that the test shows with power `level`, by bisection to 1e-6 standard errors."""
        error = self.error()
        low, high = np.zeros_like(error), np.full_like(error, _FAR)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            enough = self._power(middle) >= level
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high * error

    def _mean_squares(self) -> tuple[Float[ndarray, " column"], Float[ndarray, " column"]]:
        """Return the expected mean squares of seeds and of images, or of groups where there are any."""
        return self.n_images * self.seed + self.residual, self.n_seeds * self._of_image() + self.residual

    def _of_image(self) -> Float[ndarray, " column"]:
        """Return the variance that images without groups would need for as uncertain a mean."""
        return self.image if self.n_groups is None else self.image + self.group * self.n_images / self.n_groups

    def _df_image(self) -> Columns:
        """Return the degrees of freedom of images, or of groups where there are any."""
        return np.asarray(self.n_images if self.n_groups is None else self.n_groups, float) - 1

    def _power(self, distance: Float[ndarray, " column"]) -> Float[ndarray, " column"]:
        """Return the power at a distance of the mean from 0, in standard errors."""
        df, chance = self.df(), self.bounded()
        few = np.minimum(df, np.maximum(np.asarray(self.n_seeds, float) - 1, 1))
        return chance * _rejected(few, distance) + (1 - chance) * _rejected(df, distance)


def _rejected(df: Float[ndarray, " column"], distance: Float[ndarray, " column"]) -> Float[ndarray, " column"]:
    """Return how often a t test with df degrees of freedom rejects, `distance` standard errors from 0."""
    from scipy.special import nctdtr, stdtrit

    critical = stdtrit(df, 1 - ALPHA / 2)
    below, wrong = (np.nan_to_num(nctdtr(df, distance, side)) for side in (critical, -critical))  # NaN where they vanish
    return np.where(np.isnan(distance), np.nan, 1 - below + wrong)


def plan_of(found: TwoWay) -> Plan:
    """Return the plan of a study like the one that was analysed."""
    sizes = (found.n_seeds.astype(int), found.n_images.astype(int))
    groups = {"group": found.group, "n_groups": found.n_groups.astype(int)} if (found.n_groups < found.n_images).any() else {}
    return Plan(found.seed, found.image, found.residual, *sizes, **groups)


def seeds_needed(plan: Plan, difference: float, level: float) -> Float[ndarray, " column"]:
    """Return the fewest seeds, at least 2, with which a plan shows a difference with power `level`, its images unchanged.

    NaN where no number up to 1000 does, since the images alone are too few, and where the components are not known.
    """
    low = np.full(np.shape(plan.seed), 2)
    high = np.full_like(low, MOST_SEEDS)
    reached = _reaches(plan, high, difference, level)
    while (low < high).any():
        middle = (low + high) // 2
        enough = _reaches(plan, middle, difference, level)
        low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
    return np.where(reached, low, np.nan)


def _reaches(plan: Plan, n_seeds: Int[ndarray, " column"], difference: float, level: float) -> Bool[ndarray, " column"]:
    return replace(plan, n_seeds=n_seeds).power(difference) >= level
