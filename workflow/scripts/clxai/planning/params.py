"""The params of each rule: what its results depend on and no more, as plain values with sorted keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from clxai.keys import key_of
from clxai.planning.amortising import NO_RECIPE
from clxai.planning.analyses import analysis_of
from clxai.planning.borrowing import borrowed_maps, method_run
from clxai.planning.brought import is_brought, map_pattern
from clxai.planning.choices import (
    bank_size,
    blind_of,
    chosen,
    contrasts_of,
    controls_of,
    heads_of,
    is_contrastive,
    is_reference,
    matched_fills,
    oracles_of,
    recipe_of,
    samples_before,
)
from clxai.planning.classes import class_pairs
from clxai.planning.confirmatory import confirmatory_of, not_tested
from clxai.planning.drawable import figure_options, figure_semantics, methods_drawn
from clxai.planning.extents import content
from clxai.planning.needed import absent_methods
from clxai.planning.outputs import banks_measured, caption_of, metrics_of, scope_of
from clxai.planning.reading import plain
from clxai.planning.trust import left_out, lent_of, measure_of, references_of, trust_methods, trust_metrics, trust_of
from clxai.registry import PLACES, declared

Params = dict[str, Any]


def prepare_data(config: Mapping[str, Any], job: Any) -> Params:
    """Return everything of a data set that its prepared files depend on, and what is watched of its source's files."""
    entry = config["datasets"][job.dataset]
    told = {key: value for key, value in entry.items() if key != "watch"}
    return plain({**told, "content": content(entry, job.dataset)})


def sample_images(config: Mapping[str, Any], job: Any) -> Params:
    """Return split, size and seed of a sample, and the samples of that split that are drawn before it."""
    own = config["samples"][job.sample]
    drawn = {"split": own["split"], "n_images": own["images"], "seed": config["study"]["seed"]}
    return plain({**drawn, "before": samples_before(config, job.sample)})


def train_model(config: Mapping[str, Any], job: Any) -> Params:
    """Return the recipe of a model."""
    return plain(recipe_of(config, job.model))


def fit_heads(config: Mapping[str, Any], job: Any) -> Params:
    """Return the registered head and all options of every head that a model has."""
    heads = {name: chosen(config, "heads", name) for name in heads_of(config, job.model)}
    return plain({name: {"head": head, **options} for name, (head, options) in heads.items()})


def attribute(config: Mapping[str, Any], job: Any) -> Params:
    """Return the registered method, its options and the seed: the run's own, so that controls differ between runs.

    Options that say whose maps are borrowed are resolved to names, and one that names a method to run to that with its options.
    """
    kind, options = chosen(config, "methods", job.method)
    lent, run = borrowed_maps(config, job), method_run(config, job.method)
    if lent is not None:
        places = {"of": lent.method, "model": lent.model, "seed": lent.seed, "sample": lent.sample}
        options |= {key: value for key, value in places.items() if key in options}
    if is_brought(config, job.method):
        options["path"] = map_pattern(config, job)
    if run is not None:
        options["of"] = _settled(config, _named(config, "methods", run))
    named = _settled(config, {"method_name": kind, "options": options})
    return plain({**named, "seed": config["study"]["seed"] + int(job.seed)})


def _settled(config: Mapping[str, Any], method: Params) -> Params:
    """Return what a job is told of a method, fills and units among its options with options of their own.

    The fill by which a method removes units itself gets the seed that it has in flipping.
    """
    removes = declared("methods")[method.get("method_name") or method["method"]].semantics["removes"]
    families = {"baseline": "fills", **({"fill": "fills", "units": "units"} if removes else {})}
    given = {key: method["options"][key] for key in families if method["options"].get(key) is not None}
    settled = {key: _named(config, families[key], name) for key, name in given.items()}
    if "fill" in settled:
        settled["fill"]["seed"] = config["study"]["seed"]
    return {**method, "options": {**method["options"], **settled}}


def analyse(config: Mapping[str, Any], job: Any) -> Params:
    """Return the registered analysis, its options and the run's own seed; a fill with the seed that it has in flipping."""
    member, options = analysis_of(config, job.analysis)
    if "fill" in options:
        options["fill"] = {**_named(config, "fills", options["fill"]), "seed": config["study"]["seed"]}
    return plain({"analysis": member, "options": options, "seed": config["study"]["seed"] + int(job.seed)})


def summarise_analyses(config: Mapping[str, Any], job: Any) -> Params:
    """Return the design of the study, in the order of its input files."""
    return plain({key: config["study"][key] for key in ("models", "seeds", "analyses")})


def mask_bank(config: Mapping[str, Any], job: Any) -> Params:
    """Return how images are cut and filled, how many masks are drawn, with the run's own seed; the fill has that of flipping."""
    fill = {**_named(config, "fills", job.fill), "seed": config["study"]["seed"]}
    told = {"units": _named(config, "units", job.units), "fill": fill, "batch_size": config["flipping"]["batch_size"]}
    return plain({**bank_size(config, job.sample), **told, "seed": config["study"]["seed"] + int(job.seed)})


