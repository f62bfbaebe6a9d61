# CLXAI: is pixel flipping a trustworthy test of explanations for contrastively trained networks?
#
#   results/{dataset}/data/                                            prepared once: images, labels, splits, samples/{sample}.csv
#   results/{dataset}/{model}/seed{seed}/model.safetensors             + training.json, history.csv
#   results/{dataset}/{model}/seed{seed}/embeddings.nc
#   results/{dataset}/{model}/seed{seed}/heads/{head}.safetensors      + metrics.csv
#   results/{dataset}/{model}/seed{seed}/masks/{sample}/{units}/{fill}.nc    for methods that read a mask bank
#   results/{dataset}/{model}/seed{seed}/explainers/{method}/{explainer}/    for methods that learn: explainer.safetensors, history.csv
#   results/{dataset}/{model}/seed{seed}/attributions/{sample}/{method}.nc
#   results/{dataset}/{model}/seed{seed}/analyses/{sample}/{analysis}.nc    what analyses find beside maps
#   results/{dataset}/{model}/seed{seed}/curves/{sample}/{units}/{method}.nc
#   results/studies/{study}/{dataset}/tables/*.csv                     results/studies/{study}/{dataset}/figures/*.{svg,pdf}
#   results/studies/{study}/{dataset}/verdict.{md,html}                what the tables allow to say
#   results/studies/{study}/{dataset}/explorer/index.html              a page to look around in
from snakemake.utils import min_version

min_version("9.20.0")


configfile: f"{workflow.current_basedir.get_path_or_uri(secret_free=True)}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/heads.smk"
include: "rules/mask_bank.smk"
include: "rules/amortise.smk"
include: "rules/attribute.smk"
include: "rules/flip.smk"
include: "rules/summarise.smk"
include: "rules/stability.smk"
include: "rules/analyse.smk"
include: "rules/verdict.smk"
include: "rules/report.smk"
include: "rules/explorer.smk"


wildcard_constraints:
    dataset=alternatives(config["study"]["datasets"]),
    model=alternatives(models_needed(config)),
    method=alternatives(methods_needed(config)),
    sample=alternatives(config["samples"]),
    units=alternatives(config["flipping"]["units"]),
    seed=r"\d+",


onsuccess:
    report_edits()


onerror:
    report_edits()


rule all:
    """The whole study: checked tables, figures and pages, and all that they were made from, should it have been deleted."""
    default_target: True
    input:
        rules.models_all.input,
        rules.heads_all.input,
        rules.mask_banks_all.input,
        rules.explainers_all.input,
        rules.attributions_all.input,
        rules.curves_all.input,
        rules.tables_all.input,
        rules.stability_all.input,
        rules.verdict_all.input,
        rules.figures_all.input,
        rules.explorer_all.input,
        rules.analyses_all.input,
    localrule: True
