"""What the config chooses: members with their options, the heads of a model, its recipe, pairs and methods to show."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.names import NO_LOSS
from clxai.networks.geometry import check_stem
from clxai.options import check_options
from clxai.packages import check_package
from clxai.planning.contracts import check_cardinality, check_declaration
from clxai.registry import (
    DATA_BOUNDS,
    PLACES,
    Declaration,
    declaration_of,
    declared,
    fill_keywords,
    is_own,
    keywords_of,
)

# Families whose members have a section of options and may be given names of one's own, with the section that lists what runs.
SECTIONS = {"methods": "study", "heads": "study", "analyses": "study", "fills": "flipping", "units": "flipping"}
_BROUGHT = ("weights", "normalise")  # keys of a recipe that it lacks where they are not given
# Networks of the library as others publish their weights: the names of weights are the same.
PUBLISHED = {f"torchvision/{name}": (name, {"stem": "large", "width": 64}) for name in ("resnet18", "resnet50")}
_NEEDED = {"mask": "the mask of removed pixels", "bank": "the training images as a trained model embeds them"}


def chosen(config: Mapping[str, Any], family: str, name: str, where: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return the member of a family behind a name of the config and its options, checked, defaults filled in.

    A default that the data may lower (`at_most` names something known of a data set) is left to the job, which knows the data.

    The family's section of the config gives options by name; where the name is no member's, it names the member by the family's
    word, as in `methods: {cam3: {method: grad_cam, layer: layer3}}`. `where` says which key named it.

    Raises ClxaiError on an unknown name or option, on an option out of range, and if the name is that of another member.
    """
    what, word, known = PLACES[family].what, PLACES[family].decorator, declared(family)
    given = dict((config.get(family) or {}).get(name) or {})
    member = given.pop(word, name)
    if member not in known:
        raise ClxaiError(f"{where or family}: {unknown_name(what, member, [*known, *(config.get(family) or {})])}")
    if name in known and member != name:
        raise ClxaiError(f"{family}.{name}: {name!r} is a registered {what} and cannot stand for {member!r}; choose another name")
    if family == "methods":
        check_package(member, known[member].semantics)
        check_declaration(member, known[member].semantics)
        check_cardinality(known[member].semantics, given, f"{family}.{name}")
    defaults = options_of(family, member)
    at_most, at_least = (known[member].semantics[bounds] for bounds in ("at_most", "at_least"))
    check_options(given, defaults, f"{family}.{name}", at_most, at_least)
    options = {**{key: value for key, value in defaults.items() if at_most.get(key) not in DATA_BOUNDS}, **given}
    if family == "methods" and "baseline" in options:
        check_free_fill(config, options["baseline"], f"{family}.{name}.baseline", ("mask", "bank"), "a baseline")
    if family == "methods" and known[member].semantics["removes"]:
        options |= _removal(config, options, f"{family}.{name}")
    if family == "methods" and (reads_masks(member) or learns(member)):
        options |= _mask_bank(config, options, f"{family}.{name}")
    return member, options


def reads_masks(member: str) -> bool:
    """Say whether a registered method reads a mask bank."""
    return declared("methods")[member].semantics["reads_masks"] != "nothing"


def learns(member: str) -> bool:
    """Say whether a registered method asks explainers that are trained on mask banks."""
    return declared("methods")[member].semantics["learns"]