def pool_teachers(config: Mapping[str, Any], job: Any) -> Params:
    """Return the methods whose maps explainers are shown, in the order of their files, and when one is dropped."""
    options = chosen(config, "methods", job.method)[1]
    return plain({key: options[key] for key in ("teachers", "duplicates", "faithful")})


def train_explainer(config: Mapping[str, Any], job: Any) -> Params:
    """Return the recipe of an explainer and its seed, of the run's own and of its number."""
    recipe = {key: value for key, value in chosen(config, "methods", job.method)[1].items() if key not in NO_RECIPE}
    return plain({"recipe": recipe, "seed": key_of("explainer", config["study"]["seed"] + int(job.seed), int(job.explainer))})


def flip(config: Mapping[str, Any], job: Any) -> Params:
    """Return how images are cut and perturbed."""
    flipping = config["flipping"]
    fills = [_named(config, "fills", name) for name in flipping["fills"]]
    return plain({**flipping, "fills": fills, "units": _named(config, "units", job.units), "seed": config["study"]["seed"]})


def measure_stability(config: Mapping[str, Any], job: Any) -> Params:
    """Return what `attribute` is told, how images are cut, the radius and number of draws; ties have the seed of flipping."""
    asked = {key: config["stability"][key] for key in ("radius", "draws")}
    units = _named(config, "units", job.units)
    return plain({**asked, "method": attribute(config, job), "units": units, "seed": config["study"]["seed"]})


def summarise_stability(config: Mapping[str, Any], job: Any) -> Params:
    """Return the runs whose stability was measured, in the order of their files, and the fill of the SRG that stands beside."""
    study, fill = config["study"], config["flipping"]["fills"][0]
    methods = [name for name in study["methods"] if name in config["stability"]["methods"]]
    told = {"models": study["models"], "seeds": study["seeds"], "units": config["flipping"]["units"], "methods": methods}
    return plain({**told, "absent": absent_methods(config), "fill": fill})


def _named(config: Mapping[str, Any], family: str, name: str) -> Params:
    """Return a member under the name by which the study knows it, with its options."""
    member, options = chosen(config, family, name)
    return {"name": name, PLACES[family].decorator: member, "options": options}


def summarise(config: Mapping[str, Any], job: Any) -> Params:
    """Return the design of the study, in the order of its input files, and the settings of the statistics."""
    design = {key: config["study"][key] for key in ("models", "seeds", "methods", "seed")}
    design["units"] = config["flipping"]["units"]
    outputs = {"contrasts": contrasts_of(config), "metrics": metrics_of(config), "controls": controls_of(config)}
    outputs |= {"blind": blind_of(config), "matched": matched_fills(config), "absent": absent_methods(config)}
    outputs["banks"] = [
        {"model": bank.model, "seed": seed, "units": bank.units, "fill": bank.fill}
        for bank in banks_measured(config)
        for seed in config["study"]["seeds"]
    ]
    return plain({**design, **config["statistics"], **outputs, "confirmatory": confirmatory_of(config)})


def check_study(config: Mapping[str, Any], job: Any) -> Params:
    """Return the design of the study and the settings of its self-checks."""
    design = {key: config["study"][key] for key in ("models", "seeds", "methods")}
    told = {"checks": config["checks"], "oracles": oracles_of(config), "absent": absent_methods(config)}
    return plain({**design, **told})


def rank_methods(config: Mapping[str, Any], job: Any) -> Params:
    """Return the design of the study."""
    design = {key: config["study"][key] for key in ("models", "seeds", "methods")}
    return plain({**design, "absent": absent_methods(config)})


def rank_metrics(config: Mapping[str, Any], job: Any) -> Params:
    """Return the methods that explain nothing."""
    return plain({"controls": controls_of(config)})


def assess_trust(config: Mapping[str, Any], job: Any) -> Params:
    """Return the trust measures of the study, what is left out, and what they are told of methods, models and set-ups."""
    setups = [[units, fill] for units in config["flipping"]["units"] for fill in config["flipping"]["fills"]]
    metrics = list(dict.fromkeys(metric for names in trust_metrics(config).values() for metric in names))
    told = {"methods": trust_methods(config), "setups": setups, "references": references_of(config), "metrics": metrics}
    measures = {name: measure_of(config, name) for name in trust_of(config)}
    outputs = {"measures": measures, "left_out": left_out(config), "contrasts": contrasts_of(config)}
    return plain({**told, **outputs, "seed": config["study"]["seed"]})


def compare_maps(config: Mapping[str, Any], job: Any) -> Params:
    """Return which maps of randomised copies are compared with the own ones, and the runs that have them."""
    lent = lent_of(config)
    return plain({"lent": lent, **_compared(config, lent, "of")})


def compare_classes(config: Mapping[str, Any], job: Any) -> Params:
    """Return which maps for two classes are compared, and the runs that have them."""
    pairs = class_pairs(config)
    return plain({"pairs": pairs, **_compared(config, pairs, "other")})


