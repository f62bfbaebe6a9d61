"""Intervals of trust measures, over seeds and images, whatever function of the scores a measure is.

Means per seed and image are analysed by `statistics.two_way`. Functions that are no means, such as rank correlations, are not
smooth enough for a jackknife over images, and three seeds are too few to be drawn from. So images are drawn with replacement (a
bootstrap whose draws all models share), seeds enter as they are, and both meet as in the two-way analysis: with V_seed the
variance of the seeds' mean, V_image that of the draws, V_rest what the draws vary in one seed apart from the others,

    Var = max(V_seed, V_rest) + max(V_image, V_rest) - V_rest

and t intervals with Satterthwaite's degrees of freedom, at most s - 1 where V_seed is the larger. What is no mean over seeds gets
V_seed from the jackknife that leaves out one seed, and no V_rest. Images that come in groups are drawn by groups, and the number
of these takes the place of n.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.measures.levels import LEVEL
from clxai.measures.statistics import satterthwaite, two_way
from clxai.measures.trust.base import Panel

DRAWS = 200  # of the images: their variance is then known within a tenth


@dataclass(frozen=True)
class Measured:
    """A part of a measure on one panel: `whole` as the measure returned it, and what says how it varies.

    `drawn`: the same on each draw of the images, [draw, ...], of what is not [seed, image]. `left`: of a single number without
    each seed in turn, [seed].
    """

    whole: Float[ndarray, "*shape"]
    n_seeds: int
    n_images: int
    drawn: Float[ndarray, "draw *shape"] | None = None
    left: Float[ndarray, " seed"] | None = None
    groups: Int[ndarray, " image"] | None = None

    @property
    def n_drawn(self) -> int:
        """Return the number of groups that the images come in, or of images without groups."""
        return self.n_images if self.groups is None else len(np.unique(self.groups))

    def __sub__(self, other: "Measured") -> "Measured":
        """Return the difference, paired by seed, image and draw."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in ("drawn", "left")}
        rest = {name: None if one is None or two is None else one - two for name, (one, two) in pairs.items()}
        return replace(self, whole=self.whole - other.whole, **rest)

    def logged(self) -> "Measured":
        """Return log(1 - value) of everything, values of 1 a hair below it."""

        def log(values: ndarray | None) -> ndarray | None:
            return None if values is None else np.log(np.maximum(1 - values, 1e-9))

        return replace(self, whole=log(self.whole), drawn=log(self.drawn), left=log(self.left))


def draws_of(n_images: int, seed: int, groups: Int[ndarray, " image"] | None = None) -> Iterable[ndarray]:
    """Return the positions of drawn images [drawn], draw by draw, the same for all panels of a study.

    With `groups` these are drawn, with all their images, so that draws differ in length where groups differ in size.
    """
    rng = np.random.default_rng(key_of("trust", n_images, seed))
    if groups is None:
        return rng.integers(0, n_images, size=(DRAWS, n_images))
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    chosen = rng.integers(0, len(members), size=(DRAWS, len(members)))
    return [np.concatenate([members[group] for group in draw]) for draw in chosen]


def measure(function: Callable[[Panel], Mapping[str, ndarray]], panel: Panel, draws: Iterable[ndarray]) -> dict[str, Measured]:
    """Return every part of a measure on a panel, with what its interval needs.

    Raises ClxaiError if a part has none of the shapes that `base` allows.
    """
    whole = {part: np.asarray(values, dtype=np.float64) for part, values in function(panel).items()}
    sizes = (panel.n_seeds, panel.n_images)
    for part, values in whole.items():
        if values.shape not in (sizes, sizes[:1], ()):
            raise ClxaiError(f"part {part!r} has shape {values.shape}: expected [seed, image] {sizes}, [seed] or a single number")
    every = slice(None)
    drawn = _on(function, [panel.taking(every, images) for images in draws], [p for p in whole if whole[p].ndim < 2])
    others = [panel.taking(np.delete(np.arange(panel.n_seeds), seed), every) for seed in range(panel.n_seeds)]
    left = _on(function, others if panel.n_seeds > 1 else [], [part for part in whole if whole[part].ndim == 0])
    return {part: Measured(values, *sizes, drawn.get(part), left.get(part), panel.groups) for part, values in whole.items()}


def _on(function: Callable[[Panel], Mapping[str, ndarray]], panels: list[Panel], parts: list[str]) -> dict[str, ndarray]:
    """Return some parts of a measure on several panels, one after the other; nothing if there are no such parts or panels."""
    found = [function(panel) for panel in panels] if parts else []
    return {part: np.stack([np.asarray(one[part], dtype=np.float64) for one in found]) for part in parts if found}


def summarise(found: Measured, log: bool = False) -> tuple[float, float, float]:
    """Return value, lower and upper end of the 95 % interval; `log`: the interval is that of log(1 - value)."""
    if log:
        value, low, high = summarise(found.logged())
        return 1 - np.exp(value), 1 - np.exp(high), 1 - np.exp(low)
    if found.whole.ndim == 2:
        analysed = two_way(found.whole[..., None], found.groups)
        low, high = analysed.interval()
        return float(analysed.mean[0]), float(low[0]), float(high[0])
    value, variance, df = _of_seeds(found) if found.whole.ndim else _of_number(found)
    from scipy.special import stdtrit

    reach = float(stdtrit(df, (1 + LEVEL) / 2) * np.sqrt(variance))
    return value, value - reach, value + reach


def _of_seeds(found: Measured) -> tuple[float, float, float]:
    """Return value, variance and degrees of freedom of a mean over seeds; seeds that are not defined are left out."""
    known = np.isfinite(found.whole)
    s, n = int(known.sum()), found.n_drawn
    if s == 0:
        return np.nan, np.nan, np.nan
    whole, drawn = found.whole[known], found.drawn[:, known]
    drawn = drawn[np.isfinite(drawn).all(1)]
    if len(drawn) < DRAWS / 2:
        return float(whole.mean()), np.nan, np.nan
    of_image = float(drawn.mean(1).var(ddof=1))
    if s == 1:
        return float(whole.mean()), of_image, float(n - 1)
    of_rest = float((drawn - drawn.mean(0)).var(axis=1, ddof=1).mean() / s)
    return float(whole.mean()), *_joined(float(whole.var(ddof=1)) / s, of_image, of_rest, s, n)


def _of_number(found: Measured) -> tuple[float, float, float]:
    """Return value, variance and degrees of freedom of a function of all seeds; undefined with two seeds if it needs two."""
    value, s, n = float(found.whole), found.n_seeds, found.n_drawn
    drawn = found.drawn[np.isfinite(found.drawn)]
    if not np.isfinite(value) or len(drawn) < DRAWS / 2:
        return value, np.nan, np.nan
    of_image = float(drawn.var(ddof=1))
    if s == 1:
        return value, of_image, float(n - 1)
    of_seed = float((s - 1) / s * ((found.left - found.left.mean()) ** 2).sum())
    return value, *_joined(of_seed, of_image, 0.0, s, n)


def _joined(of_seed: float, of_image: float, of_rest: float, s: int, n: int) -> tuple[float, float]:
    """Return variance and degrees of freedom as `statistics.two_way` does from its mean squares."""
    total = max(of_seed, of_rest) + max(of_image, of_rest) - of_rest
    df = float(satterthwaite(total, (of_seed, of_image, of_rest), (s - 1, n - 1, (s - 1) * (n - 1))))
    df = df if total > 0 else float(n - 1)
    if of_seed > of_image:
        df = min(df, float(s - 1))
    return total, max(df, 1.0)
