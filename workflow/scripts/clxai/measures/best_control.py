"""Excess over the best control: what an explanation has to beat are all maps that know nothing of the network."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from clxai.measures.groups import groups_of
from clxai.measures.levels import LEVEL
from clxai.measures.statistics import TwoWay, as_cube, two_way
from clxai.measures.truth import better_of

COLUMNS = ("excess_best", "excess_best_low", "excess_best_high", "p_best", "best_control")
_NONE: Mapping[str, object] = {**dict.fromkeys(COLUMNS[:4], np.nan), "best_control": None}


def excess_over_best(
    images: pd.DataFrame, metrics: Sequence[str], controls: Sequence[str], keys: Sequence[str]
) -> dict[tuple, Mapping[str, object]]:
    """Return the numbers of `smallest` by (values of `keys`, metric); `keys` name what tells groups apart, `method` among them.

    A control is compared with the others. Empty for metrics without a better direction, and where there is no other control.
    """
    directed, found = [name for name in metrics if better_of(name)], {}
    place, rest = list(keys).index("method"), [key for key in keys if key != "method"]
    for cell, part in images.groupby(rest, sort=True):
        cubes = {method: as_cube(rows, directed) for method, rows in part.groupby("method", sort=True)}
        groups = groups_of(part)
        for method, values in cubes.items():
            others = [name for name in controls if name in cubes and name != method]
            group = (*cell[:place], method, *cell[place:])
            found |= {(group, name): _NONE for name in metrics}
            if others:
                numbers = _compared(values, [cubes[name] for name in others], directed, others, groups)
                found |= {(group, name): row for name, row in zip(directed, numbers, strict=True)}
    return found


def _compared(
    values: np.ndarray,
    controls: Sequence[np.ndarray],
    metrics: Sequence[str],
    names: Sequence[str],
    groups: np.ndarray | None,
) -> Iterable[Mapping[str, object]]:
    """Yield the numbers of each metric of one method [seed, image, metric]."""
    better = np.array([better_of(name) for name in metrics])
    gains = np.concatenate([better * (values - control) for control in controls], axis=-1)
    found = smallest(two_way(gains, groups), len(controls))
    for metric, sign in enumerate(better):
        excess, low, high, p, best = (numbers[metric] for numbers in found)
        low, high = (low, high) if sign > 0 else (-high, -low)
        named = None if best < 0 else names[best]
        yield dict(zip(COLUMNS, (sign * excess, low, high, p, named), strict=True))


def smallest(found: TwoWay, n_controls: int) -> tuple[np.ndarray, ...]:
    """Return the smallest gain over several controls, its interval, the p-value that it exceeds 0, and that control's number.

    `found` has the gains [control, metric] as one row of columns. The data choose the control, so its own interval would be too
    high. To exceed the best control is to exceed each: the intersection-union test takes the largest of the one-sided p-values,
    and the lower limit the smallest of the lower limits [Berger 1982]; the upper limit is the smallest of the upper limits at
    Bonferroni's level. Undefined controls are left out; NaN and -1 without any.
    """
    low = found.interval()[0]
    high = found.interval(1 - (1 - LEVEL) / n_controls)[1]
    p = found.p_noninferior(0.0)
    mean, low, high, p = (numbers.reshape(n_controls, -1) for numbers in (found.mean, low, high, p))
    known = np.isfinite(mean)
    best = np.where(known.any(axis=0), np.where(known, mean, np.inf).argmin(axis=0), -1)
    sides = (np.fmin.reduce(mean), np.fmin.reduce(low), np.fmin.reduce(high), np.fmax.reduce(p))
    return (*sides, best)
