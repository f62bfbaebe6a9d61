"""Options of members, checked against the defaults and bounds that the members declare; members as a job is told of them."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.registry import DATA_BOUNDS, PLACES, Entry, Family

_OF_DATA = {
    "training_images": "{most} training images of {of}",
    "image_size": "{most} px of the images of datasets.{of}",
}


def check_options(
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    where: str,
    at_most: Mapping[str, Any] | None = None,
    at_least: Mapping[str, Any] | None = None,
) -> None:
    """Raise ClxaiError on an option that is unknown, of another type than its default, or out of range.

    A number must be above 0 if its default is, else at least 0, unless `at_least` bounds it; a list holds what its default's
    first item is; a default of null allows any value, since it says nothing of the type. `at_most` bounds options by a number or
    by another option's value; what it bounds by the data is for `check_bounds`.
    """
    for key, value in given.items():
        if key not in defaults:
            raise ClxaiError(f"{where}: {unknown_name('option', key, defaults)}")
        _check_value(value, defaults[key], f"{where}.{key}", (at_least or {}).get(key))
    chosen = {**defaults, **given}
    for key, bound in (at_most or {}).items():
        if bound in DATA_BOUNDS:
            continue
        most = chosen[bound] if isinstance(bound, str) else bound
        if chosen[key] is not None and most is not None and chosen[key] > most:
            raise ClxaiError(f"{where}.{key} must be at most {bound}{f' {most}' if most != bound else ''}. Got {chosen[key]}")


def _check_value(value: Any, default: Any, where: str, least: Any = None) -> None:
    """Raise ClxaiError unless a value is of the type of its default and at least `least`, or within the range of the default."""
    if default is None:
        return
    kinds = {float: (int, float), list: (list, tuple), tuple: (list, tuple)}.get(type(default), (type(default),))
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise ClxaiError(f"{where} must be {_KINDS[type(default)]} like its default {default!r}. Got {value!r}")
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if is_number and least is None and not (value > 0 if default > 0 else value >= 0):
        raise ClxaiError(f"{where} must be {'> 0' if default > 0 else '>= 0'}. Got {value!r}")
    if least is not None and value < least:
        raise ClxaiError(f"{where} must be >= {least}. Got {value!r}")
    if isinstance(default, list | tuple) and default:
        for place, item in enumerate(value):
            _check_value(item, default[0], f"{where}.{place}")


_KINDS = {
    **{bool: "true or false", int: "a whole number", float: "a number", str: "a name"},
    **{list: "a list", tuple: "a list", dict: "a mapping"},
}


def check_bounds(
    given: Mapping[str, Any], at_most: Mapping[str, Any], where: str, known: Mapping[str, int | None], of: str
) -> None:
    """Raise ClxaiError if a given option is above what is known of the data set `of`; defaults are lowered where it is used."""
    for key, bound in at_most.items():
        most = known.get(bound) if isinstance(bound, str) else None
        if most is not None and key in given and given[key] > most:
            words = _OF_DATA[bound].format(most=most, of=of)
            raise ClxaiError(f"{where}.{key} must be at most the {words}. Got {given[key]}")


def check_member(entry: Entry, given: Mapping[str, Any]) -> None:
    """Raise ClxaiError, as `check_options` does, on an option that a member does not have, of another type or out of range.

    A method that needs a baseline has that for one more.
    """
    own = entry.semantics
    baseline = {} if own.get("baseline") is None else {"baseline": None}
    check_options(given, {**own["options"], **baseline}, entry.name, own["at_most"], own["at_least"])


def chosen_member(family: Family, choice: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return a member of a family as a job is told of it: {name, the family's word, options}.

    `choice` is its name, or a mapping as `{"fill": "blur", "sigma": 0.1, "name": "soft"}`, in which `name` may be left out.
    Raises ClxaiError on an unknown member or option.
    """
    word = PLACES[family.family].decorator
    given = {word: choice} if isinstance(choice, str) else dict(choice)
    if word not in given:
        raise ClxaiError(f"{family.what}: a mapping names the member as {word!r}. Got {given}")
    entry = family[given.pop(word)]
    name = given.pop("name", entry.name)
    check_member(entry, given)
    return {"name": name, word: entry.name, "options": given}
