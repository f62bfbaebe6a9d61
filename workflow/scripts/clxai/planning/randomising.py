"""The randomisation test, asked for in one section of the config: models without what they learnt, and their maps, lent.

For each step of the section's `kinds` a model of the study gets a copy that starts from it with some parts drawn anew and no
training, and each of its methods a `borrowed` one that has that copy's maps: what would else be written out by hand.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from clxai.errors import ClxaiError
from clxai.measures.reinitialised import LABELS
from clxai.planning.choices import network_of
from clxai.planning.needed import STEM
from clxai.registry import declaration_of

CASCADING, INDEPENDENT = "cascading", "independent"
LEAST = 3  # re-initialisations, below which nothing is said
_WORDS = {CASCADING: "down_to", INDEPENDENT: "only"}
# What a copy must share with its model, so that the weights fit.
_SHARED = ("loss", "network", "network_options", "projection_size", "normalise")


def expand(config: MutableMapping[str, Any]) -> None:
    """Add to a filled config, in place, the models and methods that its section `randomisation` asks for; none by default.

    Done twice it adds nothing more. Raises ClxaiError on a method that the study does not have, on a name that is taken, and
    where models have different parts.
    """
    wanted, study = config["randomisation"], config["study"]
    for method in wanted["methods"]:
        if method not in study["methods"]:
            raise ClxaiError(f"randomisation.methods: {method!r} must be one of study.methods: {', '.join(study['methods'])}")
    if not wanted["methods"]:
        return
    for step, parts in _steps(config):
        copies = {model: f"{model}_{step}" for model in study["models"]}
        for model, name in copies.items():
            _add(config, "models", name, {**_shared(config, model), "start": model, "randomise": parts, "epochs": 0})
        for method in wanted["methods"]:
            name = f"{method}_{step}"
            _add(config, "methods", name, {"method": "borrowed", "of": method, "model": copies})
            study["methods"] += [name] if name not in study["methods"] else []


def random_part(config: Mapping[str, Any], lender: str, model: str) -> str | None:
    """Return what is random of the model that lends maps to another: parts drawn anew of an untrained copy, joined by `+`.

    `labels` where it learnt permuted ones; None if it is no randomised network of that model.
    """
    recipe = config["models"][lender]
    if recipe["labels"] == "permuted":
        return LABELS
    copied = recipe["start"] == model and recipe["epochs"] == 0 and recipe["randomise"]
    return "+".join(recipe["randomise"]) if copied else None


def _steps(config: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each step and the parts that are drawn anew in it."""
    parts = config["randomisation"]["parts"] or _all_parts(config)
    for kind in config["randomisation"]["kinds"]:
        for place, part in enumerate(parts):
            yield f"{_WORDS[kind]}_{part}", list(parts[: place + 1] if kind == CASCADING else [part])


def _all_parts(config: Mapping[str, Any]) -> Sequence[str]:
    """Return the layers that all models of the study have, the deepest first, then what is before them.

    Raises ClxaiError if they have different ones.
    """
    models = config["study"]["models"]
    found = {model: declaration_of("networks", network_of(config, model)[0]).semantics["layers"] for model in models}
    for model, layers in found.items():
        if tuple(layers) != tuple(found[models[0]]):
            raise ClxaiError(
                f"randomisation.parts must be given: {models[0]!r} and {model!r} have different layers, "
                f"{', '.join(found[models[0]])} and {', '.join(layers)}"
            )
    return [*reversed(found[models[0]]), STEM]


def _shared(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return what a copy must have of a recipe. Raises ClxaiError if the study names no such model."""
    if model not in config["models"]:
        raise ClxaiError(f"study.models: unknown model {model!r}. Known: {', '.join(config['models'])}")
    return {key: config["models"][model][key] for key in _SHARED}


def _add(config: Mapping[str, Any], section: str, name: str, entry: Mapping[str, Any]) -> None:
    """Put an entry into a section. Raises ClxaiError if another one has its name."""
    there = config[section].setdefault(name, dict(entry))
    if any(there.get(key) != value for key, value in entry.items()):
        raise ClxaiError(f"{section}.{name}: the section `randomisation` makes an entry of that name; choose another")
