"""Options of members, checked against the defaults and bounds that the members declare."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.names import FILLS, LAYERS

_NAMED = {"layer": LAYERS, "baseline": FILLS}  # options that are names


def check_options(
    given: Mapping[str, Any], defaults: Mapping[str, Any], where: str, at_most: Mapping[str, Any] | None = None
) -> None:
    """Raise ClxaiError on an option that is unknown, of another type than its default, or out of range.

    A number must be above 0 if its default is, else at least 0; `layer` must name a layer of the network, `baseline` a fill.
    `at_most` bounds options by a number or by another option's value.
    """
    for key, value in given.items():
        if key not in defaults:
            raise ClxaiError(f"{where}: {unknown_name('option', key, defaults)}")
        default = defaults[key]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ClxaiError(f"{where}.{key} must be {_kind(default)} like its default {default!r}. Got {value!r}")
        is_number = isinstance(default, int | float) and not isinstance(default, bool)
        if is_number and not (value > 0 if default > 0 else value >= 0):
            raise ClxaiError(f"{where}.{key} must be {'> 0' if default > 0 else '>= 0'}. Got {value!r}")
        if key in _NAMED and value not in _NAMED[key]:
            raise ClxaiError(f"{where}.{key}: {unknown_name(key, value, _NAMED[key])}")
    chosen = {**defaults, **given}
    for key, bound in (at_most or {}).items():
        most = chosen[bound] if isinstance(bound, str) else bound
        if chosen[key] > most:
            raise ClxaiError(f"{where}.{key} must be at most {bound}{f' {most}' if most != bound else ''}. Got {chosen[key]}")


def _kind(value: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}[type(value)]
