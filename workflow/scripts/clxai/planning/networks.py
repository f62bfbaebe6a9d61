"""What the networks of a study must be able to do: take its images, have the layers and the rules that its methods ask for."""

from collections.abc import Mapping, Sequence
from typing import Any

from clxai.errors import ClxaiError
from clxai.networks.geometry import check_side, layer_among
from clxai.planning.choices import chosen, network_of
from clxai.planning.needed import methods_run
from clxai.registry import declaration_of, declared


def check_image(config: Mapping[str, Any], model: str, shape: Sequence[int], where: str) -> None:
    """Raise ClxaiError if images [y, x] are too small for the network of a model."""
    name, options = network_of(config, model)
    check_side(f"models.{model} ({name})", declaration_of("networks", name).semantics, options, shape, where)


def check_methods(config: Mapping[str, Any], model: str) -> None:
    """Raise ClxaiError if a method that is run on a model asks for what its network has not: a layer, or rules for LRP."""
    name, _ = network_of(config, model)
    own = declaration_of("networks", name).semantics
    for method in methods_run(config, model):
        kind, options = chosen(config, "methods", method)
        if "layer" in options:
            layer_among(own["layers"], options["layer"], f"methods.{method}.layer, network {name} of models.{model}")
        if declared("methods")[kind].semantics["needs_rules"] and own["lrp"] is None:
            able = [known for known, entry in declared("networks").items() if entry.semantics["lrp"] is not None]
            raise ClxaiError(
                f"methods.{method}: {kind} has no rules for network {name} of models.{model}. It has for {', '.join(able)}"
            )
