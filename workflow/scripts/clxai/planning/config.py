"""The config, checked before any job starts: keys and types against the schema, names against what is declared, values against
each other. Imports nothing heavy, so that planning stays quick.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from clxai.data.torchvision_sets import check_arguments
from clxai.errors import ClxaiError, unknown_name
from clxai.names import FILLS, FOLDERS, LAYERS, REFERENCE, STUDIES, allowed_units, choose_stem, smallest_size
from clxai.planning.extents import Extent, measure
from clxai.registry import Declaration, declared

LIBRARY = Path(__file__).parents[1]
_FAMILIES = {
    "losses": (LIBRARY / "losses", "loss"),
    "heads": (LIBRARY / "heads", "head"),
    "methods": (LIBRARY / "attribution", "method"),
    "sources": (LIBRARY / "data" / "sources", "source"),
}
_PLANNED = "CLXAI_CONFIG_SHA256"
_NAMED = {"layer": LAYERS, "baseline": FILLS}  # options that are names


@cache
def catalogue(family: str) -> dict[str, Declaration]:
    """Return what is declared of a family: losses, heads, methods or sources."""
    return declared(*_FAMILIES[family])


def check_keys(path: str | Path) -> None:
    """Raise ClxaiError if a config file gives a key twice, of which the last one would count, or if it cannot be read."""
    import yaml

    text = Path(path).read_text(encoding="utf-8")
    try:
        json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
        return  # as Snakemake does: JSON first, which may be indented by tabs
    except json.JSONDecodeError:
        pass
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ClxaiError(f"{path} is neither JSON nor YAML: line {line}: {error.problem}") from None
    for node in _mappings(root):
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise ClxaiError(f"{path}, line {key.start_mark.line + 1}: {key.value!r} is given twice")
            seen.add(str(key.value))


def _once(pairs: list[tuple[str, Any]], path: str | Path) -> dict[str, Any]:
    """Return the pairs of a JSON object as a mapping; raise ClxaiError if a key is given twice."""
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ClxaiError(f"{path}: {twice!r} is given twice")
    return dict(pairs)


def _mappings(node: Any) -> Iterator[Any]:
    """Yield the mappings in a tree of YAML nodes."""
    if isinstance(getattr(node, "value", None), list):
        is_mapping = node.id == "mapping"
        if is_mapping:
            yield node
        for inner in node.value:
            yield from _mappings(inner[1] if is_mapping else inner)


def check_unchanged(config: Mapping[str, Any], environment: MutableMapping[str, str], is_main: bool) -> None:
    """Raise ClxaiError in a job that reads another config than the Snakemake that sent it: it was edited in between.

    Jobs on a cluster read the config file anew, while Snakemake records the params that it planned with.
    """
    digest = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()
    planned = [entry.split(":") for entry in environment.get(_PLANNED, "").split()]
    if is_main:  # jobs inherit it; one for each module of the same Snakefile
        own = [f"{process}:{known}" for process, known in planned if process == str(os.getpid())]
        environment[_PLANNED] = " ".join([*own, f"{os.getpid()}:{digest}"])
    elif planned and digest not in (known for _, known in planned):
        raise ClxaiError("the config was edited after this run of Snakemake was started: run Snakemake again")


def read_texts(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the config with every text where the schema wants no text read as YAML reads it, and `~` in paths as the home.

    Snakemake hands the inner values of `--config 'flipping={steps: 8}'` over as texts. Mappings and lists are changed in place.
    """
    if isinstance(value, MutableMapping):
        for key, inner in value.items():
            value[key] = read_texts(inner, _schema_of(key, schema))
        if isinstance(value.get("path"), str) and "path" in schema.get("properties", {}):
            value["path"] = os.path.expanduser(value["path"])  # noqa: PTH111, which leaves an unknown user as it is
    elif isinstance(value, list):
        value[:] = [read_texts(inner, schema.get("items", {})) for inner in value]
    elif isinstance(value, str):
        return _read_text(value, schema)
    return value


