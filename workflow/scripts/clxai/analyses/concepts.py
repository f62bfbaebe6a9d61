"""Concepts: which training images show one and which do not, by what is known of the data. Free of torch: planning reads it too.

A concept is a name with a rule: {classes: [3, 8]}, images of these classes against all others, by their numbers or names;
`brightness`, above the median of the mean over pixels against below; `left` and `upper`, the evidence of the class in that half
of the image against the other, for data that know where it is.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from clxai.errors import ClxaiError, unknown_name

if TYPE_CHECKING:
    from clxai.data.datasets import ImageData

CLASSES, BRIGHTNESS = "classes", "brightness"
PLACES = {"left": 2, "upper": 1}  # the axis of [image, y, x] along which a half is meant


def check(options: Mapping[str, Any], where: str, parts: int) -> None:
    """Raise ClxaiError unless every concept has a known rule that data with so many parts of evidence can follow."""
    if not options["concepts"]:
        raise ClxaiError(f"{where}.concepts must name at least one concept. Got none")
    for name, rule in options["concepts"].items():
        at = f"{where}.concepts.{name}"
        if isinstance(rule, Mapping):
            _check_classes(rule, at)
        elif rule not in (BRIGHTNESS, *PLACES):
            raise ClxaiError(f"{at}: {unknown_name('rule', str(rule), [BRIGHTNESS, *PLACES])}, or {{classes: [...]}}")
        elif rule in PLACES and not parts:
            raise ClxaiError(f"{at}: {rule!r} asks where the evidence is, and the data set does not tell: take one that does")


def _check_classes(rule: Mapping[str, Any], where: str) -> None:
    if set(rule) != {CLASSES}:
        raise ClxaiError(f"{where}: a mapping has the key 'classes' and no other. Got {', '.join(map(str, rule)) or 'none'}")
    if not isinstance(rule[CLASSES], list) or not rule[CLASSES]:
        raise ClxaiError(f"{where}.classes must be a list of classes, by number or name. Got {rule[CLASSES]!r}")


def shows(rule: Any, data: "ImageData", index: Int[ndarray, " item"], where: str) -> Bool[ndarray, " item"]:
    """Return which images of a data set, by their numbers, show a concept. Raises ClxaiError on an unknown class."""
    if isinstance(rule, Mapping):
        numbers = [_class_of(given, data.class_names, f"{where}.classes") for given in rule[CLASSES]]
        return np.isin(data.labels[index], numbers)
    if rule == BRIGHTNESS:
        light = np.asarray(data.images[index], dtype=np.float64).mean(axis=(1, 2, 3))
        return light > np.median(light)
    axis, there = PLACES[rule], data.evidence[index] > 0
    along = there.sum(axis=3 - axis)  # [item, position]
    centre = (along * np.arange(along.shape[1])).sum(axis=1) / np.maximum(along.sum(axis=1), 1)
    return centre < (along.shape[1] - 1) / 2


def _class_of(given: Any, names: Sequence[str], where: str) -> int:
    """Return the number of a class that is given by its number or its name."""
    if isinstance(given, int) and 0 <= given < len(names):
        return given
    if given in names:
        return list(names).index(given)
    raise ClxaiError(f"{where}: {unknown_name('class', str(given), [*names, *map(str, range(len(names)))])}")


def drawn(
    shown: Bool[ndarray, " item"], n: int, rng: np.random.Generator, where: str
) -> tuple[Int[ndarray, "side n"], Int[ndarray, "side n"]]:
    """Return the places of `n` images with a concept and `n` without, to fit on, and as many others of each, to judge by.

    Raises ClxaiError if there are too few.
    """
    sides = [rng.permutation(np.flatnonzero(shown)), rng.permutation(np.flatnonzero(~shown))]
    fewest = min(len(side) for side in sides)
    if fewest < 2 * n:
        raise ClxaiError(
            f"{where}: {len(sides[0])} of {len(shown)} training images show it, and {2 * n} with it and {2 * n} without are "
            f"needed: lower `images` to {fewest // 2} at most, or raise `pool`"
        )
    return np.stack([side[:n] for side in sides]), np.stack([side[n : 2 * n] for side in sides])
