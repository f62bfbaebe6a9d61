# Helpers of all rules: the checked config, the code that a script depends on, and the params of each stage.
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

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

from clxai.errors import ClxaiError
from clxai.names import REFERENCE
from clxai.planning import params
from clxai.planning.amortising import banks_learnt, explainers_asked, teachers_of
from clxai.planning.analyses import analysed
from clxai.planning.borrowing import bank_read, borrowed_maps
from clxai.planning.brought import map_files_of, weights_of
from clxai.planning.choices import heads_of, heads_of_all
from clxai.planning.drawable import figure_semantics, methods_drawn
from clxai.planning.extents import watch_files
from clxai.planning.filling import fill
from clxai.planning.needed import (
    beside_of,
    explainers_needed,
    maps_needed,
    methods_needed,
    methods_of,
    models_explained,
    models_needed,
)
from clxai.planning.outputs import (
    banks_measured,
    banks_needed,
    figures_left_out,
    figures_of,
    methods_left_out,
    scope_of,
    tables_left_out,
)
from clxai.planning.provenance import assets_of, code_of, edited, own_files
from clxai.planning.reading import check_keys, check_unchanged
from clxai.planning.usage import members
from clxai.runtime.identity import announce, code_digests


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
    fill(config, SCHEMA, config_files())
    check_unchanged(config, os.environ, workflow.is_main_process)
    if workflow.is_main_process:
        watch_files(config)
        for name, reason in figures_left_out(config).items():
            logger.info(f"left out: figure {name}, which {reason}")
        for name, refused in methods_left_out(config).items():
            for reason, methods in refused.items():
                logger.info(
                    f"left out of figure {name}: {', '.join(methods)}; {reason}"
                )
except ClxaiError as error:
    raise WorkflowError(f"config: {error}") from None

CODE_AT_START = code_digests(SCRIPTS)
if workflow.is_main_process:
    announce(CODE_AT_START, SCRIPTS, os.environ)
# A notebook's back end is not installed for the jobs, and a user's settings would change the figures.
os.environ.update(MPLBACKEND="agg")
os.environ.pop("MATPLOTLIBRC", None)
STUDY = config["study"]
UNITS = config["flipping"]["units"]
RUN = "results/{dataset}/{model}/seed{seed}"  # shared by all studies
BANK = f"{RUN}/masks/{{sample}}/{{units}}/{{fill}}.nc"
LEARNT = f"{RUN}/explainers/{{method}}/{{explainer}}"
POOL = f"{RUN}/explainers/{{method}}/pool.nc"
EXPLAINER = f"{LEARNT}/explainer.safetensors"
HOME = f"results/studies/{STUDY['name']}/{{dataset}}"  # of the study alone


def report_edits():
    """Say which code was edited since this run was started: its jobs may have used either version."""
    found = edited(CODE_AT_START, code_digests(SCRIPTS))
    if found:
        logger.error(
            f"edited while this run of Snakemake went on: {', '.join(relative(tuple(found)))}. "
            "Call Snakemake again; what it then does not run again may be of either version: force it with -R RULE."
        )


def alternatives(names):
    """A wildcard constraint that matches exactly these names; nothing if there are none."""
    return "|".join(sorted(names)) or "(?!)"


@cache
def relative(paths):
    """Paths as the working directory sees them, so that a moved checkout reruns nothing."""
    return [os.path.relpath(path) for path in paths]


def code(script):
    """The script, the modules that it imports and the members that a job uses: editing one reruns the job, a new time stamp does not.

    As a function, since Snakemake's --consider-ancient passes over inputs that are lists.
    """
    return lambda wildcards: relative(
        code_of(SCRIPTS / f"{script}.py", *members(config, script, wildcards))
    )


def params_of(script):
    """What the results of a script depend on beside its inputs."""
    return lambda wildcards: getattr(params, script)(config, wildcards)


