# Helpers of all rules: the checked config, the code that a script depends on, and the params of each stage.
import os
import sys
from pathlib import Path

import yaml
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import validate

ROOT = Path(str(workflow.current_basedir.get_path_or_uri(secret_free=True))).parent
SCRIPTS = ROOT / "workflow" / "scripts"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
if not SCRIPTS.is_dir():
    raise WorkflowError(
        f"CLXAI's library is not at {SCRIPTS}: a hosted module brings rules alone; clone the repository and name its "
        "workflow/Snakefile in `snakefile:`"
    )
sys.path.insert(0, str(SCRIPTS))

import clxai

if not os.path.samefile(os.path.dirname(clxai.__file__), SCRIPTS / "clxai"):
    raise WorkflowError(
        f"this run of Snakemake has already loaded the library of {os.path.dirname(clxai.__file__)}, "
        f"the rules are those of {ROOT}: use one checkout per run"
    )

from clxai.planning.config import (
    catalogue,
    check_keys,
    check_schema,
    check_unchanged,
    check_values,
    contrasts_of,
    head_options,
    heads_of,
    method_options,
    plain,
    read_texts,
    recipe_of,
    study_name,
    trajectory_methods,
)
from clxai.errors import ClxaiError
from clxai.runtime.identity import announce, code_digests
from clxai.data.npz import checksums
from clxai.planning.provenance import code_of


def config_files():
    """The config files by path, in the order in which they are merged; none where another workflow gives the config."""
    if workflow.modifier.skip_configfile:
        return {}
    given = [str(file) for file in workflow.overwrite_configfiles]
    default = [str(file) for file in workflow.configfiles if str(file) not in given]
    return {file: load_configfile(file) for file in [*default, *given]}


try:
    for file in workflow.configfiles:
        check_keys(file)
    schema = yaml.safe_load(SCHEMA.read_text())
    check_schema(read_texts(config, schema), schema)
    validate(config, str(SCHEMA))
    config["study"]["name"] = study_name(config, config_files())
    check_values(config)
    check_unchanged(config, os.environ, workflow.is_main_process)
except ClxaiError as error:
    raise WorkflowError(f"config: {error}") from None

CODE_AT_START = code_digests(SCRIPTS)
if workflow.is_main_process:
    announce(CODE_AT_START, SCRIPTS, os.environ)
# A notebook's back end is not installed for the jobs, and a user's settings would change the figures.
os.environ.update(MPLBACKEND="agg")
os.environ.pop("MATPLOTLIBRC", None)
STUDY = config["study"]
TABLE_FIGURES = (
    "accuracy",
    "deletion",
    "insertion",
    "srg",
    "cross",
    "ranking",
    "contrasts",
    "drift",
)
TRAJECTORY_METHODS = trajectory_methods(config)
RUN = "results/{dataset}/{model}/seed{seed}"  # shared by all studies
HOME = f"results/studies/{STUDY['name']}/{{dataset}}"  # of the study alone


def report_edits():
    """Say which code was edited since this run was started: its jobs may have used either version."""
    now = code_digests(SCRIPTS)
    edited = sorted(
        file
        for file in {*now, *CODE_AT_START}
        if now.get(file) != CODE_AT_START.get(file)
    )
    if edited:
        logger.error(
            f"edited while this run of Snakemake went on: {', '.join(relative(edited))}. "
            "Call Snakemake again; what it then does not run again may be of either version: force it with -R RULE."
        )


def alternatives(names):
    """A wildcard constraint that matches exactly these names; nothing if there are none."""
    return "|".join(sorted(names)) or "(?!)"


def relative(paths):
    """Paths as the working directory sees them, so that a moved checkout reruns nothing."""
    return [os.path.relpath(path) for path in paths]


def code(script):
    """The script and every module that it imports: editing one reruns the rule, a new time stamp does not.

    As a function, since Snakemake's --consider-ancient passes over inputs that are lists.
    """
    files = relative(code_of(SCRIPTS / script))
    return lambda wildcards: files


def method_code(wildcards):
    """The code of the attribution script and of the one module that defines the method, not of the other methods."""
    kind, _ = method_options(config, wildcards.method)
    own = code_of(catalogue("methods")[kind].file)
    return relative(sorted({*code_of(SCRIPTS / "attribute.py"), *own}))


