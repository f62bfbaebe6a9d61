"""What the config chooses: members with their options, the heads of a model, its recipe, pairs and methods to show."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.names import REFERENCE
from clxai.planning.options import check_options
from clxai.registry import declared


def method_options(config: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Return the registered method behind a name of `study.methods` and its options, checked."""
    entry = dict(config["methods"].get(name) or {})
    kind = entry.pop("method", name)
    known = declared("methods")
    if kind not in known:
        raise ClxaiError(f"methods: {unknown_name('attribution method', kind, known)}")
    if name in known and kind != name:
        raise ClxaiError(f"methods.{name}: {name!r} is a registered method and cannot stand for {kind!r}; choose another name")
    semantics = known[kind].semantics
    allowed = dict(semantics["options"])
    if semantics["baseline"] is not None:
        allowed["baseline"] = semantics["baseline"]
    check_options(entry, allowed, f"methods.{name}", semantics.get("at_most"))
    return kind, entry


def head_options(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return all options of a head, defaults filled in, checked."""
    known = declared("heads")
    if name not in known:
        raise ClxaiError(f"heads: {unknown_name('head', name, known)}")
    given = config["heads"].get(name) or {}
    check_options(given, known[name].semantics["options"], f"heads.{name}")
    return {**known[name].semantics["options"], **given}


def heads_of(config: Mapping[str, Any], model: str) -> list[str]:
    """Return the heads of `study.heads` that a model can have: softmax needs a loss that trains a classifier."""
    loss = declared("losses")[config["models"][model]["loss"]]
    heads = declared("heads")
    has_classifier = loss.semantics["top"] == "classifier"
    return [name for name in config["study"]["heads"] if has_classifier or not heads[name].semantics["needs_classifier"]]


def recipe_of(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the recipe of a model; a warm-up that is not given is 1 epoch, or half of a single one."""
    recipe = dict(config["models"][model])
    if recipe["warmup_epochs"] is None:
        recipe["warmup_epochs"] = 1 if recipe["epochs"] > 1 else 0.5
    return recipe


def contrasts_of(config: Mapping[str, Any]) -> list[list[str]]:
    """Return the pairs of models to compare, by default each later one with each earlier one.

    Raises ClxaiError unless each is two different models of the study, named once.
    """
    models, pairs = config["study"]["models"], config["study"]["contrasts"]
    if pairs is None:
        return [[later, earlier] for place, later in enumerate(models) for earlier in models[:place]]
    seen: list[set[str]] = []
    for pair in pairs:
        for name in pair:
            if name not in models:
                raise ClxaiError(f"study.contrasts: {unknown_name('model of the study', name, models)}")
        if len(set(pair)) < 2 or set(pair) in seen:
            raise ClxaiError(f"study.contrasts: each must name two different models, each pair once. Got {pair}")
        seen.append(set(pair))
    return [list(pair) for pair in pairs]


def trajectory_methods(config: Mapping[str, Any]) -> list[str]:
    """Return the methods of the figure of trajectories: the chosen one, else the first that is no control, and the reference.

    Without either it is the first other control; a study of the reference alone shows that alone.
    """
    others = [name for name in config["study"]["methods"] if name != REFERENCE]
    chosen = config["figures"]["trajectory_method"]
    if chosen is not None and chosen not in config["study"]["methods"]:
        raise ClxaiError(f"figures.trajectory_method: {unknown_name('method of the study', chosen, config['study']['methods'])}")
    known = declared("methods")
    own = [name for name in others if known[method_options(config, name)[0]].semantics["family"] != "control"]
    first = next(iter([chosen] if chosen else [*own, *others]), REFERENCE)
    return [first] if first == REFERENCE else [first, REFERENCE]