def _schema_of(key: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a key of a mapping; an empty one where none is given."""
    found = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    return found if isinstance(found, Mapping) else {}


def _read_text(text: str, schema: Mapping[str, Any]) -> Any:
    """Return what a text stands for: itself where the schema allows texts, but for null; else a number, a truth value or null."""
    import yaml

    try:
        value = yaml.safe_load(text) if text else text
    except yaml.YAMLError:
        return text
    kinds = schema.get("type", ())
    if value is None and ("null" in kinds or not kinds):
        return None
    wants_text = "string" in kinds or "enum" in schema
    return value if isinstance(value, bool | int | float) and not wants_text else text


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


def study_name(config: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of a study: `study.name`, else that of the last of its config files, given in the order of merging.

    A name in an earlier file is not inherited: the study of the last file would overwrite the tables of the other. The file
    `config.yaml`, and no file at all (a module), are the study `default`.
    """
    names = [(content.get("study") or {}).get("name") for content in files.values()]
    name = config["study"].get("name")
    if name is not None and not (names and names[-1] is None and name in names):
        return name
    stem = re.sub("[^a-z0-9_]", "_", Path([*files][-1]).stem.lower()).lstrip("_") if files else ""
    return "default" if stem in ("", "config") else stem


def check_values(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError where a filled config names something unknown or asks for what cannot work."""
    study = config["study"]
    if STUDIES in study["datasets"]:
        raise ClxaiError(f"study.datasets: {STUDIES!r} is the folder of the studies' tables; choose another name")
    for family in ("datasets", "models"):
        for name in study[family]:
            if name not in config[family]:
                raise ClxaiError(f"study.{family}: {unknown_name(family[:-1], name, config[family])}")
    if REFERENCE not in study["methods"]:
        raise ClxaiError(f"study.methods must include {REFERENCE!r}: every other method is compared with it")
    for name in study["methods"]:
        method_options(config, name)
    for name in config["methods"]:
        method_options(config, name)
    trajectory_methods(config)
    for name in {*study["heads"], *config["heads"]}:
        head_options(config, name)
    contrasts_of(config)
    _check_checks(config["checks"])
    for name in study["models"]:
        _check_model(config, name)
    for name in study["datasets"]:
        _check_dataset(config, name)


def _check_checks(checks: Mapping[str, Any]) -> None:
    least, most = checks["lrp_conservation"]
    if least > most:
        raise ClxaiError(f"checks.lrp_conservation must be [least, most]. Got [{least}, {most}]")
    known = checks.keys() - {"warn"}
    for name in checks["warn"]:
        if name not in known:
            raise ClxaiError(f"checks.warn: {unknown_name('check', name, known)}")


def method_options(config: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Return the registered method behind a name of `study.methods` and its options, checked."""
    entry = dict(config["methods"].get(name) or {})
    kind = entry.pop("method", name)
    known = catalogue("methods")
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


def trajectory_methods(config: Mapping[str, Any]) -> list[str]:
    """Return the methods of the figure of trajectories: the chosen one, else the first that is no control, and the reference.

    Without either it is the first other control; a study of the reference alone shows that alone.
    """
    others = [name for name in config["study"]["methods"] if name != REFERENCE]
    chosen = config["figures"]["trajectory_method"]
    if chosen is not None and chosen not in config["study"]["methods"]:
        raise ClxaiError(f"figures.trajectory_method: {unknown_name('method of the study', chosen, config['study']['methods'])}")
    known = catalogue("methods")
    own = [name for name in others if known[method_options(config, name)[0]].semantics["family"] != "control"]
    first = next(iter([chosen] if chosen else [*own, *others]), REFERENCE)
    return [first] if first == REFERENCE else [first, REFERENCE]


def recipe_of(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the recipe of a model; a warm-up that is not given is 1 epoch, or half of a single one."""
    recipe = dict(config["models"][model])
    if recipe["warmup_epochs"] is None:
        recipe["warmup_epochs"] = 1 if recipe["epochs"] > 1 else 0.5
    return recipe


def head_options(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return all options of a head, defaults filled in, checked."""
    known = catalogue("heads")
    if name not in known:
        raise ClxaiError(f"heads: {unknown_name('head', name, known)}")
    given = config["heads"].get(name) or {}
    check_options(given, known[name].semantics["options"], f"heads.{name}")
    return {**known[name].semantics["options"], **given}


def heads_of(config: Mapping[str, Any], model: str) -> list[str]:
    """Return the heads of `study.heads` that a model can have: softmax needs a loss that trains a classifier."""
    loss = catalogue("losses")[config["models"][model]["loss"]]
    heads = catalogue("heads")
    has_classifier = loss.semantics["top"] == "classifier"
    return [name for name in config["study"]["heads"] if has_classifier or not heads[name].semantics["needs_classifier"]]


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


def check_options(
    given: Mapping[str, Any], defaults: Mapping[str, Any], where: str, at_most: Mapping[str, Any] | None = None
) -> None:
    """Raise ClxaiError on an option that is unknown, of another type than its default, or out of range.

    A number must be above 0 if its default is, else at least 0; `layer` must name a layer of the network, `baseline` a fill.
    `at_most` bounds options by a number or by another option's value.
    """
    for key, value in given.items():
        if key not in defaults:
            raise ClxaiError(f"{where}: {unknown_name('option', key, defaults)}")
        default = defaults[key]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ClxaiError(f"{where}.{key} must be {_kind(default)} like its default {default!r}. Got {value!r}")
        is_number = isinstance(default, int | float) and not isinstance(default, bool)
        if is_number and not (value > 0 if default > 0 else value >= 0):
            raise ClxaiError(f"{where}.{key} must be {'> 0' if default > 0 else '>= 0'}. Got {value!r}")
        if key in _NAMED and value not in _NAMED[key]:
            raise ClxaiError(f"{where}.{key}: {unknown_name(key, value, _NAMED[key])}")
    chosen = {**defaults, **given}
    for key, bound in (at_most or {}).items():
        most = chosen[bound] if isinstance(bound, str) else bound
        if chosen[key] > most:
            raise ClxaiError(f"{where}.{key} must be at most {bound}{f' {most}' if most != bound else ''}. Got {chosen[key]}")


def _kind(value: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}[type(value)]


def _check_model(config: Mapping[str, Any], name: str) -> None:
    if name in FOLDERS:
        raise ClxaiError(f"models: {name!r} is a folder of every data set; choose another name")
    recipe, known = config["models"][name], catalogue("losses")
    if recipe["loss"] not in known:
        raise ClxaiError(f"models.{name}.loss: {unknown_name('loss', recipe['loss'], known)}")
    semantics = known[recipe["loss"]].semantics
    check_options(recipe["loss_options"], semantics["options"], f"models.{name}.loss_options", semantics.get("at_most"))
    if recipe_of(config, name)["warmup_epochs"] >= recipe["epochs"]:
        raise ClxaiError(f"models.{name}.warmup_epochs must be below epochs {recipe['epochs']}. Got {recipe['warmup_epochs']}")
    crop = recipe["augmentation"]["resized_crop"]
    if crop and crop[0] > crop[1]:
        raise ClxaiError(f"models.{name}.augmentation.resized_crop must be [least, most] area. Got {crop}")
    if not heads_of(config, name):
        raise ClxaiError(f"models.{name}: none of study.heads {config['study']['heads']} works with loss {recipe['loss']}")


def _check_dataset(config: Mapping[str, Any], name: str) -> None:
    entry, where = config["datasets"][name], f"datasets.{name}"
    known = catalogue("sources")
    if entry["source"] not in known:
        raise ClxaiError(f"{where}.source: {unknown_name('data source', entry['source'], known)}")
    for key in known[entry["source"]].semantics.get("needs", ()):
        if not entry[key]:
            raise ClxaiError(f"{where}.{key} is needed by source {entry['source']!r}")
    _check_origin(entry, where)
    extent = measure(entry, where)
    _check_size(config, entry, where, extent)
    _check_counts(config, name, extent)


def _check_counts(config: Mapping[str, Any], name: str, extent: Extent) -> None:
    most_train, most_test, wanted = extent.train, extent.test, config["study"]["evaluation_images"]
    if most_test is not None and wanted > most_test:
        raise ClxaiError(f"study.evaluation_images must be at most the {most_test} test images of {name}. Got {wanted}")
    k = head_options(config, "knn")["k"] if "knn" in config["study"]["heads"] else 0
    for key, neighbours in (("heads.knn.k", k), ("flipping.bank_k", config["flipping"]["bank_k"])):
        if most_train is not None and neighbours > most_train:
            raise ClxaiError(f"{key} must be at most the {most_train} training images of {name}. Got {neighbours}")


def _check_origin(entry: Mapping[str, Any], where: str) -> None:
    if entry["first_label"] and entry["source"] != "npz":
        raise ClxaiError(f"{where}.first_label is for source npz. Got {entry['first_label']}")
    if entry["source"] == "torchvision":
        check_arguments(entry["name"], entry["arguments"], entry["download"], where)
    elif entry["arguments"]:
        raise ClxaiError(f"{where}.arguments are for source torchvision. Got {dict(entry['arguments'])}")
    elif entry["path"] and not Path(entry["path"]).exists():
        raise ClxaiError(f"{where}.path: {entry['path']!r} does not exist")


def _check_size(config: Mapping[str, Any], entry: Mapping[str, Any], where: str, extent: Extent) -> None:
    if entry["source"] == "digits" and (entry["size"] is None or entry["size"] % 8):
        raise ClxaiError(f"{where}.size must be a multiple of 8, the size of a digit. Got {entry['size']}")
    size = extent.size
    if size is None:
        return
    units = allowed_units(size)
    for model in config["study"]["models"]:
        stem = choose_stem(config["models"][model]["stem"], size)
        if size < smallest_size(stem):
            raise ClxaiError(f"{where}.size must be at least {smallest_size(stem)} for models.{model} ({stem} stem). Got {size}")
    if entry["unit_px"] not in units:
        raise ClxaiError(f"{where}.unit_px must tile {size} px: one of {units}. Got {entry['unit_px']}")
    for method in config["study"]["methods"]:
        kind, given = method_options(config, method)
        window = {**catalogue("methods")[kind].semantics["options"], **given}.get("window", 0)
        if window > size:
            raise ClxaiError(f"methods.{method}.window must be at most the {size} px of the images of {where}. Got {window}")
    n_units = (size // entry["unit_px"]) ** 2
    if config["flipping"]["steps"] > n_units:
        raise ClxaiError(f"flipping.steps must be at most the {n_units} units of {where}. Got {config['flipping']['steps']}")


def plain(value: Any) -> Any:
    """Return a value of plain types with sorted keys, as Snakemake's params need it to notice exactly the real changes."""
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
