"""The config, checked before any job starts: keys and types against the schema, names against what is declared, values against
each other. Imports nothing heavy, so that planning stays quick.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.mask_bank.sizes import check_held_out, check_masks, pairs_of
from clxai.names import ALL, FOLDERS, REFERENCE, STUDIES
from clxai.options import check_bounds, check_options
from clxai.planning.amortising import check_learning
from clxai.planning.analyses import check_analyses, check_analyses_of_data
from clxai.planning.borrowing import check_borrowed_heads, method_run
from clxai.planning.brought import check_maps, check_weights
from clxai.planning.choices import (
    SECTIONS,
    bank_size,
    chosen,
    contrasts_of,
    heads_of,
    learns,
    loss_of,
    reads_masks,
    recipe_of,
    samples_before,
    semantics_of,
)
from clxai.planning.confirmatory import confirmatory_of
from clxai.planning.drawable import figure_options
from clxai.planning.extents import Extent, check_source, measure, parts_of
from clxai.planning.needed import check_start, maps_needed, methods_run, models_explained, models_needed
from clxai.planning.networks import check_image, check_methods
from clxai.planning.outputs import banks_measured, check_drawable, check_figure_files, metrics_of
from clxai.planning.stability import check_stability
from clxai.planning.trust import measure_of, references_of, trust_of
from clxai.registry import declared
from clxai.units.tiles import check_share, check_tiles, tile_count

_NO_SOUND = {  # augmentations of pictures, by what they do to a spectrogram
    "crop_padding": "move pitches",
    "resized_crop": "change pitch and speed",
    "flip": "reverse the time",
}


def check_schema(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise ClxaiError, one line, at the first key or value that the schema refuses, with what is allowed."""
    from jsonschema import Draft202012Validator, validators

    _check_plain(config, "config")
    # 3.0 passes for an integer in JSON, but not for Python's range.
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator = validators.extend(Draft202012Validator, type_checker=whole)(schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: (len(error.path), str(error.path)))
    if errors:
        raise ClxaiError(_explain(errors[0]))


def _check_plain(value: Any, where: str) -> None:
    """Refuse what YAML can say and a schema does not see: keys that are no text, numbers that are not finite."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ClxaiError(f"{where}: keys must be text. Got {key!r} (YAML takes yes, no, on, off and numbers for values)")
            _check_plain(inner, key if where == "config" else f"{where}.{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_plain(inner, f"{where}.{place}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ClxaiError(f"{where} must be a finite number. Got {value}")


def _explain(error: Any) -> str:
    where = ".".join(map(str, error.absolute_path)) or "config"
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(known), key=str)
        return f"{where}: {unknown_name('key', unknown[0], known)}"
    if error.validator == "type" and isinstance(error.instance, str):
        return f"{where}: expected {error.validator_value}, got the string {error.instance!r} (YAML needs 1.0e-3, not 1e-3)"
    if error.validator == "enum":
        return f"{where}: {unknown_name('value', error.instance, map(str, error.validator_value))}"
    return f"{where}: {error.message}"


def check_values(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError where a filled config names something unknown or asks for what cannot work."""
    _check_names(config)
    methods_run(config)
    check_stability(config)
    _check_shown(config)
    _check_checks(config["checks"])
    for name in models_needed(config):
        _check_model(config, name)
    _check_masks(config)
    for name in models_explained(config):
        _check_explained(config, name)
    for maps in maps_needed(config):
        check_borrowed_heads(config, maps)
    for name in config["study"]["datasets"]:
        _check_dataset(config, name)


