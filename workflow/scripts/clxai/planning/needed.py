"""What a study needs besides what it shows: models that its models start from, maps and mask banks that its methods read."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.planning.amortising import Explainer, banks_learnt, explainers_asked, teachers_of
from clxai.planning.borrowing import Bank, Maps, bank_read, borrowed_maps, has_lender, method_run
from clxai.planning.choices import chosen, network_of, semantics_of
from clxai.registry import declaration_of, declared

TOP, STEM = "top", "stem"  # what can be re-initialised besides the layers of a network


def models_needed(config: Mapping[str, Any]) -> list[str]:
    """Return the models that are explained, then those that they start from, directly or not: all that are trained.

    Raises ClxaiError if a start is unknown or leads back to its own model.
    """
    return _closed(models_explained(config), lambda name: _start(config, name), "models.{}.start")


def models_explained(config: Mapping[str, Any]) -> list[str]:
    """Return the models of the study, then those whose maps are borrowed: all that are embedded and have heads."""
    return list(dict.fromkeys([*config["study"]["models"], *(maps.model for maps in maps_needed(config))]))


def maps_needed(config: Mapping[str, Any]) -> list[Maps]:
    """Return all maps that a study computes for its first seed: those that it shows, and those that these need.

    The other seeds need the same, since what is borrowed of the next seed is so in turn. Raises ClxaiError if maps cannot be had.
    """
    study = config["study"]
    methods_needed(config)  # refuses circles
    waiting = [_first(config, model, name) for model in study["models"] for name in methods_of(config, model)]
    found: dict[Maps, None] = {}
    while waiting:
        maps = waiting.pop(0)
        if maps not in found:
            found[maps] = None
            lent = borrowed_maps(config, maps)
            beside = [maps._replace(method=name) for name in beside_of(config, maps.method)]
            beside += teachers_of(config, maps)
            waiting += [one._replace(seed=maps.seed) for one in [*beside, *([] if lent is None else [lent])]]
    return list(found)


def methods_of(config: Mapping[str, Any], model: str) -> list[str]:
    """Return the methods of the study that a model has: not those that need the maps of a start where there is none."""
    return [name for name in config["study"]["methods"] if has_maps(config, _first(config, model, name))]


def absent_methods(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return by model of the study the methods of the study that it does not have; models that have all are left out."""
    had = {model: methods_of(config, model) for model in config["study"]["models"]}
    absent = {model: [name for name in config["study"]["methods"] if name not in own] for model, own in had.items()}
    return {model: names for model, names in absent.items() if names}


def _first(config: Mapping[str, Any], model: str, method: str) -> Maps:
    """Return the maps of the first seed and the study's sample."""
    return Maps(model, config["study"]["seeds"][0], config["study"]["sample"], method)


def has_maps(config: Mapping[str, Any], maps: Maps) -> bool:
    """Say whether maps can be had: their method has whom it borrows of, and so have those that it needs in turn."""
    if not has_lender(config, maps):
        return False
    lent = borrowed_maps(config, maps)
    return lent is None or has_maps(config, lent)


def banks_read(config: Mapping[str, Any]) -> list[Bank]:
    """Return the mask banks that the methods of a study read or learn from, of its first seed; the other seeds need the same."""
    found: dict[Bank, None] = {}
    for maps in maps_needed(config):
        read = bank_read(config, maps)
        found |= dict.fromkeys([*([] if read is None else [read]), *banks_learnt(config, maps)])
    return list(found)


def explainers_needed(config: Mapping[str, Any]) -> list[Explainer]:
    """Return the explainers that the methods of a study ask, of its first seed; the other seeds need the same."""
    return list(dict.fromkeys(one for maps in maps_needed(config) for one in explainers_asked(config, maps)))


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


def methods_run(config: Mapping[str, Any], model: str | None = None) -> list[str]:
    """Return the methods that jobs run, of all models or of one: those whose maps are needed, and those that these run anew."""
    named = methods_needed(config) if model is None else [maps.method for maps in maps_needed(config) if maps.model == model]
    others = [method_run(config, name) for name in named]
    return list(dict.fromkeys([*named, *(name for name in others if name is not None)]))


def needs_of(config: Mapping[str, Any], name: str) -> list[str]:
    """Return the methods whose maps a method needs, of its own run and images or of others."""
    borrows = semantics_of(config, "methods", name)["borrows"] == "maps"
    of = [chosen(config, "methods", name)[1]["of"]] if borrows else []
    for borrowed in of:
        chosen(config, "methods", borrowed, f"methods.{name}.of")
    taught = chosen(config, "methods", name)[1]["teachers"] if semantics_of(config, "methods", name)["learns"] else []
    for teacher in taught:
        chosen(config, "methods", teacher, f"methods.{name}.teachers")
    return [*beside_of(config, name), *of, *taught]


def beside_of(config: Mapping[str, Any], name: str) -> list[str]:
    """Return the methods whose maps of the same run and images a method needs: registered ones, with the options in `methods`."""
    needs, known = semantics_of(config, "methods", name)["needs"], declared("methods")
    for needed in needs:
        if needed not in known:
            raise ClxaiError(f"needs of attribution method {name!r}: {unknown_name('attribution method', needed, known)}")
    return list(needs)


def check_start(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError if what a recipe asks of its start cannot be: another network, layers that there are not, no training."""
    recipe, where = config["models"][name], f"models.{name}"
    network, options = network_of(config, name)
    if recipe["labels"] == "permuted" and recipe["epochs"] == 0:
        raise ClxaiError(f"{where}.labels: permuted labels are for training, and {where}.epochs is 0")
    if recipe["start"] is None and recipe["weights"] is None:
        if recipe["randomise"]:
            raise ClxaiError(f"{where}.randomise needs a model to start from: set {where}.start. Got {recipe['randomise']}")
        if recipe["epochs"] == 0:
            raise ClxaiError(f"{where}.epochs must be at least 1, or 0 for a model with a start or weights. Got 0")
        return
    if recipe["start"] is not None and (network, options) != (parent := network_of(config, recipe["start"])):
        raise ClxaiError(
            f"{where}.start: {name!r} and {recipe['start']!r} must have the same network. "
            f"Got {network} {options} and {parent[0]} {parent[1]}"
        )
    known = (*declaration_of("networks", network).semantics["layers"], STEM, TOP)
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
