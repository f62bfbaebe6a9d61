"""What can be said of a network by its keywords: stem, smallest image, layers. Free of torch, for planning."""

from collections.abc import Mapping, Sequence
from typing import Any

from clxai.errors import ClxaiError, unknown_name

AUTO = "auto"
LAST = "last"  # of the layers of a network, the deepest that has a spatial output
LARGE_STEM_FROM_PX = 96  # from here on a 7x7 stem leaves the last layer of a ResNet at least 3x3


def stems(declared: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stems of a network by its keywords; none if it has but one way to begin."""
    return tuple(declared["smallest"]) if isinstance(declared["smallest"], Mapping) else ()


def resolved(options: Mapping[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """Return the options with `stem: auto` chosen by the smaller side of images [y, x]: large from 96 px on, else small."""
    stem = "large" if min(shape) >= LARGE_STEM_FROM_PX else "small"
    return {**options, "stem": stem} if options.get("stem") == AUTO else dict(options)


def check_stem(declared: Mapping[str, Any], options: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError if the stem that is asked for is none of the network's."""
    known = (AUTO, *stems(declared))
    if "stem" in options and options["stem"] not in known:
        raise ClxaiError(f"{where}.stem: {unknown_name('stem', options['stem'], known)}")


def check_side(name: str, declared: Mapping[str, Any], options: Mapping[str, Any], shape: Sequence[int], where: str) -> None:
    """Raise ClxaiError if images [y, x] are too small for a network with these options, or not of the only size that it takes.

    `where` begins the sentence.
    """
    least, words, only = declared["smallest"], name, declared["size"]
    if only is not None and list(shape) != list(only):
        found = " x ".join(map(str, shape))
        raise ClxaiError(f"{where} must be [{', '.join(map(str, only))}] (height, width) for {words}. Got {found} px")
    if isinstance(least, Mapping):
        stem = resolved(options, shape)["stem"]
        least, words = least[stem], f"{name} with the {stem} stem"
    if min(shape) < least:
        raise ClxaiError(f"{where} must be at least {least} px for {words}. Got {' x '.join(map(str, shape))} px")


def layer_among(layers: Sequence[str], name: str, where: str) -> str:
    """Return the layer that a name means, `last` the deepest. Raises ClxaiError, which `where` begins, if there is none such."""
    if not layers:
        raise ClxaiError(f"{where} has no layers for class activation maps. Got {name!r}")
    if name not in (LAST, *layers):
        raise ClxaiError(f"{where}: {unknown_name('layer', name, (LAST, *layers))}")
    return layers[-1] if name == LAST else name
