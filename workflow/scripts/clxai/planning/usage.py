"""Which members of the open families a job uses: their code, beside its script's, decides what reruns."""

from collections.abc import Callable, Mapping
from typing import Any

from clxai.names import NO_LOSS
from clxai.planning.analyses import analysis_of
from clxai.planning.borrowing import method_run
from clxai.planning.choices import chosen, heads_of, masks_of, network_of
from clxai.planning.drawable import figure_options
from clxai.planning.outputs import metrics_of
from clxai.planning.trust import measure_of, trust_of
from clxai.registry import declared

Names = Callable[[Mapping[str, Any], Any], list[str]]


def _source(config: Mapping[str, Any], job: Any) -> list[str]:
    return [config["datasets"][job.dataset]["source"]]


def _loss(config: Mapping[str, Any], job: Any) -> list[str]:
    loss = config["models"][job.model]["loss"]
    return [] if loss == NO_LOSS else [loss]


def _network(config: Mapping[str, Any], job: Any) -> list[str]:
    return [network_of(config, job.model)[0]]


def _masked_units(config: Mapping[str, Any], job: Any) -> list[str]:
    masks = masks_of(config, job.model)
    return [masks["units"]["units"]] if masks else []


def _masking_fill(config: Mapping[str, Any], job: Any) -> list[str]:
    masks = masks_of(config, job.model)
    return [masks["fill"]["fill"]] if masks else []


def _heads(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "heads", name)[0] for name in heads_of(config, job.model)]


def _method(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "methods", name)[0] for name in _methods_run(config, job)]


def _methods_run(config: Mapping[str, Any], job: Any) -> list[str]:
    other = method_run(config, job.method)
    return [job.method] if other is None else [job.method, other]


def _of_methods(config: Mapping[str, Any], job: Any, key: str) -> list[str]:
    """Return what the methods that a job runs name by an option: a baseline, or what they remove or cut units with."""
    found = []
    for name in _methods_run(config, job):
        member, options = chosen(config, "methods", name)
        own = declared("methods")[member].semantics
        if key in options and (key == "baseline" or own["removes"] or (key == "units" and own["learns"])):
            found.append(options[key])
    return found


def _method_fills(config: Mapping[str, Any], job: Any) -> list[str]:
    names = [*_of_methods(config, job, "baseline"), *_of_methods(config, job, "fill")]
    return [chosen(config, "fills", name)[0] for name in names]


def _method_units(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "units", name)[0] for name in _of_methods(config, job, "units")]


def _analysis(config: Mapping[str, Any], job: Any) -> list[str]:
    return [analysis_of(config, job.analysis)[0]]


def _analysis_fill(config: Mapping[str, Any], job: Any) -> list[str]:
    options = analysis_of(config, job.analysis)[1]
    return [chosen(config, "fills", options["fill"])[0]] if "fill" in options else []


def _fills(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "fills", name)[0] for name in config["flipping"]["fills"]]


def _units(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "units", job.units)[0]]


def _all_units(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "units", name)[0] for name in config["flipping"]["units"]]


def _metrics(config: Mapping[str, Any], job: Any) -> list[str]:
    return metrics_of(config)


def _trust(config: Mapping[str, Any], job: Any) -> list[str]:
    return [measure_of(config, name)[0] for name in trust_of(config)]


def _figure(config: Mapping[str, Any], job: Any) -> list[str]:
    return [figure_options(config, job.figure)[0]]


def _fill(config: Mapping[str, Any], job: Any) -> list[str]:
    return [chosen(config, "fills", job.fill)[0]]


USES: Mapping[str, Mapping[str, Names]] = {  # by script and family
    "prepare_data": {"sources": _source},
    "train_model": {"networks": _network, "losses": _loss, "fills": _masking_fill, "units": _masked_units},
    "embed_images": {"networks": _network},
    "fit_heads": {"networks": _network, "heads": _heads},
    "mask_bank": {"networks": _network, "heads": _heads, "fills": _fill, "units": _units},
    "attribute": {"networks": _network, "heads": _heads, "methods": _method, "fills": _method_fills, "units": _method_units},
    "analyse": {"networks": _network, "heads": _heads, "analyses": _analysis, "fills": _analysis_fill},
    "flip": {"networks": _network, "heads": _heads, "fills": _fills, "units": _units},
    "measure_stability": {
        "networks": _network,
        "heads": _heads,
        "methods": _method,
        "fills": _method_fills,
        "units": lambda config, job: [*_units(config, job), *_method_units(config, job)],
    },
    "summarise": {"metrics": _metrics},
    "assess_trust": {"trust": _trust},
    "plot_figure": {"figures": _figure},
    "build_explorer": {"fills": _fills, "units": _all_units},
    "export_virelay": {"heads": _heads},
}


def members(config: Mapping[str, Any], script: str, job: Any) -> list[tuple[str, str]]:
    """Return (family, name) of each member that a job of a script uses; `job` has the rule's wildcards as attributes."""
    return [(family, name) for family, names in USES.get(script, {}).items() for name in names(config, job)]