def _mask_bank(config: Mapping[str, Any], options: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return units and fill of the mask bank that a method reads or learns from: any names, by default the study's first."""
    first = {"units": config["flipping"]["units"][0], "fill": config["flipping"]["fills"][0]}
    found = {key: first[key] if options[key] is None else options[key] for key in first}
    chosen(config, "units", found["units"], f"{where}.units")
    check_free_fill(config, found["fill"], f"{where}.fill", ("bank",), "a mask bank")
    return found


def _removal(config: Mapping[str, Any], options: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the units and the fill by which a method removes: names of the study, by default its first.

    Raises ClxaiError if the study does not flip with them: the order that is found would be of something else.
    """
    found = {}
    for key, section in (("units", "units"), ("fill", "fills")):
        listed = config["flipping"][section]
        found[key] = listed[0] if options[key] is None else options[key]
        if found[key] not in listed:
            raise ClxaiError(f"{where}.{key} must be one of flipping.{section}: {', '.join(listed)}. Got {found[key]!r}")
    check_free_fill(config, found["fill"], f"{where}.fill", ("bank",), "a search of orders")
    return found


def check_free_fill(config: Mapping[str, Any], fill: str, where: str, absent: tuple[str, ...], what: str) -> None:
    """Raise ClxaiError unless a fill can do without what is `absent` where `what` is made."""
    needs = semantics_of(config, "fills", fill, where)["needs"]
    if needs in absent:
        raise ClxaiError(f"{where}: fill {fill!r} needs {_NEEDED[needs]}, and {what} has none; choose another fill")


def options_of(family: str, member: str) -> dict[str, Any]:
    """Return the options of a member with their defaults.

    A method that needs a baseline has that for one more, and every analysis the sample that it looks at.
    """
    semantics = declared(family)[member].semantics
    baseline, sample = semantics.get("baseline"), {"sample": None} if family == "analyses" else {}
    return {**semantics["options"], **({} if baseline is None else {"baseline": baseline}), **sample}


def semantics_of(config: Mapping[str, Any], family: str, name: str, where: str | None = None) -> Mapping[str, Any]:
    """Return what the member behind a name of the config declares."""
    return declared(family)[chosen(config, family, name, where)[0]].semantics


def controls_of(config: Mapping[str, Any]) -> list[str]:
    """Return the methods of the study that are controls."""
    return [name for name in config["study"]["methods"] if "control" in semantics_of(config, "methods", name)["families"]]


def oracles_of(config: Mapping[str, Any]) -> list[str]:
    """Return the methods of the study that show all of the known evidence."""
    found = [name for name in config["study"]["methods"] if semantics_of(config, "methods", name)["needs_evidence"]]
    return [name for name in found if not chosen(config, "methods", name)[1].get("part")]


def blind_of(config: Mapping[str, Any]) -> list[str]:
    """Return the methods of the study whose maps know nothing of the network: the controls that an explanation must exceed."""
    return [name for name in config["study"]["methods"] if semantics_of(config, "methods", name)["blind"]]


def matched_fills(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return, for each method of the study that has a baseline, the fills of the study that are that baseline.

    A method that works on the map of another one, its option `of`, has the baseline of that one; one that reads a mask bank or
    learns from one has the fill of that.
    """
    found = {}
    for name in config["study"]["methods"]:
        (member, options), seen = chosen(config, "methods", name), {name}
        while "baseline" not in options and options.get("of") not in (None, *seen):
            seen.add(options["of"])
            member, options = chosen(config, "methods", options["of"])
        named = options.get("fill" if reads_masks(member) or learns(member) else "baseline")
        if named is not None:
            baseline = chosen(config, "fills", named)
            found[name] = [fill for fill in config["flipping"]["fills"] if chosen(config, "fills", fill) == baseline]
    return found


def heads_of(config: Mapping[str, Any], model: str) -> list[str]:
    """Return the heads of `study.heads` that a model can have: softmax needs a loss that trains a classifier."""
    return list(config["study"]["heads"]) if has_classifier(config, model) else heads_of_all(config)


def has_classifier(config: Mapping[str, Any], model: str) -> bool:
    """Say whether the loss of a model trains a classifier; else it trains a projection, or there is none."""
    return loss_of(config, model)["top"] == "classifier"


def is_contrastive(config: Mapping[str, Any], model: str) -> bool:
    """Say whether the loss of a model trains a projection."""
    return loss_of(config, model)["top"] == "projection"


def loss_of(config: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """Return what the loss of a model declares, or the like of a model without one. Raises ClxaiError if it is unknown."""
    loss, known = config["models"][model]["loss"], declared("losses")
    if loss == NO_LOSS:
        return fill_keywords({"top": "nothing"}, keywords_of("losses"), f"models.{model}.loss")
    if loss not in known:
        raise ClxaiError(f"models.{model}.loss: {unknown_name('loss', loss, [*known, NO_LOSS])}")
    return known[loss].semantics


def is_reference(config: Mapping[str, Any], model: str) -> bool:
    """Say whether a model is trained on images with units removed, as flipping makes them: a reference for plain ones."""
    return config["models"][model]["masks"]["share"] > 0


def heads_of_all(config: Mapping[str, Any]) -> list[str]:
    """Return the heads of the study that every model has."""
    return [name for name in config["study"]["heads"] if not semantics_of(config, "heads", name)["needs_classifier"]]


def network_of(config: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """Return the network of a model and all its options, defaults filled in, checked."""
    recipe, where = config["models"][model], f"models.{model}.network"
    name, fixed = PUBLISHED.get(recipe["network"], (recipe["network"], {}))
    semantics, given = _network(name, where).semantics, recipe["network_options"]
    for option in fixed:
        if option in given:
            raise ClxaiError(f"{where}_options.{option} is {fixed[option]!r} for {recipe['network']}. Got {given[option]!r}")
    check_options(given, semantics["options"], f"{where}_options", semantics["at_most"], semantics["at_least"])
    options = {**semantics["options"], **fixed, **given}
    check_stem(semantics, options, f"{where}_options")
    return name, options


def _network(name: str, where: str) -> Declaration:
    """Return what a network declares. Raises ClxaiError, which `where` begins, if it is neither the library's nor in a file."""
    if is_own(name):
        try:
            return declaration_of("networks", name)
        except ClxaiError as error:
            raise ClxaiError(f"{where}: {error}") from error
    if name not in declared("networks"):
        known = [*declared("networks"), *PUBLISHED]
        raise ClxaiError(f"{where}: {unknown_name('network', name, known)}; any other by path/to/file.py:function")
    return declared("networks")[name]


def recipe_of(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the recipe of a model, the options of its network filled in.

    A warm-up that is not given is 1 epoch, half of a single one, none without training. Without random masks the recipe has no
    key `masks`, no key `labels` where they are the given ones, and no `augmentation.sound` where all of it is off.
    """
    recipe = {key: value for key, value in config["models"][model].items() if value is not None or key not in _BROUGHT}
    recipe.pop("masks")
    if not any(recipe["augmentation"]["sound"].values()):
        recipe["augmentation"] = {key: value for key, value in recipe["augmentation"].items() if key != "sound"}
    if masks := masks_of(config, model):
        recipe["masks"] = masks
    if recipe["labels"] == "given":
        del recipe["labels"]
    recipe["network"], recipe["network_options"] = network_of(config, model)
    if recipe["warmup_epochs"] is None:
        recipe["warmup_epochs"] = {0: 0, 1: 0.5}.get(recipe["epochs"], 1)
    return recipe


def masks_of(config: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """Return the random masks of a recipe: {share, units, fill}, the last two by registered name, with options; None if off.

    Raises ClxaiError if the units or the fill are unknown, whether the masks are on or off.
    """
    masks, where = config["models"][model]["masks"], f"models.{model}.masks"
    units, cut = chosen(config, "units", masks["units"], f"{where}.units")
    fill, options = chosen(config, "fills", masks["fill"], f"{where}.fill")
    check_free_fill(config, masks["fill"], f"{where}.fill", ("bank",), "a model in training")
    if not masks["share"]:
        return None
    named = {"name": fill, "fill": fill, "options": options}
    return {"share": masks["share"], "units": {"units": units, "options": cut}, "fill": named}


def bank_size(config: Mapping[str, Any], sample: str) -> dict[str, Any]:
    """Return how many masks are drawn for each image of a sample, and the share that is held out."""
    section = config["mask_bank"]
    return {"masks": section["samples"].get(sample, section["masks"]), "held_out": section["held_out"]}


def samples_before(config: Mapping[str, Any], name: str) -> list[tuple[str, int]]:
    """Return name and size of the samples of the same split that the config gives before one: they are drawn first."""
    samples = config["samples"]
    earlier = [*samples][: [*samples].index(name)]
    return [(one, samples[one]["images"]) for one in earlier if samples[one]["split"] == samples[name]["split"]]


def contrasts_of(config: Mapping[str, Any]) -> list[list[str]]:
    """Return the pairs of models to compare, by default all, the later minus the earlier.

    Of those by default the ones that `statistics.confirmatory` names the other way round are turned.

    Raises ClxaiError unless each is two different models of the study, named once.
    """
    models, pairs = config["study"]["models"], config["study"]["contrasts"]
    if pairs is None:
        turned = [[row["model"], row["minus"]] for row in config["statistics"]["confirmatory"]]
        every = [[later, earlier] for place, later in enumerate(models) for earlier in models[:place]]
        return [pair[::-1] if pair[::-1] in turned else pair for pair in every]
    seen: list[set[str]] = []
    for pair in pairs:
        for name in pair:
            if name not in models:
                raise ClxaiError(f"study.contrasts: {unknown_name('model of the study', name, models)}")
        if len(set(pair)) < 2 or set(pair) in seen:
            raise ClxaiError(f"study.contrasts: each must name two different models, each pair once. Got {pair}")
        seen.append(set(pair))
    return [list(pair) for pair in pairs]
