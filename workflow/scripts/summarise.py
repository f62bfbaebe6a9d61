"""Entry of rule summarise."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.data.datasets import open_prepared
from clxai.design import design, read_runs
from clxai.measures.banks import maps_reader, masks_reader
from clxai.measures.contrasts import Settings, contrast_tables
from clxai.measures.explained import maps_at
from clxai.measures.groups import read_groups, with_groups
from clxai.measures.methods import method_table
from clxai.measures.metrics.base import reading
from clxai.measures.summaries import (
    head_table,
    keep,
    map_table,
    measure_runs,
    model_table,
    summary_table,
    variance_table,
    with_truth,
)
from clxai.measures.truth import truth_images
from clxai.runtime.artefacts import write_table

settings = snakemake.params.config
metrics, draws, seed = settings["metrics"], settings["bootstrap_draws"], settings["seed"]
cells, trainings = design(settings, "model", "seed", "units", "method"), design(settings, "model", "seed")
explained, ranked = design(settings, "model", "seed", "method"), []
runs = read_runs(cells, snakemake.input.curves, leave_out=("trajectory_embedding",))
read = maps_at(explained, snakemake.input.attributions)
data = open_prepared(snakemake.wildcards.dataset, snakemake.input.images, snakemake.input.labels)
masks = masks_reader(settings["banks"], snakemake.input.banks, read)
maps = maps_reader(read, data.images) if set(metrics) & set(reading("maps")) else None
groups, kept = read_groups(snakemake.input.labels), keep(runs, ("degenerate", "tie_fraction"), ranked)
images, curves = measure_runs(kept, metrics, settings["cross"], masks, maps, groups)
write_table(images, snakemake.output.images)
blind, matched = settings["blind"], settings["matched"]
files = list(read_runs(explained, snakemake.input.attributions, leave_out=("attribution",)))
summary = summary_table(images, metrics, draws, seed, blind, matched)
truth = with_groups(truth_images(files), groups)
write_table(with_truth(summary, truth, draws, seed, blind), snakemake.output.summary)
write_table(curves, snakemake.output.curves)
pairs, confirmatory, margin = settings["contrasts"], settings["confirmatory"], settings["margin"]
tested = Settings(pairs, margin, confirmatory, settings["controls"], **settings["power"])
contrasts, power = contrast_tables(images, metrics, tested)
write_table(contrasts, snakemake.output.contrasts)
write_table(power, snakemake.output.power)
write_table(variance_table(images, metrics), snakemake.output.variance)
write_table(map_table(ranked, files), snakemake.output.maps)
write_table(method_table(ranked, files), snakemake.output.methods)
write_table(head_table(trainings, snakemake.input.heads), snakemake.output.heads)
write_table(model_table(trainings, snakemake.input.records), snakemake.output.models)
