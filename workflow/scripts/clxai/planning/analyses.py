"""What a study analyses beside its maps: images of which sample, with which fill, and what its models and data must allow."""

import importlib
from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.networks.geometry import layer_among
from clxai.planning.choices import chosen, heads_of, network_of, semantics_of
from clxai.planning.extents import parts_of
from clxai.registry import declaration_of, declared


def analysis_of(config: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Return the analysis behind a name of the config and its options but for the sample; a fill is the study's first by default.

    Raises ClxaiError on an unknown fill.
    """
    member, options = chosen(config, "analyses", name)
    options.pop("sample")
    if "fill" in options:
        options["fill"] = config["flipping"]["fills"][0] if options["fill"] is None else options["fill"]
        chosen(config, "fills", options["fill"], f"analyses.{name}.fill")
    return member, options


def sample_of(config: Mapping[str, Any], name: str) -> str:
    """Return the sample that an analysis looks at, by default that of the study.

    Raises ClxaiError if it is unknown, or of training images where those are what the analysis is fitted on.
    """
    member, options = chosen(config, "analyses", name)
    given, where = options["sample"], f"analyses.{name}.sample"
    sample = config["study"]["sample"] if given is None else given
    if sample not in config["samples"]:
        raise ClxaiError(f"{where}: {unknown_name('sample', str(sample), config['samples'])}")
    if declared("analyses")[member].semantics["unseen"] and config["samples"][sample]["split"] == "train":
        raise ClxaiError(f"{where}: {member} is fitted on training images and judged by others. Got {sample!r}, of split train")
    return sample


def analysed(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the sample of each analysis of the study, in the order of the study."""
    return {name: sample_of(config, name) for name in config["study"]["analyses"]}


def check_analyses(config: Mapping[str, Any], model: str) -> None:
    """Raise ClxaiError if an analysis asks for what a model has not: a layer, a head that it can serve."""
    network = network_of(config, model)[0]
    layers = declaration_of("networks", network).semantics["layers"]
    for name in analysed(config):
        member, options = analysis_of(config, name)
        asked = [*options.get("layers", ()), *([options["layer"]] if "layer" in options else [])]
        if "layers" in options and not layers:
            asked.append("last")  # none given are all, of which there are none
        for layer in asked:
            layer_among(layers, layer, f"analyses.{name}, network {network} of models.{model}")
        heads = heads_of(config, model)
        able = [head for head in heads if semantics_of(config, "heads", head)["affine"]]
        if declared("analyses")[member].semantics["needs_affine"] and not able:
            known = [head for head, entry in declared("heads").items() if entry.semantics["affine"]]
            raise ClxaiError(
                f"analyses.{name}: {member} has a closed form for heads whose classes meet in planes alone: {', '.join(known)}. "
                f"models.{model} has {', '.join(heads)}: add one of them to study.heads"
            )


def check_analyses_of_data(config: Mapping[str, Any], dataset: str) -> None:
    """Raise ClxaiError if an analysis asks for what a data set does not tell, by the check that it declares."""
    parts = parts_of(config["datasets"][dataset])
    for name in analysed(config):
        member, options = analysis_of(config, name)
        module = declared("analyses")[member].semantics["planning"]
        if module is not None:
            importlib.import_module(module).check(options, f"analyses.{name}", parts)