def runs(pattern):
    """A pattern expanded over those of the models, seeds and methods of the study that it names; the data set stays open."""
    levels = {
        "model": STUDY["models"],
        "seed": STUDY["seeds"],
        "method": STUDY["methods"],
    }
    named = {
        name: level for name, level in levels.items() if f"{{{name}}}" in str(pattern)
    }
    return expand(pattern, **named, allow_missing=True)


def figure(name, subcategory):
    """A figure of a data set as an item of the report."""
    return report(
        f"{HOME}/figures/{name}.svg",
        caption=f"../workflow/report/{name}.rst",
        category="{dataset}",
        subcategory=subcategory,
        labels={"figure": name, "model": "all"},
    )


def table(name):
    """A table of a data set as an item of the report."""
    return report(
        f"{HOME}/tables/{name}.csv",
        caption=f"../workflow/report/table_{name}.rst",
        category="{dataset}",
        subcategory="Tables",
        labels={"figure": f"table: {name}", "model": "all"},
    )


def head_files(heads):
    """The files of some heads of a model."""
    return expand(f"{RUN}/heads/{{head}}.safetensors", head=heads, allow_missing=True)


def own_head_files(wildcards):
    """The files of the heads that a model has, in the order of the study."""
    return head_files(heads_of(config, wildcards.model))


def models_with(heads):
    """The models that have all of these heads."""
    return [model for model in STUDY["models"] if heads_of(config, model) == heads]


def heads_without_classifier():
    """The heads of the study that every model has."""
    return [
        name
        for name in STUDY["heads"]
        if not catalogue("heads")[name].semantics["needs_classifier"]
    ]


def dataset_params(wildcards):
    """Everything of a data set that its prepared files depend on; of an npz file the checksums of its arrays too."""
    entry = config["datasets"][wildcards.dataset]
    own = {key: value for key, value in entry.items() if key != "unit_px"}
    if entry["source"] == "npz":
        own["checksums"] = checksums(entry["path"])
    return plain(own)


def training_params(wildcards):
    """The recipe of a model."""
    return plain(recipe_of(config, wildcards.model))


def heads_params(wildcards):
    """The options of every head that a model has."""
    return plain(
        {name: head_options(config, name) for name in heads_of(config, wildcards.model)}
    )


def attribution_params(wildcards):
    """The registered method, its options and the seed: the run's own, so that controls differ between runs."""
    kind, options = method_options(config, wildcards.method)
    return plain(
        {
            "method_name": kind,
            "options": options,
            "seed": STUDY["seed"] + int(wildcards.seed),
        }
    )


def flipping_params(wildcards):
    """How the images of a data set are perturbed."""
    return plain(
        {
            **config["flipping"],
            "unit_px": config["datasets"][wildcards.dataset]["unit_px"],
            "seed": STUDY["seed"],
        }
    )


def summary_params(wildcards):
    """The design of the study, in the order of its input files, and the settings of the statistics."""
    design = {
        "models": STUDY["models"],
        "seeds": STUDY["seeds"],
        "methods": STUDY["methods"],
        "seed": STUDY["seed"],
    }
    return plain({**design, **config["statistics"], "contrasts": contrasts_of(config)})


def check_params(wildcards):
    """The design of the study and the settings of its self-checks."""
    return plain({**summary_params(wildcards), "checks": config["checks"]})


def figure_params(wildcards):
    """The order in which the names of the study are shown, and the fill that the figures show."""
    names = {name: STUDY[name] for name in ("models", "heads", "methods")}
    return plain(
        {
            **names,
            "fill": config["flipping"]["fills"][0],
            "margin": config["statistics"]["margin"],
        }
    )


def trajectory_params(wildcards):
    """The methods whose trajectories are drawn, for the first head that all models have."""
    head = next(
        name
        for name in STUDY["heads"]
        if all(name in heads_of(config, model) for model in STUDY["models"])
    )
    return plain(
        {**figure_params(wildcards), "methods": TRAJECTORY_METHODS, "head": head}
    )


def gallery_params(wildcards):
    """The methods and the number of images of the gallery."""
    return plain(
        {"methods": STUDY["methods"], "n_images": config["figures"]["gallery_images"]}
    )