def _check_masks(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError unless masks make pairs for every sample, and are enough for what is measured and learnt from them."""
    for sample in config["mask_bank"]["samples"]:
        if sample not in config["samples"]:
            raise ClxaiError(f"mask_bank.samples: {unknown_name('sample', sample, config['samples'])}")
    for sample in config["samples"]:
        pairs_of(**bank_size(config, sample))
    if banks_measured(config):
        check_held_out(2 * pairs_of(**bank_size(config, config["study"]["sample"]))[1])
    for name in methods_run(config):
        if learns(chosen(config, "methods", name)[0]):
            check_learning(config, name)


def _check_names(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError unless all that the study names is there, and no name is one that means something else."""
    study = config["study"]
    listed = {family: config[section][family] for family, section in SECTIONS.items()}
    for section in ("models", "samples", *SECTIONS):
        if ALL in {*config[section], *listed.get(section, ())}:
            raise ClxaiError(f"{section}: {ALL!r} stands in the tables for the mean over all; choose another name")
    if STUDIES in study["datasets"]:
        raise ClxaiError(f"study.datasets: {STUDIES!r} is the folder of the studies' tables; choose another name")
    for family in ("datasets", "models"):
        for name in study[family]:
            if name not in config[family]:
                raise ClxaiError(f"study.{family}: {unknown_name(family[:-1], name, config[family])}")
    if REFERENCE not in study["methods"]:
        raise ClxaiError(f"study.methods must include {REFERENCE!r}: every other method is compared with it")
    for family, section in SECTIONS.items():
        for name in config[section][family]:
            chosen(config, family, name, f"{section}.{family}")
        for name in config[family]:
            chosen(config, family, name)
    if study["sample"] not in config["samples"]:
        raise ClxaiError(f"study.sample: {unknown_name('sample', study['sample'], config['samples'])}")


def _check_shown(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError unless the study can have the tables and figures that it asks for."""
    contrasts_of(config)
    for name in config["figures"]:
        figure_options(config, name)
    check_drawable(config)
    for name in config["trust"]:
        measure_of(config, name)
    references_of(config)
    trust_of(config)
    metrics_of(config)
    check_figure_files(config)
    confirmatory_of(config)


def _check_explained(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError unless a model has a head of the study, and can be explained by its methods."""
    if not heads_of(config, name):
        heads, loss = config["study"]["heads"], config["models"][name]["loss"]
        raise ClxaiError(f"models.{name}: none of study.heads {heads} works with loss {loss}")
    check_methods(config, name)
    check_analyses(config, name)


def _check_checks(checks: Mapping[str, Any]) -> None:
    least, most = checks["lrp_conservation"]
    if least > most:
        raise ClxaiError(f"checks.lrp_conservation must be [least, most]. Got [{least}, {most}]")
    known = checks.keys() - {"warn"}
    for name in checks["warn"]:
        if name not in known:
            raise ClxaiError(f"checks.warn: {unknown_name('check', name, known)}")


def _check_model(config: Mapping[str, Any], name: str) -> None:
    if name in FOLDERS:
        raise ClxaiError(f"models: {name!r} is a folder of every data set; choose another name")
    recipe, semantics = config["models"][name], loss_of(config, name)
    where = f"models.{name}.loss_options"
    check_options(recipe["loss_options"], semantics["options"], where, semantics["at_most"], semantics["at_least"])
    check_weights(config, name)
    check_start(config, name)
    warmup = recipe_of(config, name)["warmup_epochs"]
    if warmup and warmup >= recipe["epochs"]:
        raise ClxaiError(f"models.{name}.warmup_epochs must be below epochs {recipe['epochs']}. Got {warmup}")
    crop = recipe["augmentation"]["resized_crop"]
    if crop and crop[0] > crop[1]:
        raise ClxaiError(f"models.{name}.augmentation.resized_crop must be [least, most] area. Got {crop}")


def _check_dataset(config: Mapping[str, Any], name: str) -> None:
    entry, where = config["datasets"][name], f"datasets.{name}"
    known = declared("sources")
    if entry["source"] not in known:
        raise ClxaiError(f"{where}.source: {unknown_name('data source', entry['source'], known)}")
    check_source(entry, where)
    _check_evidence(config, name)
    check_analyses_of_data(config, name)
    _check_augmentation(config, name)
    extent = measure(entry, where)
    _check_size(config, entry, where, extent)
    _check_counts(config, name, extent)
    check_maps(config, name, extent)
    for where_given, semantics, given in _options_in_use(config):
        check_bounds(given, semantics["at_most"], where_given, extent.bounds, name)


def _check_augmentation(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError if a model of the study is trained on spectrograms that are mirrored or cropped as pictures are."""
    if declared("sources")[config["datasets"][name]["source"]].semantics["modality"] != "audio":
        return
    for model in models_needed(config):
        for key, meaning in _NO_SOUND.items():
            given = config["models"][model]["augmentation"][key]
            if given:
                raise ClxaiError(
                    f"models.{model}.augmentation.{key} would {meaning} in the spectrograms of data set {name!r}: leave it out, "
                    f"and take models.{model}.augmentation.sound. Got {given}"
                )


def _check_evidence(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError if a method needs to know where the evidence is, and the source of a data set does not tell."""
    there = parts_of(config["datasets"][name])
    for method in methods_run(config):
        if not semantics_of(config, "methods", method)["needs_evidence"]:
            continue
        if not there:
            raise ClxaiError(
                f"method {method!r} needs data whose evidence is known. Got data set {name!r} of source "
                f"{config['datasets'][name]['source']!r}: take source planted, or one with evidence of its own, or leave it out"
            )
        part = chosen(config, "methods", method)[1].get("part", 0)
        if part > there:
            raise ClxaiError(f"methods.{method}.part must be at most {there}, the parts of the evidence of {name!r}. Got {part}")


def _check_counts(config: Mapping[str, Any], name: str, extent: Extent) -> None:
    for sample, entry in config["samples"].items():
        before, there = samples_before(config, sample), extent.images[entry["split"]]
        left = None if there is None else max(0, there - sum(images for _, images in before))
        if left is not None and entry["images"] > left:
            taken = f" (of {there}; {', '.join(one for one, _ in before)} come first)" if before else ""
            images = f"the {left} {entry['split']} images of {name}{taken}"
            raise ClxaiError(f"samples.{sample}.images must be at most {images}. Got {entry['images']}")
    bank_k = config["flipping"]["bank_k"]
    if bank_k is not None:
        check_bounds({"bank_k": bank_k}, {"bank_k": "training_images"}, "flipping", extent.bounds, name)


def _options_in_use(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield key, declared keywords and given options of each member with options that the study uses or needs."""
    for family, section in SECTIONS.items():
        for name in methods_run(config) if family == "methods" else config[section][family]:
            member, options = chosen(config, family, name)
            yield f"{family}.{name}", declared(family)[member].semantics, options
    for name in models_needed(config):
        recipe = config["models"][name]
        for family, key in (("units", "units"), ("fills", "fill")):
            if recipe["masks"]["share"]:
                member, options = chosen(config, family, recipe["masks"][key])
                yield f"{family}.{recipe['masks'][key]}", declared(family)[member].semantics, options
        yield f"models.{name}.loss_options", loss_of(config, name), recipe["loss_options"]


def _check_size(config: Mapping[str, Any], entry: Mapping[str, Any], where: str, extent: Extent) -> None:
    if extent.shape is None:
        return
    for model in models_needed(config):
        check_image(config, model, extent.shape, f"{where}.size")
    for name in config["flipping"]["units"]:
        n_units, steps = _count_units(config, name, extent.shape, where), config["flipping"]["steps"]
        if steps > n_units:
            most = f"{n_units} units of units.{name} on images of {where}"
            raise ClxaiError(f"flipping.steps must be at most the {most}. Got {steps}")
    _check_banks(config, extent.shape, where)
    for model in models_needed(config):
        masks = config["models"][model]["masks"]
        if masks["share"]:
            n_units = _count_units(config, masks["units"], extent.shape, where)
            of = f"units.{masks['units']} on images of {where}"
            check_share(masks["share"], n_units, f"models.{model}.masks.share", of)


def _check_banks(config: Mapping[str, Any], sides: tuple[int, int], where: str) -> None:
    """Raise ClxaiError if a method needs more masks of its bank than there are, for the units of images of these sides."""
    for maps in maps_needed(config):
        name = method_run(config, maps.method) or maps.method
        member, options = chosen(config, "methods", name)
        if reads_masks(member):
            fitted = 2 * pairs_of(**bank_size(config, maps.sample))[0]
            n_units = _count_units(config, options["units"], sides, where)
            of = f" of units.{options['units']} on images of {where}"
            check_masks(fitted, declared("methods")[member].semantics["masks_per_unit"], n_units, f"methods.{name}", of)


def _count_units(config: Mapping[str, Any], name: str, sides: tuple[int, int], where: str) -> float | int:
    """Return into how many units a setting of units cuts images of these sides: infinity where it does not say.

    Raises ClxaiError if it cannot cut them.
    """
    semantics, options = semantics_of(config, "units", name), chosen(config, "units", name)[1]
    tiles, count = semantics["tiles"], semantics["count"]
    if tiles is not None:
        check_tiles(f"units.{name}", tiles, options, sides, f" of {where}")
    return tile_count(tiles, options, sides) if tiles is not None else options.get(count, math.inf)