def _compared(config: Mapping[str, Any], pairs: Sequence[Mapping[str, str]], other: str) -> dict[str, Any]:
    """Return the methods of the study that stand in pairs, as `method` or under `other`, and the runs that have their maps."""
    study, named = config["study"], {pair[key] for pair in pairs for key in ("method", other)}
    told = {"methods": [name for name in study["methods"] if name in named], "absent": absent_methods(config)}
    return {**told, "units": config["flipping"]["units"], "models": study["models"], "seeds": study["seeds"]}


def plot_figure(config: Mapping[str, Any], job: Any) -> Params:
    """Return a figure, its options and caption, and what it is told of the study: names in the order shown, fill and margin."""
    study, model = config["study"], getattr(job, "model", None)
    member, options = figure_options(config, job.figure)
    names = {"models": study["models"], "heads": study["heads"], "methods": methods_drawn(config, job.figure)}
    shared = [name for name in study["heads"] if all(name in heads_of(config, model) for model in study["models"])]
    told = {**names, "controls": controls_of(config), "shared_heads": shared, "seed": study["seeds"][0]}
    fills, cuts = config["flipping"]["fills"], config["flipping"]["units"]
    told |= {"fill": fills[0], "units": cuts[0], "fills": fills, "cuts": cuts, "blind": blind_of(config)}
    told |= {"margin": config["statistics"]["margin"], "matched": matched_fills(config), "references": _references(config)}
    told["absent"] = absent_methods(config)
    texts = {"caption": caption_of(config, job.figure, model), "scope": scope_of(figure_semantics(config, job.figure))}
    return plain({"figure": member, "options": options, **texts, "study": told})


def _references(config: Mapping[str, Any]) -> list[str]:
    """Return the models of the study that are references: named as such, or trained on images with units removed."""
    named, models = references_of(config).values(), config["study"]["models"]
    return [name for name in models if name in named or is_reference(config, name)]


def state_verdict(config: Mapping[str, Any], job: Any) -> Params:
    """Return the design as the rules of the verdict see it: models and methods by what they are, baselines, the study's name."""
    study = config["study"]
    oracles = oracles_of(config)
    told = {
        "name": study["name"],
        "models": study["models"],
        "methods": study["methods"],
        "units": config["flipping"]["units"][0],
        "fill": config["flipping"]["fills"][0],
        "oracles": oracles,
        "controls": [name for name in controls_of(config) if name not in oracles],
        "blind": [name for name in blind_of(config) if name not in oracles],
        "baselines": matched_fills(config),
        "references": _references(config),
        "not_tested": not_tested(config),
        "contrastive": [name for name in study["models"] if is_contrastive(config, name)],
    }
    return plain(told)


def describe_methods(config: Mapping[str, Any], job: Any) -> Params:
    """Return the methods of the study in the order shown, what the first sentence of each says, and the design of their files."""
    study = config["study"]
    texts = {name: declared("methods")[chosen(config, "methods", name)[0]].text for name in study["methods"]}
    told = {"models": study["models"], "methods": study["methods"], "absent": absent_methods(config)}
    return plain({**told, "name": study["name"], "texts": texts})


def describe_results(config: Mapping[str, Any], job: Any) -> Params:
    """Return what the page of results shows of the settings, and all that the study chose of the config, for its record."""
    study, flipping = config["study"], config["flipping"]
    shown = {name: study[name] for name in ("models", "seeds", "heads", "methods")} | {"controls": controls_of(config)}
    sample = config["samples"][study["sample"]]
    shown |= {
        "images": f"{sample['images']} of split {sample['split']}",
        "units": flipping["units"][0],
        "fill": flipping["fills"][0],
    }
    parts = {name: config[name] for name in ("study", "flipping", "statistics", "mask_bank", "stability")}
    parts |= {"sample": sample, "models": {name: recipe_of(config, name) for name in study["models"]}}
    parts |= {family: {name: _named(config, family, name) for name in study[family]} for family in ("methods", "heads")}
    parts |= {family: {name: _named(config, family, name) for name in flipping[family]} for family in ("units", "fills")}
    return plain({"name": study["name"], "shown": shown, "config": parts})


def build_explorer(config: Mapping[str, Any], job: Any) -> Params:
    """Return what the page of a study is told: names in the order shown, how images are cut and filled, what metrics mean."""
    study, flipping = config["study"], config["flipping"]
    told = {name: study[name] for name in ("name", "models", "seeds", "methods", "seed")}
    told |= {"heads": {model: heads_of(config, model) for model in study["models"]}, "absent": absent_methods(config)}
    told |= {"units": [_named(config, "units", name) for name in flipping["units"]], "controls": controls_of(config)}
    told["fills"] = [_named(config, "fills", name) for name in flipping["fills"]]
    known = {name: declared("metrics")[name] for name in metrics_of(config)}
    told["metrics"] = {name: {"better": entry.semantics["better"], "text": entry.text} for name, entry in known.items()}
    return plain(told)


def export_virelay(config: Mapping[str, Any], job: Any) -> Params:
    """Return the study's name."""
    return plain({"name": config["study"]["name"]})
