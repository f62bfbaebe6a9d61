"""Which trust measures a study has, and what those lack that it cannot have."""

from collections.abc import Callable, Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.planning.borrowing import Maps, borrowed_maps
from clxai.planning.choices import chosen, controls_of, semantics_of
from clxai.planning.needed import absent_methods, has_maps
from clxai.planning.randomising import LEAST, random_part
from clxai.registry import declared


def _setups(config: Mapping[str, Any]) -> bool:
    return len(config["flipping"]["fills"]) * len(config["flipping"]["units"]) > 1


def _n_ranked(config: Mapping[str, Any]) -> int:
    controls = controls_of(config)
    return sum(name not in controls and "of" not in options for name, (_, options) in _methods(config).items())


def _ranking(config: Mapping[str, Any]) -> bool:
    return _n_ranked(config) > 1


def _explained(config: Mapping[str, Any]) -> bool:
    return _n_ranked(config) > 0


def _references(config: Mapping[str, Any]) -> bool:
    return bool(references_of(config))


def _randomised(config: Mapping[str, Any]) -> bool:
    return len(config["study"]["seeds"]) >= LEAST and bool(lent_of(config))


# What a measure may need beside a registered method, with what is lacking where it is not there, and the key that helps.
WORDS: Mapping[str, tuple[Callable[[Mapping[str, Any]], bool], str]] = {
    "setups": (_setups, "the study has one fill and one kind of units: name more in flipping.fills or flipping.units"),
    "methods": (_explained, "no method of the study explains the model: name one in study.methods"),
    "ranking": (_ranking, "the study ranks fewer than two methods that explain the model: name more in study.methods"),
    "randomised": (
        _randomised,
        f"the study has no maps of randomised copies of its models, or fewer than {LEAST} re-initialisations (its seeds): "
        "set randomisation.methods and study.seeds",
    ),
    "references": (_references, "no model of the study has a reference that is in the study too: set statistics.references"),
}


def trust_of(config: Mapping[str, Any]) -> list[str]:
    """Return the trust measures of the study, by default all whose needs it meets.

    Raises ClxaiError if one is unknown, or named and without what it needs.
    """
    named = config["study"]["trust"]
    if named is None:
        return [name for name in declared("trust") if lacking(config, name) is None]
    for name in named:
        lack = lacking(config, name)
        if lack is not None:
            raise ClxaiError(f"study.trust: {name!r} needs {lack[0]!r}: {lack[1]}; or leave the measure out")
    return list(named)


def left_out(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the measures that the study cannot have, each with the first thing that it lacks; none where it names them."""
    if config["study"]["trust"] is not None:
        return []
    lacks = {name: lacking(config, name) for name in declared("trust")}
    return [{"measure": name, "needs": lack[0], "reason": lack[1]} for name, lack in lacks.items() if lack is not None]


def lacking(config: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    """Return what a measure needs first that the study lacks, and why it does; None if it lacks nothing.

    Raises ClxaiError on a need that is neither a word of `WORDS` nor a registered method.
    """
    member, _ = measure_of(config, name)
    present = {member for member, _ in _methods(config).values()}
    for need in declared("trust")[member].semantics["needs"]:
        if need in WORDS:
            there, reason = WORDS[need]
            if not there(config):
                return need, reason
        elif need not in declared("methods"):
            raise ClxaiError(f"needs of trust measure {member!r}: {unknown_name('need', need, [*WORDS, *declared('methods')])}")
        elif need not in present:
            return need, f"no method of study.methods is {need!r} or an alias of it"
    named = config["study"]["metrics"]
    absent = [] if named is None else [one for one in declared("trust")[member].semantics["metrics"] if one not in named]
    return (absent[0], "study.metrics leaves it out: name it there, or set null for all metrics") if absent else None


def measure_of(config: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Return the trust measure behind a name of the config and its options."""
    return chosen(config, "trust", name, "study.trust")


def trust_metrics(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return by measure of the study the metrics that it reads."""
    return {name: list(declared("trust")[measure_of(config, name)[0]].semantics["metrics"]) for name in trust_of(config)}


def references_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the reference of each model of the study that has one in the study.

    Raises ClxaiError if a name is no model, or a model its own reference.
    """
    given, models = config["statistics"]["references"], config["study"]["models"]
    for name, other in given.items():
        for one in (name, other):
            if one not in config["models"]:
                raise ClxaiError(f"statistics.references: {unknown_name('model', one, config['models'])}")
        if name == other:
            raise ClxaiError(f"statistics.references.{name}: a model cannot be its own reference; name another one")
    return {name: other for name, other in given.items() if name in models and other in models}


def trust_methods(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what trust measures are told of each method of the study."""
    absent = absent_methods(config)
    return [
        {"name": name, "member": member, "families": list(semantics_of(config, "methods", name)["families"]), "options": options}
        | {"lender": _lenders(config, name), "randomised": randomised_of(config, name)}
        | {"absent": [model for model, names in absent.items() if name in names]}
        for name, (member, options) in _methods(config).items()
    ]


def _lenders(config: Mapping[str, Any], name: str) -> dict[str, list[Any]]:
    """Return by model whose maps its runs borrow, and whether of another seed; empty for a method that borrows no maps."""
    cells = [_maps(config, model, name) for model in config["study"]["models"]]
    cells = [cell for cell in cells if has_maps(config, cell)]
    lent = {cell.model: (cell, borrowed_maps(config, cell)) for cell in cells}
    return {model: [maps.model, maps.seed != cell.seed] for model, (cell, maps) in lent.items() if maps is not None}


def randomised_of(config: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return by model what is random of the copy whose maps a method of the study has, of the same seed; empty if none is."""
    found = _lenders(config, name) if chosen(config, "methods", name)[0] == "borrowed" else {}
    parts = {model: random_part(config, lender, model) for model, (lender, other_seed) in found.items() if not other_seed}
    return {model: part for model, part in parts.items() if part is not None}


def lent_of(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each map that a randomised copy of a model lends: model, method, the method of the own map (`of`), what is random.

    Those are left out whose own map the study does not have.
    """
    methods = _methods(config)
    return [
        {"model": model, "method": name, "of": options["of"], "random": part}
        for name, (_, options) in methods.items()
        for model, part in randomised_of(config, name).items()
        if options["of"] in methods and has_maps(config, _maps(config, model, options["of"]))
    ]


def _maps(config: Mapping[str, Any], model: str, method: str) -> Maps:
    """Return the maps of a model and method of the study's first seed."""
    return Maps(model, config["study"]["seeds"][0], config["study"]["sample"], method)


def _methods(config: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    return {name: chosen(config, "methods", name) for name in config["study"]["methods"]}
