"""What a study needs besides what it shows: models that its models start from, methods whose maps its methods need."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.planning.choices import network_of, semantics_of
from clxai.registry import declared

TOP, STEM = "top", "stem"  # what can be re-initialised besides the layers of a network


def models_needed(config: Mapping[str, Any]) -> list[str]:
    """Return the models of the study, then those that they start from, directly or not.

    Raises ClxaiError if a start is unknown or leads back to its own model.
    """
    return _closed(config["study"]["models"], lambda name: _start(config, name), "models.{}.start")


def _start(config: Mapping[str, Any], name: str) -> list[str]:
    """Return the model that a model starts from, as a list of one; an empty list if it has none."""
    start = config["models"][name].get("start")
    if start is not None and start not in config["models"]:
        raise ClxaiError(f"models.{name}.start: {unknown_name('model', start, config['models'])}")
    return [] if start is None else [start]


def methods_needed(config: Mapping[str, Any]) -> list[str]:
    """Return the methods of the study, then those whose maps they need, directly or not.

    Raises ClxaiError if a method that is needed is unknown or needs, in the end, its own maps.
    """
    return _closed(config["study"]["methods"], lambda name: needs_of(config, name), "attribution method {!r}, by its needs,")


def needs_of(config: Mapping[str, Any], name: str) -> list[str]:
    """Return the methods whose maps a method needs: registered ones, with the options that `methods` gives them."""
    needs, known = semantics_of(config, "methods", name)["needs"], declared("methods")
    for needed in needs:
        if needed not in known:
            raise ClxaiError(f"needs of attribution method {name!r}: {unknown_name('attribution method', needed, known)}")
    return list(needs)


def check_start(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError if what a recipe asks of its start cannot be: another network, layers that there are not, no training."""
    recipe, where = config["models"][name], f"models.{name}"
    if recipe["start"] is None:
        if recipe["randomise"]:
            raise ClxaiError(f"{where}.randomise needs a model to start from: set {where}.start. Got {recipe['randomise']}")
        if recipe["epochs"] == 0:
            raise ClxaiError(f"{where}.epochs must be at least 1, or 0 for a model with a start. Got 0")
        return
    (network, options), parent = network_of(config, name), network_of(config, recipe["start"])
    if (network, options) != parent:
        raise ClxaiError(
            f"{where}.start: {name!r} and {recipe['start']!r} must have the same network. "
            f"Got {network} {options} and {parent[0]} {parent[1]}"
        )
    known = (*declared("networks")[network].semantics["layers"], STEM, TOP)
    for layer in recipe["randomise"]:
        if layer not in known:
            raise ClxaiError(f"{where}.randomise: {unknown_name('layer', layer, known)}")


def _closed(names: Iterable[str], needs: Callable[[str], Iterable[str]], where: str) -> list[str]:
    """Return names and, after them, all that they need, each once. Raises ClxaiError, `where` it begins, on a circle."""
    found = dict.fromkeys(names)

    def follow(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = (*path[path.index(name) :], name)
            raise ClxaiError(f"{where.format(path[-1])} leads back to {name!r}: {' <- '.join(circle)}")
        for needed in needs(name):
            follow(needed, (*path, name))
            found.setdefault(needed)

    for name in list(found):
        follow(name, ())
    return list(found)