def runs(pattern, among=None):
    """A pattern expanded over those of the models, seeds, units and methods of the study that it names; the data set stays open.

    `among` leaves out the methods that are not among these.
    """
    levels = {"seed": STUDY["seeds"], "sample": STUDY["sample"], "units": UNITS}
    return over_models(pattern, STUDY["models"], among, **levels)


def over_models(pattern, models, among=None, **levels):
    """A pattern expanded over models, levels and the methods that each model has, those of them that it names; each file once.

    `among` leaves out the methods that are not among these.
    """
    files = [
        expand(
            pattern,
            model=model,
            **levels,
            method=[
                method
                for method in methods_of(config, model)
                if among is None or method in among
            ],
            allow_missing=True,
        )
        for model in models
    ]
    return list(dict.fromkeys(file for part in files for file in part))


def curves_of_each_cut(pattern):
    """The curves of one run, for each way in which images are cut: they say how; the data set stays open."""
    first = {
        "model": STUDY["models"][0],
        "seed": STUDY["seeds"][0],
        "sample": STUDY["sample"],
    }
    return expand(pattern, **first, units=UNITS, method=REFERENCE, allow_missing=True)


def datasets_with(name):
    """The data sets of the study if it has this table, else none."""
    return [] if name in tables_left_out(config) else STUDY["datasets"]


def figure(place):
    """A figure of a data set as an item of the report; its caption is the docstring of the function that draws it."""
    return report(
        f"{HOME}/figures/{place}.svg",
        caption="../workflow/report/figure.rst",
        category="{dataset}",
        subcategory=lambda wildcards: figure_semantics(config, wildcards.figure)[
            "subcategory"
        ],
        labels=lambda wildcards: {
            "figure": wildcards.figure,
            "model": getattr(wildcards, "model", "all"),
            "scope": scope_of(figure_semantics(config, wildcards.figure)),
        },
    )


def figure_inputs(tables, **arrays):
    """The tables that a figure reads and the arrays, of the first seed and units, and no others."""

    def inputs(wildcards):
        reads = figure_semantics(config, wildcards.figure)
        drawn = methods_drawn(config, wildcards.figure)
        own = getattr(wildcards, "model", None)
        models = STUDY["models"] if own is None else [own]
        levels = {
            "seed": STUDY["seeds"][0],
            "sample": STUDY["sample"],
            "units": UNITS[0],
        }
        read = {f"table_{name}": tables[name] for name in reads["tables"]}
        read |= {f"array_{name}": arrays[name] for name in reads["arrays"]}
        return {
            name: over_models(files, models, drawn, dataset=wildcards.dataset, **levels)
            for name, files in read.items()
        }

    return inputs


def table(name):
    """A table of a data set as an item of the report."""
    return report(
        f"{HOME}/tables/{name}.csv",
        caption=f"../workflow/report/table_{name}.rst",
        category="{dataset}",
        subcategory="Tables",
        labels={"figure": f"table: {name}", "model": "all"},
    )


def verdict_page():
    """The page of a data set as the first item of the report, which shows HTML and no Markdown; punctuation sorts before names."""
    return report(
        f"{HOME}/verdict.html",
        caption="../workflow/report/verdict.rst",
        category="(Verdict)",
        labels={"data set": "{dataset}"},
    )


def methods_page():
    """The page of a data set's methods, beside the verdict."""
    return report(
        f"{HOME}/methods.html",
        caption="../workflow/report/methods.rst",
        category="(Methods)",
        labels={"data set": "{dataset}"},
    )


def own(script):
    """The files of a user that declare members which a job uses, and what they import: inputs by content, as the library's code."""
    return lambda wildcards: relative(own_files(*members(config, script, wildcards)))


def start_file(wildcards):
    """What a model starts from, of the same seed: a user's weights, or the checkpoint of another model; none if it has no start."""
    brought = weights_of(config, wildcards.model, wildcards.seed)
    if brought is not None:
        return [brought]
    start = config["models"][wildcards.model]["start"]
    names = [] if start is None else [start]
    return expand(f"{RUN}/model.safetensors", model=names, allow_missing=True)


def map_files(wildcards):
    """The maps of the methods that a method needs, of the same run and images."""
    return expand(
        f"{RUN}/attributions/{{sample}}/{{method}}.nc",
        method=beside_of(config, wildcards.method),
        allow_missing=True,
    )


def borrowed_files(wildcards):
    """The maps that a method borrows, of the run and the images that its options say; none for most methods."""
    lent = borrowed_maps(config, wildcards)
    pattern = f"{RUN}/attributions/{{sample}}/{{method}}.nc"
    return (
        []
        if lent is None
        else expand(pattern, dataset=wildcards.dataset, **lent._asdict())
    )


def given_files(wildcards):
    """The files of the maps that a user brings for a method, with those of their ids; none for most methods."""
    return map_files_of(config, wildcards)


def bank_files(wildcards):
    """The mask bank that a method reads, of the same run and images; none for most methods."""
    read = bank_read(config, wildcards)
    return (
        []
        if read is None
        else expand(BANK, dataset=wildcards.dataset, **read._asdict())
    )


def bank_learnt(which):
    """The mask bank that an explainer is trained on, of the same run: that of its training images, or of its validation images."""

    def bank(wildcards):
        training, validation = banks_learnt(config, wildcards)
        read = {"sample": training, "validation": validation}[which]
        return expand(BANK, dataset=wildcards.dataset, **read._asdict())[0]

    return bank


def teacher_files(wildcards):
    """The maps of training images that explainers are shown, of the same run; none for most recipes."""
    return [
        expand(
            f"{RUN}/attributions/{{sample}}/{{method}}.nc",
            dataset=wildcards.dataset,
            **maps._asdict(),
        )[0]
        for maps in teachers_of(config, wildcards)
    ]


def pool_file(wildcards):
    """The pool of the teachers of an explainer; none where it has no teachers."""
    return [POOL] if teachers_of(config, wildcards) else []


def explainer_files(wildcards):
    """The explainers that a method asks, of the same run; none for most methods."""
    asked = explainers_asked(config, wildcards)
    return [
        expand(EXPLAINER, dataset=wildcards.dataset, **one._asdict())[0]
        for one in asked
    ]


def files_of_explainers(pattern):
    """A pattern expanded over the explainers of all seeds that the study needs; the data set stays open."""
    return [
        file
        for one in explainers_needed(config)
        for file in expand(
            pattern, **{**one._asdict(), "seed": STUDY["seeds"]}, allow_missing=True
        )
    ]


def files_of_banks(pattern, banks):
    """A pattern expanded over mask banks of all seeds; the data set stays open."""
    return [
        file
        for bank in banks
        for file in expand(
            pattern, **{**bank._asdict(), "seed": STUDY["seeds"]}, allow_missing=True
        )
    ]


def files_of_maps(pattern):
    """A pattern expanded over all maps that the study shows or needs; the data set stays open."""
    return [
        file
        for maps in maps_needed(config)
        for file in expand(
            pattern, **{**maps._asdict(), "seed": STUDY["seeds"]}, allow_missing=True
        )
    ]


def files_of_analyses(pattern):
    """A pattern expanded over the analyses of all models and seeds of the study, in this order; the data set stays open."""
    return [
        expand(
            pattern,
            model=model,
            seed=seed,
            sample=sample,
            analysis=name,
            allow_missing=True,
        )[0]
        for model in STUDY["models"]
        for seed in STUDY["seeds"]
        for name, sample in analysed(config).items()
    ]


def head_files(heads):
    """The files of some heads of a model."""
    return expand(f"{RUN}/heads/{{head}}.safetensors", head=heads, allow_missing=True)


def own_head_files(wildcards):
    """The files of the heads that a model has, in the order of the study."""
    return head_files(heads_of(config, wildcards.model))


def models_with(heads):
    """The models with heads that are these, in this order."""
    return [
        model for model in models_explained(config) if heads_of(config, model) == heads
    ]
